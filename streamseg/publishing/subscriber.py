"""Hearing what `publish` sends, in Python: a socket with limits and, where they are needed, keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import zmq

from streamseg.publishing import curve, keys
from streamseg.publishing.format import PART_MAX_BYTES, topic


def listen(
    context: zmq.Context[Any],
    endpoint: str,
    stream: str | None = None,
    *,
    own_key: Path | None = None,
    server_key: Path | None = None,
) -> zmq.Socket[bytes]:
    """A socket that receives published results; hand what its ``recv_multipart`` gives to `published.decode`.

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
    socket.set(zmq.MAXMSGSIZE, PART_MAX_BYTES)
    if guest is not None:
        curve.introduce(socket, guest)
    socket.connect(endpoint)
    socket.subscribe(b"" if stream is None else topic(stream, ""))
    return socket
