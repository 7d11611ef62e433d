"""The connection of a bridge to the machine where its worker is: made, watched, and made again when it is lost."""

from __future__ import annotations

import logging
import secrets
import time
from typing import Any

import msgspec
import zmq

from streamseg.errors import RunError, UsageError, WireError
from streamseg.graph.config import HostSpec
from streamseg.publishing.connection import Connection
from streamseg.publishing.curve import introduce
from streamseg.publishing.keys import Guest
from streamseg.remote.link import Link
from streamseg.remote.terms import (
    GREETING,
    LARGEST_FRAME_BYTES,
    PING_S,
    SILENT_S,
    VERSION,
    Join,
    Joined,
    TurnedAway,
    Unknown,
    unpacked,
)

log = logging.getLogger(__name__)

_FIRST_S = 10.0
"""A machine that has not answered by then is not waited for."""
_CONNECT_MS = 1500
_AGAIN_MS = 150
_HANDSHAKE_MS = 3000
_LAST_WORDS_MS = 200
_JOIN_AGAIN_S = 1.0
_ATTEMPT_S = 4.0


class Uplink:
    """Use `close` to let go of it.

    Args:
        name: of the machine, in the graph file.
        host: what the graph file says of it.
        guest: our keys.
        session: as in `Join`.
        identity: as in `Join`.
        patient: whether the machine has been there before, so that it is waited for as for one that got lost.
    """

    def __init__(
        self, name: str, host: HostSpec, guest: Guest, session: str, identity: str, *, patient: bool = False
    ) -> None:
        self._name = name
        self._host = host
        self._guest = guest
        self._session = session
        self._identity = identity
        self._nonce = secrets.token_hex(8)
        self._context: zmq.Context[Any] = zmq.Context()
        self.link = Link()
        self.lost = 0
        """How often the connection was lost."""
        self.away_s = 0.0
        """For how long, all in all."""
        self._was_up = False
        self._patience_s = host.away_s if patient else min(_FIRST_S, host.away_s)
        self._down_s = time.monotonic()
        self._heard_s = self._pinged_s = 0.0
        self._opened_s = self._joined_s = self._down_s
        self._attempt = 0
        self._socket, self._connection = self._opened()

    @property
    def socket(self) -> zmq.Socket[Any]:
        """Readable when something has come. Another one after each loss."""
        return self._socket

    @property
    def text(self) -> str:
        """Which machine, in words."""
        return f"host {self._name!r} at {self._host.address}"

    def close(self) -> None:
        """Let go of it."""
        self._connection.close()
        self._context.destroy(linger=_LAST_WORDS_MS)

    def receive(self) -> list[list[memoryview]]:
        """Messages that have come and are whole.

        Raises:
            StreamsegError: the other side refuses us, has forgotten us, or has been away for too long.
        """
        found = []
        while self._socket.poll(0):
            frames = self._socket.recv_multipart(copy=False)
            self._heard_s = time.monotonic()
            try:
                if len(frames) == 3:
                    self._greeted([frame.bytes for frame in frames])
                elif len(frames) == 2 and self.link.up:
                    parts = self.link.take(frames[0].buffer, frames[1].buffer)
                    if parts is not None:
                        found.append(parts)
            except WireError as error:
                raise RunError(f"{self.text} sends what cannot be understood: {error}") from error
        self._look_after()
        return found

    def _look_after(self) -> None:
        now_s = time.monotonic()
        self._connection.look()
        # Once it has let us in, what looks like a refusal may be a tunnel whose other end is away.
        if self._connection.refused and not self._was_up:
            raise UsageError(f"{self.text}: {self._connection.refused}")
        if self.link.up:
            if now_s - self._heard_s > SILENT_S or not self._connection.up:
                self._lose()
            elif now_s - self._pinged_s > PING_S:
                self._pinged_s = now_s
                self.link.ping()
        elif now_s - self._down_s > self._patience_s:
            raise RunError(self._away_text())
        elif now_s - self._opened_s > _ATTEMPT_S and not self._connection.up:
            self._open_again()
        elif now_s - self._joined_s > _JOIN_AGAIN_S and self._connection.up:
            self._join()

    def _away_text(self) -> str:
        if self._was_up:
            why = f"; {self._connection.refused}" if self._connection.refused else ""
            return f"{self.text} has been away for {self._patience_s:g} s (away_s of the host allows more){why}"
        there = "something answers there, but not as a worker does" if self._connection.answered else "nobody answers"
        return (
            f"{self.text}: {there} within {self._patience_s:g} s; start 'streamseg worker --listen "
            f"{self._host.address}' on it, and see that the port can be reached"
        )

    def _lose(self) -> None:
        log.warning("%s is away; it is waited for up to %g s", self.text, self._host.away_s)
        self.lost += 1
        self._down_s = self._heard_s
        self._patience_s = self._host.away_s
        self.link.disconnect()
        self._open_again()

    def _greeted(self, frames: list[bytes]) -> None:
        if frames[0] != GREETING:
            raise WireError("it is no greeting")
        if frames[1] != VERSION:
            theirs = frames[1].decode("utf-8", "replace")
            raise UsageError(
                f"{self.text} has streamseg {theirs}, this machine has {VERSION.decode()}; install the same version "
                f"on both"
            )
        answer = unpacked(frames[2], Joined | Unknown | TurnedAway)
        if isinstance(answer, TurnedAway):
            raise RunError(f"{self.text} cannot take the worker up: {answer.reason}")
        if isinstance(answer, Unknown):
            raise RunError(f"{self.text} was started anew, or has given the worker up; what it had is lost")
        if self.link.up:
            return
        now_s = time.monotonic()
        if self._was_up:
            self.away_s += now_s - self._down_s
            log.warning("%s is back after %.1f s", self.text, now_s - self._down_s)
        self._was_up = True
        self._heard_s = now_s
        self.link.connect(self._send, answer.received)

    def _send(self, frames: list[Any]) -> None:
        self._socket.send_multipart(frames)

    def _open_again(self) -> None:
        self._connection.close()
        self._socket.close(linger=0)
        self._socket, self._connection = self._opened()

    def _opened(self) -> tuple[zmq.Socket[Any], Connection]:
        socket: zmq.Socket[Any] = self._context.socket(zmq.DEALER)
        socket.set(zmq.LINGER, 0)
        # Tickets bound what is in flight.
        socket.set(zmq.SNDHWM, 0)
        socket.set(zmq.RCVHWM, 0)
        socket.set(zmq.IPV6, 1)
        socket.set(zmq.MAXMSGSIZE, LARGEST_FRAME_BYTES)
        socket.set(zmq.CONNECT_TIMEOUT, _CONNECT_MS)
        socket.set(zmq.RECONNECT_IVL, _AGAIN_MS)
        socket.set(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
        introduce(socket, self._guest)
        connection = Connection("worker", "--allow")
        connection.watch(socket)
        try:
            socket.connect(f"tcp://{self._host.address}")
        except zmq.ZMQError as error:
            connection.close()
            self._context.destroy(linger=0)
            raise UsageError(
                f"{self.text} is no address that can be reached: {zmq.strerror(error.errno or 0)}"
            ) from error
        self._attempt += 1
        # The greeting goes once there is a connection.
        self._opened_s, self._joined_s = time.monotonic(), 0.0
        return socket, connection

    def _join(self) -> None:
        self._joined_s = time.monotonic()
        join = Join(self._session, self._identity, self._nonce, self._attempt, self.link.received)
        self._send([GREETING, VERSION, msgspec.msgpack.encode(join)])
