"""A viewer somewhere else: told of a frame whenever it has taken the one before, never waited for.

Rerun's own sender keeps all that is logged until the viewer has it. So here a thread gives it one frame after the
other, each when the one before has left; meanwhile frames are let go. A viewer that is away is asked for, once a
second, by a plain connection, before Rerun is bothered.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from streamseg.mailbox import Mailbox
from streamseg.messages import Gap
from streamseg_nodes.rerun.drawing import Drawing, Shown

_log = logging.getLogger("streamseg.nodes.rerun")

_ASK_EVERY_S = 1.0
_ASK_WITHIN_S = 1.0
_SEND_WITHIN_S = 0.5
_GIVE_UP_S = 10.0
"""A viewer that takes nothing for so long is connected to anew."""
_LAST_WORDS_S = 3.0


class Viewer:
    """The thread that tells a viewer.

    Args:
        host: name or address.
        port: of the viewer.
        connect: makes a recording that goes to the viewer, and what draws into it.
    """

    def __init__(self, host: str, port: int, connect: Callable[[], tuple[Any, Drawing]]) -> None:
        self._place = (host, port)
        self._connect = connect
        self._mailbox: Mailbox[Shown | Gap] = Mailbox("freshest")
        self._busy = False
        self._stopping = threading.Event()
        self.sent = 0
        """Frames that the viewer has."""
        self._said_away = False
        self._thread = threading.Thread(target=self._work, name="rerun-viewer", daemon=True)
        self._thread.start()

    @property
    def is_free(self) -> bool:
        """Whether it is there and has taken all that it was given."""
        return self._connected and not self._busy and not self._mailbox.waiting

    def offer(self, item: Shown | Gap) -> None:
        """A frame, or word of a missing one; it takes the place of one that is still waiting."""
        self._mailbox.put(item)

    def close(self) -> None:
        """Give what is on its way a moment to leave."""
        self._mailbox.close()
        self._thread.join(_LAST_WORDS_S)
        self._stopping.set()
        self._thread.join(_LAST_WORDS_S)

    _connected = False

    def _work(self) -> None:
        while not self._stopping.is_set() and not self._mailbox.closed:
            if not self._is_there():
                self._say_away()
                self._stopping.wait(_ASK_EVERY_S)
                continue
            recording, drawing = self._connect()
            self._connected = True
            try:
                self._tell(recording, drawing)
            finally:
                self._connected = False
                recording.disconnect()

    def _tell(self, recording: Any, drawing: Drawing) -> None:
        """Tell of one frame after the other, until the viewer is gone or there are no more."""
        while (item := self._mailbox.wait()) is not None:
            self._busy = True
            try:
                if isinstance(item, Gap):
                    drawing.add_gap(item)
                else:
                    drawing.add(item)
                if not self._leaves(recording):
                    self._say_away()
                    return
                self.sent += isinstance(item, Shown)
                self._said_away = False
            finally:
                self._busy = False

    def _leaves(self, recording: Any) -> bool:
        """Wait until the viewer has all that it was told. False if it does not take it."""
        deadline_s = time.monotonic() + _GIVE_UP_S
        while not self._stopping.is_set() and time.monotonic() < deadline_s:
            try:
                recording.flush(timeout_sec=_SEND_WITHIN_S)
            # Rerun raises nothing more exact, whether it takes long or the connection is gone.
            except RuntimeError:
                if not self._is_there():
                    return False
                continue
            return True
        return False

    def _is_there(self) -> bool:
        try:
            with socket.create_connection(self._place, _ASK_WITHIN_S):
                return True
        except OSError:
            return False

    def _say_away(self) -> None:
        if not self._said_away:
            self._said_away = True
            host, port = self._place
            _log.warning("no Rerun viewer takes anything at %s:%d; it is shown what comes once one does", host, port)
