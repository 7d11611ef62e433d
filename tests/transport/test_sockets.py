"""Sockets of a run take no part that is longer than any honest one."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from streamseg.transport.sockets import PART_MAX_BYTES, SUPERVISOR, Sockets, make_run_dir


@pytest.fixture
def run_dir() -> Iterator[Path]:
    made = make_run_dir()
    yield made
    shutil.rmtree(made)


@pytest.mark.parametrize("kind", ["data", "control"])
def test_an_overlong_part_is_cut_off_and_the_next_sender_is_heard(run_dir: Path, kind: str) -> None:
    context = zmq.Context()
    with Sockets(run_dir) as sockets:
        endpoint = "node.in" if kind == "data" else SUPERVISOR
        ours = sockets.pull(endpoint) if kind == "data" else sockets.supervisor()
        with contextlib.closing(context.socket(zmq.PUSH if kind == "data" else zmq.DEALER)) as hostile:
            hostile.set(zmq.LINGER, 0)
            hostile.connect(f"ipc://{run_dir / endpoint}")
            hostile.send(bytes(PART_MAX_BYTES + 1))
            honest = sockets.push([endpoint]) if kind == "data" else sockets.worker("node")
            honest.send(b"hello")
            assert ours.poll(5000)
            assert ours.recv_multipart()[-1] == b"hello"
            assert not ours.poll(200)
    context.destroy(linger=0)
