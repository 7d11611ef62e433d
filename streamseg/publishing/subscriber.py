"""Hearing what `publish` sends, in Python: a socket with limits and, where they are needed, keys."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import zmq

from streamseg.errors import UsageError, WireError
from streamseg.publishing import curve, keys
from streamseg.publishing.address import checked_endpoint
from streamseg.publishing.connection import Connection
from streamseg.publishing.format import PART_MAX_BYTES, FrameHeader, Published, decode, topic, word

_WAITING_MAX = 4
_BUFFER_BYTES = 1 << 17
_MORE_WITHIN_MS = 1
_TAKING_MAX_S = 0.1

_log = logging.getLogger("streamseg.publishing")


def listen(
    context: zmq.Context[Any],
    endpoint: str,
    stream: str | None = None,
    *,
    own_key: Path | None = None,
    server_key: Path | None = None,
    topics: Sequence[str] | None = None,
    waiting: int = _WAITING_MAX,
    connection: Connection | None = None,
) -> zmq.Socket[bytes]:
    """A socket that receives published results; take them with `newest`.

    Little may wait on this side, since whatever waits gets old; what does not fit is dropped by the publisher.

    Args:
        context: of the socket.
        endpoint: where publish is bound, as seen from here.
        stream: name of a source of the graph; every stream if None.
        own_key: our ``.key_secret`` file, whose public key the publisher knows; None if publish has no keys.
        server_key: the publisher's ``.key`` file; nobody else is believed.
        topics: in the place of `stream`, how the topics of the messages that are wanted begin (``"camera/frame"``).
        waiting: how many messages may wait here; more for who wants every frame, and not the newest.
        connection: is told what becomes of the connection.

    Raises:
        UsageError: the address is none, a key cannot be read or is not secret, or only one of the two is given.
    """
    checked_endpoint(endpoint)
    guest = keys.load_guest(own_key, server_key)
    socket: zmq.Socket[bytes] = context.socket(zmq.SUB)
    socket.set(zmq.LINGER, 0)
    socket.set(zmq.IPV6, "[" in endpoint)
    socket.set(zmq.RCVHWM, waiting)
    socket.set(zmq.RCVBUF, _BUFFER_BYTES)
    socket.set(zmq.MAXMSGSIZE, PART_MAX_BYTES)
    if guest is not None:
        curve.introduce(socket, guest)
    if connection is not None:
        connection.watch(socket)
    try:
        socket.connect(endpoint)
    except zmq.ZMQError as error:
        socket.close()
        raise UsageError(f"expected the address of a publisher, got {endpoint!r}: {error.strerror}") from error
    everything = [b""] if stream is None else [topic(stream, ""), word(stream)]
    for wanted in everything if topics is None else topics:
        socket.subscribe(wanted)
    return socket


def newest(
    socket: zmq.Socket[bytes], wait_ms: int | None = None, on_damage: Callable[[WireError], None] | None = None
) -> list[Published]:
    """What has come, without the frames for which a newer one of the same stream has come too.

    For whoever acts on what is now: one that is slower than the stream falls behind no further than its own work
    takes. The age of a frame is ``time.time_ns() - header.arrived_ns``; if its sender says when it was taken
    (``header.captured_clock == "sender"``), and that clock is right, ``time.time_ns() - header.captured_ns``.

    Args:
        socket: from `listen`. (ZMQ_CONFLATE is no other way to this: it tears messages of several parts apart.)
        wait_ms: how long to wait for the first message; None for as long as it takes. Publishers send something every
            second, so some seconds without anything mean that the publisher is gone.
        on_damage: told of each message that is no published one, and is left out; without it the first is raised if
            nothing else came, and else logged.

    Returns:
        In the order in which they came; empty if nothing came.

    Raises:
        WireError: all that came is no published message, and there is no `on_damage`.
    """
    # What had to be waited for is the newest there is. Where something lay there already, more may come after it: what
    # waits in the kernel comes up when there is room for it, but not in the same instant.
    was_late = bool(socket.poll(0))
    if not was_late and not socket.poll(wait_ms):
        return []
    found: list[Published] = []
    errors: list[WireError] = []
    until_s = time.monotonic() + _TAKING_MAX_S
    is_first = True
    while is_first or (time.monotonic() < until_s and socket.poll(_MORE_WITHIN_MS if was_late else 0)):
        is_first = False
        try:
            message = decode(socket.recv_multipart())
        except WireError as error:
            (on_damage or errors.append)(error)
            continue
        if isinstance(message.header, FrameHeader):
            found = [each for each in found if not _is_frame_of(each, message.header.stream)]
        found.append(message)
    if errors and not found:
        raise errors[0]
    for damage in errors:
        _log.warning("a message was left out: %s", damage)
    return found


def _is_frame_of(message: Published, stream: str) -> bool:
    return isinstance(message.header, FrameHeader) and message.header.stream == stream
