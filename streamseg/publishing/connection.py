"""What becomes of a listener's connection, as far as ZeroMQ knows: by itself it tries on and says nothing."""

from __future__ import annotations

import itertools
from typing import Any

import zmq
from zmq.utils.monitor import recv_monitor_message

_MECHANISM_MISMATCH = 0x11000002
"""ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH of zmq.h: one side has keys and the other has none."""
_numbers = itertools.count()
_FAILURES_MAX = 5
"""One or two broken handshakes in a row are a publisher that is being started."""


class Connection:
    """Of one socket; give it to `streamseg.publishing.subscriber.listen`, then ask it now and then.

    Args:
        server: what listens at the other end, as a sentence calls it.
        allow: its option that names the folder of known keys.
    """

    def __init__(self, server: str = "publisher", allow: str = "--publish-allow") -> None:
        self._server = server
        self._allow = allow
        self._monitor: zmq.Socket[Any] | None = None
        self._failures = 0
        self.up = False
        """Whether there is a connection over which messages can come."""
        self.answered = False
        """Whether anybody took the connection, be it another program than a publisher."""
        self.refused = ""
        """Why there will never be one as things are; empty if there may be."""

    def watch(self, socket: zmq.Socket[Any]) -> None:
        """Hear of what becomes of a socket; to be called before it connects."""
        # ZeroMQ's own name for it is that of a socket which was closed a moment ago, and is still taken.
        self._monitor = socket.get_monitor_socket(addr=f"inproc://connection-{next(_numbers)}")
        self._has_keys = socket.get(zmq.MECHANISM) == zmq.CURVE

    def look(self) -> None:
        """Take in what has happened since the last time."""
        while self._monitor is not None and self._monitor.poll(0):
            message = recv_monitor_message(self._monitor)
            self._note(zmq.Event(message["event"]), int(message["value"]))

    def _note(self, event: zmq.Event, value: int) -> None:
        if event == zmq.Event.CONNECTED:
            self.answered = True
        elif event == zmq.Event.HANDSHAKE_SUCCEEDED:
            self.up, self._failures = True, 0
        elif event == zmq.Event.DISCONNECTED:
            self.up = False
        elif event == zmq.Event.HANDSHAKE_FAILED_AUTH:
            self.refused = (
                f"the {self._server} does not know our key; give it our .key file, for the folder that it has as "
                f"{self._allow}"
            )
        elif event == zmq.Event.HANDSHAKE_FAILED_PROTOCOL and value == _MECHANISM_MISMATCH:
            self.refused = (
                f"the {self._server} has no keys; connect without any"
                if self._has_keys
                else f"the {self._server} lets in only who has a key; give our .key_secret file and the "
                f"{self._server}'s .key file"
            )
        elif event in (zmq.Event.HANDSHAKE_FAILED_PROTOCOL, zmq.Event.HANDSHAKE_FAILED_NO_DETAIL):
            self._failures += 1
            if self._failures >= _FAILURES_MAX:
                self.refused = (
                    f"what answers there is not the {self._server} whose .key file this is, or has no keys, or is no "
                    f"{self._server} of streamseg"
                    if self._has_keys
                    else f"what answers there is no {self._server} of streamseg, or lets in only who has a key; then "
                    f"give our .key_secret file and the {self._server}'s .key file"
                )

    def close(self) -> None:
        """Let go of the socket, which must still be open."""
        if self._monitor is not None:
            self._monitor.close()
            self._monitor = None
