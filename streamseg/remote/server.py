"""The machine's side: ``streamseg worker``, which starts workers for the runs of others.

One socket for all runs; who has no key on the list does not get in. All of it is one loop in one thread.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import msgspec
import zmq

from streamseg.errors import OutputError, StreamsegError, WireError
from streamseg.publishing.curve import Doorkeeper
from streamseg.publishing.keys import Door
from streamseg.remote import terms
from streamseg.remote.freight import plain
from streamseg.remote.guard import Guard
from streamseg.remote.seat import Seat
from streamseg.remote.session import Session
from streamseg.remote.terms import (
    GREETING,
    LARGEST_FRAME_BYTES,
    VERSION,
    Ended,
    Join,
    Joined,
    TurnedAway,
    Unknown,
    unpacked,
)
from streamseg.transport.sockets import sweep_run_dirs

log = logging.getLogger(__name__)

LONGEST_AWAY_S = 600.0
_WAIT_MS = 100
_MOST_AT_ONCE = 256  # pieces taken from the socket before the workers get their turn
_FAREWELL_S = 0.5


class WorkerServer:
    """Use as a context manager: leaving it ends every worker.

    Args:
        address: ``tcp://HOST:PORT`` of this machine; a port of 0 takes a free one.
        door: who we are and whom we let in.
        guard: what may be started.

    Raises:
        OutputError: the address cannot be had.
    """

    def __init__(self, address: str, door: Door, guard: Guard) -> None:
        self._guard = guard
        self._seats: dict[tuple[str, str], Seat] = {}
        self._sessions: dict[str, tuple[Session, contextlib.ExitStack]] = {}
        self._peers: dict[bytes, Seat] = {}
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            self._context: zmq.Context[Any] = zmq.Context()
            stack.callback(self._context.destroy, linger=200)
            doorkeeper = Doorkeeper(self._context, door)
            stack.callback(doorkeeper.close)
            self._socket = self._context.socket(zmq.ROUTER)
            stack.callback(self._socket.close, linger=200)
            self._prepare(doorkeeper, ipv6="[" in address)
            try:
                self._socket.bind(address)
            except zmq.ZMQError as error:
                where, why = address.removeprefix("tcp://"), zmq.strerror(error.errno or 0)
                raise OutputError(
                    f"cannot listen at {where}: {why}; end what listens there, or choose another port"
                ) from error
            stack.callback(self._end)
            self._stack = stack.pop_all()
        sweep_run_dirs()

    def _prepare(self, doorkeeper: Doorkeeper, *, ipv6: bool) -> None:
        doorkeeper.guard(self._socket)
        # One that is away is an error when it is written to, rather than nothing.
        self._socket.set(zmq.ROUTER_MANDATORY, 1)
        self._socket.set(zmq.SNDHWM, 0)
        self._socket.set(zmq.RCVHWM, 0)
        self._socket.set(zmq.IPV6, int(ipv6))
        self._socket.set(zmq.MAXMSGSIZE, LARGEST_FRAME_BYTES)
        # What is kept for a connection that is dead is let go of.
        self._socket.set(zmq.HEARTBEAT_IVL, 1000)
        self._socket.set(zmq.HEARTBEAT_TIMEOUT, 5000)

    def __enter__(self) -> WorkerServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def address(self) -> str:
        """Where it listens: ``HOST:PORT``."""
        return self._socket.get_string(zmq.LAST_ENDPOINT).removeprefix("tcp://")

    def serve(self, ended: Callable[[], bool]) -> None:
        """Work until `ended` says so; it is asked ten times a second."""
        while not ended():
            self.step()

    def step(self) -> None:
        """Wait for something to do, but not for long, and do it."""
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        for session, _ in self._sessions.values():
            poller.register(session.control, zmq.POLLIN)
        for seat in self._seats.values():
            for socket in seat.sockets:
                poller.register(socket, zmq.POLLIN)
        news = dict(poller.poll(_WAIT_MS))
        if self._socket in news:
            self._take()
        for session, _ in self._sessions.values():
            if session.control in news:
                self._hear(session)
        for seat in self._seats.values():
            if any(socket in news for socket in seat.sockets):
                seat.take_from_worker()
        self._look_after()

    def _take(self) -> None:
        for _ in range(_MOST_AT_ONCE):
            if not self._socket.poll(0):
                return
            peer, *frames = self._socket.recv_multipart(copy=False)
            if len(frames) == 3:
                self._greeted(peer.bytes, [frame.bytes for frame in frames])
            elif len(frames) == 2 and peer.bytes in self._peers:
                self._take_piece(peer.bytes, frames)

    def _take_piece(self, peer: bytes, frames: list[zmq.Frame]) -> None:
        seat = self._peers[peer]
        seat.heard()
        try:
            parts = seat.link.take(frames[0].buffer, frames[1].buffer)
        except WireError as error:
            log.warning("a connection is given up: %s", error)
            self._hang_up(peer)
            return
        try:
            if parts is not None:
                seat.take(parts)
        except WireError as error:
            log.warning("a message of a run was thrown away: %s", error)

    def _greeted(self, peer: bytes, frames: list[bytes]) -> None:
        if frames[0] != GREETING:
            return
        if frames[1] != VERSION:
            # The other side sees the version and says what to do.
            self._answer(peer, b"")
            return
        try:
            self._seat(peer, unpacked(frames[2], Join))
        except StreamsegError as error:
            log.warning("a run was turned away: %s", error)
            self._answer(peer, msgspec.msgpack.encode(TurnedAway(str(error))))

    def _seat(self, peer: bytes, join: Join) -> None:
        seat = self._seats.get((join.session, join.identity))
        if seat is not None and seat.nonce != join.nonce:
            self._remove((join.session, join.identity))
            seat = None
        if seat is None:
            if join.received:
                self._answer(peer, msgspec.msgpack.encode(Unknown()))
                return
            seat = self._add(join)
        if join.attempt < seat.attempt:
            return
        self._answer(peer, msgspec.msgpack.encode(Joined(seat.link.received)))
        if seat.peer == peer:
            return
        if seat.peer is not None:
            self._peers.pop(seat.peer, None)
        seat.attempt = join.attempt
        self._peers[peer] = seat
        seat.joined(peer, lambda parts: self._send(peer, parts), join.received)

    def _add(self, join: Join) -> Seat:
        if join.session not in self._sessions:
            stack = contextlib.ExitStack()
            self._sessions[join.session] = (stack.enter_context(Session()), stack)
        seat = Seat(join, self._sessions[join.session][0], self._guard, LONGEST_AWAY_S)
        self._seats[join.session, join.identity] = seat
        return seat

    def _remove(self, key: tuple[str, str]) -> None:
        seat = self._seats.pop(key)
        if seat.peer is not None:
            self._peers.pop(seat.peer, None)
        seat.close()

    def _look_after(self) -> None:
        for key, seat in list(self._seats.items()):
            if not seat.look_after():
                if seat.child is not None and seat.child.alive:
                    log.warning("%s is ended: its run is gone", seat.identity)
                self._remove(key)
        used = {session for session, _ in self._seats}
        for name in [name for name in self._sessions if name not in used]:
            self._sessions.pop(name)[1].close()

    def _hear(self, session: Session) -> None:
        for _ in range(_MOST_AT_ONCE):
            if not session.control.poll(0):
                return
            who, said = session.control.recv_multipart()
            for seat in self._seats.values():
                if seat.session is session and seat.identity.encode() == who:
                    seat.hear(said)

    def _answer(self, peer: bytes, body: bytes) -> None:
        with contextlib.suppress(zmq.ZMQError):
            self._socket.send_multipart([peer, GREETING, VERSION, body])

    def _send(self, peer: bytes, frames: list[Any]) -> None:
        try:
            self._socket.send_multipart([peer, *frames])
        except zmq.ZMQError as error:
            log.debug("a run has hung up: %s", error)
            self._hang_up(peer)

    def _hang_up(self, peer: bytes) -> None:
        seat = self._peers.pop(peer, None)
        if seat is not None:
            seat.hung_up()

    def _end(self) -> None:
        for seat in self._seats.values():
            with contextlib.suppress(StreamsegError):
                ended = Ended(1, "was ended, since 'streamseg worker' was")
                seat.link.push(plain(terms.ENDED, msgspec.msgpack.encode(ended)))
        deadline_s = time.monotonic() + _FAREWELL_S
        while any(seat.link.up and not seat.link.all_arrived for seat in self._seats.values()):
            if time.monotonic() > deadline_s:
                break
            if self._socket.poll(50):
                self._take()
        for key in list(self._seats):
            self._remove(key)
        for _, stack in self._sessions.values():
            stack.close()
        self._sessions.clear()
