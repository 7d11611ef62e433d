"""A running graph whose own sockets are sent junk, and what it shows of its secrets."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import numpy as np
import zmq
from support.graphs import lines, start, toy_graph
from support.toy_nodes import Sum

from streamseg.graph.plan import Plan
from streamseg.messages import Frame, Gap, Stamp
from streamseg.node import NodeContext
from streamseg.runtime.stage import Stage
from streamseg.runtime.supervision.supervisor import Supervisor
from streamseg.transport.control import Bye, Done, Stats, Trouble

JUNK = [
    b"",
    b"junk",
    os.urandom(2000),
    b"\xc1",
    b"\x91" * 5000,
    msgspec.msgpack.encode({"type": "Frame", "stamp": 3}),
    msgspec.msgpack.encode({"type": "Start"}),
    msgspec.msgpack.encode(["Finished", "write", 99, 1, "done"]),
    msgspec.msgpack.encode(["Finished", "stranger", 0, 1, "done"]),
]


def test_junk_on_every_socket_of_a_run_changes_nothing(tmp_path: Path) -> None:
    """The directory is closed to other users; a mistake of our own must not bring a run down either."""
    path = tmp_path / "out.jsonl"
    with Supervisor(Plan(toy_graph(path, count={"frames": 40, "pause_s": 0.01}))) as supervisor:
        start(supervisor)
        context = zmq.Context()
        endpoints = [each for each in Path(supervisor.pool.run_dir).iterdir() if each.is_socket()]
        assert {each.name for each in endpoints} >= {"supervisor", "sum.in", "write.in", "count.finished"}
        for endpoint in endpoints:
            hostile = context.socket(zmq.DEALER if endpoint.name == "supervisor" else zmq.PUSH)
            hostile.connect(f"ipc://{endpoint}")
            for junk in JUNK:
                hostile.send(junk)
                hostile.send_multipart([junk, junk, junk])
            if endpoint.name == "supervisor":
                # Well said, but by nobody who belongs to the run.
                for lie in (Trouble("RunError", "a lie", "", fatal=True), Done(), Bye(Stats(), {})):
                    hostile.send(msgspec.msgpack.encode(lie))
            hostile.close(linger=5000)
        supervisor.run()
        context.term()
    found = lines(path)
    assert [line["seq"] for line in found[:-1]] == list(range(40)) and all(line["same"] for line in found[:-1])
    assert supervisor.stats["count"].finished == {"done": 40}


def test_options_are_not_among_the_arguments_of_a_process(tmp_path: Path) -> None:
    """Everybody on a machine may list those."""
    with Supervisor(Plan(toy_graph(tmp_path / "http:user:hunter2@host"))) as supervisor:
        start(supervisor)
        for pid in supervisor.pool.pids.values():
            assert b"hunter2" not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_a_failure_is_told_without_the_password_in_it() -> None:
    class Fails(Sum):
        def process(self, message: object) -> None:
            raise ValueError("no answer from rtsp://ann:hunter2@camera/live?token=opensesame")

    stage = Stage(Fails(Fails.Config(), NodeContext("sum")), "sum", ordered=True)
    stamp = Stamp("s", 0, 0, None, (1, 25), 0, 0, 1)

    stage.accept(Frame(stamp, np.zeros((2, 2, 3), np.uint8)))
    (passed,) = stage.step()
    assert isinstance(passed.message, Gap)
    (trouble,) = stage.troubles
    for text in (passed.message.reason, trouble.message, trouble.traceback):
        assert "rtsp://***@camera/live?token=***" in text
        assert "hunter2" not in text and "opensesame" not in text
