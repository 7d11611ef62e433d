"""Sockets of a run take no part that is longer than any honest one."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import shutil
import tempfile
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from support.graphs import toy_graph

from streamseg.graph.plan import Plan
from streamseg.runtime.supervision.worker_pool import WorkerPool
from streamseg.transport.sockets import PART_MAX_BYTES, SUPERVISOR, Sockets, make_run_dir, sweep_run_dirs


@pytest.fixture
def run_dir() -> Iterator[Path]:
    made, owner_fd = make_run_dir()
    yield made
    shutil.rmtree(made)
    os.close(owner_fd)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_sockets_that_nobody_holds_any_more_are_closed_with_the_others(run_dir: Path) -> None:
    sockets = Sockets(run_dir)
    circle: list[object] = [sockets.pull("node.in"), sockets.push(["other.in"])]
    circle.append(circle)
    del circle
    with warnings.catch_warnings():
        # As in a program for which warnings are errors: what ends a socket otherwise then ends before it has.
        warnings.simplefilter("error", ResourceWarning)
        gc.collect()
    ending = threading.Thread(target=sockets.close, daemon=True)
    ending.start()
    ending.join(20)
    assert not ending.is_alive()


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


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where directories of runs are made; not below pytest's own folder, since paths of sockets must be short."""
    with tempfile.TemporaryDirectory(prefix="ss-") as name:
        monkeypatch.setenv("XDG_RUNTIME_DIR", name)
        monkeypatch.setenv("TMPDIR", name)
        monkeypatch.setattr(tempfile, "tempdir", None)
        yield Path(name)


def test_what_a_dead_run_has_left_is_removed_and_nothing_else(place: Path) -> None:
    dead, fd = make_run_dir()
    os.close(fd)  # as the system does when its owner dies
    (dead / "supervisor").touch()
    alive, fd = make_run_dir()
    just_made, new_fd = make_run_dir()
    os.close(new_fd)
    others = place / "streamseg-results"
    without_owner = place / "streamseg-0123456789ab"
    link = place / "streamseg-ba9876543210"
    others.mkdir()
    without_owner.mkdir()
    link.symlink_to(others)
    for path in (dead, alive, others, without_owner):
        os.utime(path, (0, 0))
    sweep_run_dirs()
    assert set(place.iterdir()) == {alive, just_made, others, without_owner, link}
    os.close(fd)


def test_a_run_sweeps_before_it_makes_its_own(place: Path) -> None:
    dead, fd = make_run_dir()
    os.close(fd)
    os.utime(dead, (0, 0))
    with WorkerPool(Plan(toy_graph(Path("out"))), logging.WARNING, None) as pool:
        assert list(place.iterdir()) == [Path(pool.run_dir)]
