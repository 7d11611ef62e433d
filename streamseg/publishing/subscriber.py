"""Hearing what `publish` sends, in Python: a socket with limits and, where they are needed, keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import zmq

from streamseg.publishing import curve, keys
from streamseg.publishing.format import PART_MAX_BYTES, FrameHeader, Published, decode, topic, word

_WAITING_MAX = 4
_BUFFER_BYTES = 1 << 17
_MORE_WITHIN_MS = 1


def listen(
    context: zmq.Context[Any],
    endpoint: str,
    stream: str | None = None,
    *,
    own_key: Path | None = None,
    server_key: Path | None = None,
) -> zmq.Socket[bytes]:
    """A socket that receives published results; take them with `newest`.

    Little may wait on this side, since whatever waits gets old; what does not fit is dropped by the publisher.

    Args:
        context: of the socket.
        endpoint: where publish is bound, as seen from here.
        stream: name of a source of the graph; every stream if None.
        own_key: our ``.key_secret`` file, whose public key the publisher knows; None if publish has no keys.
        server_key: the publisher's ``.key`` file; nobody else is believed.

    Raises:
        UsageError: a key cannot be read or is not secret, or only one of the two is given.
    """
    guest = keys.load_guest(own_key, server_key)
    socket: zmq.Socket[bytes] = context.socket(zmq.SUB)
    socket.set(zmq.LINGER, 0)
    socket.set(zmq.IPV6, "[" in endpoint)
    socket.set(zmq.RCVHWM, _WAITING_MAX)
    socket.set(zmq.RCVBUF, _BUFFER_BYTES)
    socket.set(zmq.MAXMSGSIZE, PART_MAX_BYTES)
    if guest is not None:
        curve.introduce(socket, guest)
    socket.connect(endpoint)
    for wanted in (b"",) if stream is None else (topic(stream, ""), word(stream)):
        socket.subscribe(wanted)
    return socket


def newest(socket: zmq.Socket[bytes], wait_ms: int | None = None) -> list[Published]:
    """What has come, without the frames for which a newer one of the same stream has come too.

    For whoever acts on what is now: one that is slower than the stream falls behind no further than its own work
    takes. The age of a frame is ``time.time_ns() - header.arrived_ns``; if its sender says when it was taken
    (``header.captured_clock == "sender"``), and that clock is right, ``time.time_ns() - header.captured_ns``.

    Args:
        socket: from `listen`. (ZMQ_CONFLATE is no other way to this: it tears messages of several parts apart.)
        wait_ms: how long to wait for the first message; None for as long as it takes. Publishers send something every
            second, so some seconds without anything mean that the publisher is gone.

    Returns:
        In the order in which they came; empty if nothing came.

    Raises:
        WireError: what came is no published message.
    """
    if not socket.poll(wait_ms):
        return []
    found = [decode(socket.recv_multipart())]
    # What waits in the kernel comes after what has been taken, but not in the same instant.
    while socket.poll(_MORE_WITHIN_MS):
        message = decode(socket.recv_multipart())
        if isinstance(message.header, FrameHeader):
            found = [each for each in found if not _is_frame_of(each, message.header.stream)]
        found.append(message)
    return found


def _is_frame_of(message: Published, stream: str) -> bool:
    return isinstance(message.header, FrameHeader) and message.header.stream == stream
