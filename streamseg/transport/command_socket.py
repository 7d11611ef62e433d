"""The socket through which other processes of the same user send commands to a run: a Unix socket, mode 0600.

A request is one msgpack frame (`streamseg.commands.Request`), a response too. Nothing larger than `LARGEST_BYTES` is
received, and nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket as plain
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import zmq

from streamseg.commands import LARGEST_BYTES, Answer, Applied, Refused, Reply, Request, Response
from streamseg.errors import OutputError, RunError, UsageError, WireError

log = logging.getLogger(__name__)

_LONGEST_PATH = 100  # sun_path holds 108 bytes on Linux, 104 on macOS
_MOST_AT_ONCE = 64
_OVERHEAD_BYTES = 4096
_LAST_WORDS_MS = 200
_MOMENT_MS = 2000
_WITHDRAWN_WITHIN_S = 3.0


class CommandServer:
    """The end of the run. Use `close` to let go of it.

    Args:
        path: where the socket shall be; what a dead run left there is replaced.

    Raises:
        UsageError: the path is too long, something else is there, or another run listens there.
        OutputError: the socket cannot be made there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.expanduser().absolute()
        _make_room(self._path)
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.set(zmq.ROUTER_MANDATORY, 1)
        self._socket.set(zmq.MAXMSGSIZE, LARGEST_BYTES + _OVERHEAD_BYTES)
        # The mode counts from the first moment on.
        before = os.umask(0o177)
        try:
            self._socket.bind(f"ipc://{self._path}")
            self._path.chmod(0o600)
        except (zmq.ZMQError, OSError) as error:
            self._context.destroy(linger=0)
            raise OutputError(
                f"no socket can be made at {self._path}: {error.strerror}; choose another place"
            ) from error
        finally:
            os.umask(before)
        self._decoder = msgspec.msgpack.Decoder(Request)
        self._encoder = msgspec.msgpack.Encoder()

    @property
    def socket(self) -> zmq.Socket[bytes]:
        """Readable when there are requests."""
        return self._socket

    def requests(self) -> Iterator[tuple[Request, Reply]]:
        """What has come, each with the way to answer it."""
        for _ in range(_MOST_AT_ONCE):
            if not self._socket.poll(0):
                return
            client, *frames = self._socket.recv_multipart()
            try:
                if len(frames) != 1:
                    raise WireError(f"expected a command in one frame, got {len(frames)}")
                request = self._decoder.decode(frames[0])
            except (WireError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                self.respond(client, 0, Refused("WireError", f"not a valid command: {error}"))
                continue
            yield request, _Responder(self, client, request.number)

    def close(self) -> None:
        """Give the last answers a moment to leave, then go."""
        self._socket.close(linger=1000)
        self._context.term()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def respond(self, client: bytes, number: int, answer: Answer) -> None:
        """Answer a request, if who sent it is still there."""
        try:
            self._socket.send_multipart([client, self._encoder.encode(Response(number, answer))])
        except zmq.ZMQError as error:
            log.debug("a client went before it heard its answer: %s", error)


@dataclass(frozen=True)
class _Responder:
    """The way to answer a request; equal for a command and for taking it back."""

    server: CommandServer
    client: bytes
    number: int

    def __call__(self, answer: Answer) -> None:
        self.server.respond(self.client, self.number, answer)


def ask(
    path: Path,
    node: str | None,
    body: bytes,
    timeout_s: float | None,
    waiting: Callable[[], None] | None = None,
) -> Answer:
    """Send one command to a run and wait for the answer. Ctrl-C takes the command back.

    Args:
        path: of its socket.
        node: as in `Request`.
        body: as in `Request`.
        timeout_s: how long to wait; None waits until the run answers or ends.
        waiting: called once if the answer takes more than a moment.

    Raises:
        KeyboardInterrupt: as it came; says what has become of the command.
        UsageError: the command is too large.
        RunError: no run listens there, it went before it answered, or the time is over.
    """
    path = path.expanduser().absolute()
    if len(body) > LARGEST_BYTES:
        raise UsageError(f"the command has {len(body)} bytes, at most {LARGEST_BYTES} are taken; give a smaller mask")
    _check_listens(path)
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.set(zmq.LINGER, 0)
        monitor = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        try:
            socket.connect(f"ipc://{path}")
            socket.send(msgspec.msgpack.encode(Request(1, node, msgspec.Raw(body))))
            if waiting is not None and timeout_s is None and not socket.poll(_MOMENT_MS):
                waiting()
            return _wait(socket, monitor, path, timeout_s)
        except KeyboardInterrupt as interrupt:
            socket.send(msgspec.msgpack.encode(Request(1, node, msgspec.Raw(b"\xc0"), withdraw=True)))
            raise KeyboardInterrupt(_became(socket, monitor, path)) from interrupt
        finally:
            socket.disable_monitor()
            monitor.close()


def _became(socket: zmq.Socket[bytes], monitor: zmq.Socket[bytes], path: Path) -> str:
    try:
        answer = _wait(socket, monitor, path, _WITHDRAWN_WITHIN_S)
    except RunError:
        return f"the run at {path} does not say whether the command has come into force"
    return f"too late, {answer}" if isinstance(answer, Applied) else answer.message


def _wait(socket: zmq.Socket[bytes], monitor: zmq.Socket[bytes], path: Path, timeout_s: float | None) -> Answer:
    poller = zmq.Poller()
    poller.register(socket, zmq.POLLIN)
    poller.register(monitor, zmq.POLLIN)
    until_s = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        left_ms = None if until_s is None else max(0, int((until_s - time.monotonic()) * 1000))
        news = dict(poller.poll(left_ms))
        if socket in news:
            return msgspec.msgpack.decode(socket.recv(), type=Response).answer
        if monitor in news:
            monitor.recv_multipart()
            if socket.poll(_LAST_WORDS_MS):
                continue
            raise RunError(
                f"the run at {path} went before it answered; whether the command came into force is not known"
            )
        if not news:
            raise RunError(
                f"no answer from the run at {path} within {timeout_s:g} s; the command stays in force and waits for "
                f"its frame"
            )


def _make_room(path: Path) -> None:
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise UsageError(f"{path}: a socket's path has {_LONGEST_PATH} bytes at most; choose a shorter one")
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"no socket can be made at {path}: {error.strerror}; choose another place") from error
    if not stat.S_ISSOCK(mode):
        raise UsageError(f"{path} is there already and is no socket; choose another path, or remove it")
    if _listens(path):
        raise UsageError(f"another run listens at {path}; choose another path")
    path.unlink(missing_ok=True)


def _check_listens(path: Path) -> None:
    try:
        facts = path.stat()
    except OSError as error:
        raise RunError(f"no run listens at {path}: {error.strerror}; start one with --control {path}") from error
    if not stat.S_ISSOCK(facts.st_mode):
        raise RunError(f"{path} is not the socket of a run; start one with --control and another path")
    if facts.st_uid != os.geteuid():
        raise RunError(f"{path} belongs to another user; commands go to runs of one's own only")
    if not _listens(path):
        raise RunError(f"no run listens at {path} any more; start one with --control {path}")


def _listens(path: Path) -> bool:
    with plain.socket(plain.AF_UNIX, plain.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
