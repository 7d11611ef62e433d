"""Hearing what streamseg publishes, with pyzmq, msgspec and numpy alone: for copying into a program of your own."""

import argparse
import time

import msgspec
import numpy as np
import zmq
import zmq.auth


def arguments(purpose):
    """The parser of what both programs take: where to listen, and with which keys."""
    parser = argparse.ArgumentParser(description=purpose)
    parser.add_argument("address", nargs="?", default="tcp://127.0.0.1:5560")
    parser.add_argument("own_key", nargs="?", help="our .key_secret file, if the publisher has keys")
    parser.add_argument("server_key", nargs="?", help="and the publisher's .key file")
    return parser


def listen(args, stream=None):
    """A socket on which little waits: what waits is old by the time it is acted on."""
    socket = zmq.Context.instance().socket(zmq.SUB)
    socket.rcvhwm, socket.rcvbuf, socket.linger, socket.ipv6 = 4, 1 << 17, 0, "[" in args.address
    if args.server_key:
        socket.curve_publickey, socket.curve_secretkey = zmq.auth.load_certificate(args.own_key)
        socket.curve_serverkey, _ = zmq.auth.load_certificate(args.server_key)
    socket.connect(args.address)
    for wanted in ("",) if stream is None else (f"{stream}/", f"{stream}."):
        socket.subscribe(wanted)
    return socket


def newest(socket, wait_ms):
    """[(header, parts)] of what has come, of each stream's frames the newest alone; [] if nothing has.

    Never ZMQ_CONFLATE, which tears messages of several parts apart.
    """
    late = socket.poll(0)
    if not late and not socket.poll(wait_ms):
        return []
    found, until_s = {}, time.monotonic() + 0.1
    while not found or (time.monotonic() < until_s and socket.poll(1 if late else 0)):
        parts = socket.recv_multipart()
        header = msgspec.msgpack.decode(parts[1])
        if header["v"] != 1:
            raise SystemExit(f"expected version 1 of what streamseg publishes, got {header['v']}")
        is_frame = header["kind"] == "frame"
        key = ("frame", header["stream"]) if is_frame else len(found)
        found.pop(key, None)
        found[key] = header, parts
    return list(found.values())


def mask_of(thing, header, parts):
    """(height, width) bool mask of one of a frame's objects; None if masks are not published."""
    if thing["mask"] is None:
        return None
    data, height, width = parts[thing["mask"]["part"]], header["height"], header["width"]
    if thing["mask"]["encoding"] == "uint8":
        return np.frombuffer(data, np.uint8).reshape(height, width) > 0
    counts, value, shift = [], 0, 0
    for letter in data:  # COCO's run lengths: docs/wire-format.md explains them
        group = letter - 48
        value |= (group & 31) << shift
        shift += 5
        if not group & 32:
            value -= (group & 16) and 1 << shift
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value, shift = 0, 0
    if sum(counts) != height * width or min(counts) < 0:
        raise ValueError(f"the mask of object {thing['id']} is not of the frame's size")
    columns, at = np.zeros(width * height, bool), 0
    for zeros, ones in zip(counts[::2], counts[1::2], strict=False):
        columns[at + zeros : at + zeros + ones] = True
        at += zeros + ones
    return columns.reshape(width, height).T


def ms_since(then_ns):
    """Milliseconds from a time of the header until now."""
    return (time.time_ns() - then_ns) / 1e6
