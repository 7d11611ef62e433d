"""The node page and what it is made of, without a browser: pictures, outlines, options, commands of nodes."""

from __future__ import annotations

import json
import os
import struct
import sys
import threading
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from streamseg_nodes.page import shown_frame
from streamseg_nodes.page.node import Page
from support.command import eventually, streamseg
from support.told_nodes import Told
from support.toy_nodes import Counter

from streamseg.cli.main import make_parser
from streamseg.cli.running import run_graph
from streamseg.commands import Answer, Applied, Refused
from streamseg.errors import UsageError
from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.graph.standard import standard_graph
from streamseg.messages import Frame, ObjectResult, Segmented, Stamp
from streamseg.node import Node, NodeContext
from streamseg.runtime.supervision.command_queue import CommandQueue
from streamseg.runtime.supervision.supervisor import Supervisor
from streamseg.runtime.worker.given_commands import GivenCommands


def message(width: int = 200, height: int = 100) -> Segmented:
    """A ring, an object that is lost, and one of a single pixel."""
    labels = np.zeros((height, width), np.uint16)
    cv2.circle(labels, (60, 50), 40, 1, -1)  # type: ignore[call-overload]
    cv2.circle(labels, (60, 50), 20, 0, -1)  # type: ignore[call-overload]
    labels[7, 150] = 3
    image = np.full((height, width, 3), (200, 30, 30), np.uint8)
    objects = [
        ObjectResult(4, "TRACKED", 0.91234, (20.0, 10.0, 101.0, 91.0), 3768, "ring", ""),
        ObjectResult(7, "LOST", 0.0, None, 0, "", "nothing found"),
        ObjectResult(9, "UNCERTAIN", 0.5, (150.0, 7.0, 151.0, 8.0), 1, "", "small"),
    ]
    return Segmented(Frame(Stamp("decode", 3, 8, 8, (1, 25), 0, 0, 1), image), objects, labels)


def decoded(data: bytes) -> tuple[dict, np.ndarray]:  # type: ignore[type-arg]
    (length,) = struct.unpack("<I", data[:4])
    picture = cv2.imdecode(np.frombuffer(data[4 + length :], np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return json.loads(data[4 : 4 + length]), picture


def filled(outline: list[list[int]], shape: tuple[int, ...]) -> np.ndarray:
    """What a browser fills, (H, W) bool."""
    canvas = np.zeros(shape, np.uint8)
    cv2.fillPoly(canvas, [np.array(line, np.int32).reshape(-1, 2) for line in outline], 1)  # type: ignore[call-overload]
    return canvas.astype(bool)


def test_a_picture_and_its_outlines() -> None:
    sent = message()
    header, picture = decoded(shown_frame.encode(shown_frame.Sight.of(sent), 1280, 90))
    assert picture.shape == (100, 200, 3)
    assert picture[50, 60].tolist() == pytest.approx([30, 30, 200], abs=6), "OpenCV reads BGR"
    assert (header["stream"], header["seq"], header["index"], header["pts_s"]) == ("decode", 3, 8, 8 / 25)
    assert (header["width"], header["height"]) == (200, 100)
    ring, lost, speck = header["objects"]
    assert (ring["id"], ring["label"], ring["score"]) == (4, "ring", 0.912)
    assert len(ring["outline"]) == 2, "the hole too"
    seen, mask = filled(ring["outline"], (100, 200)), sent.labels == 1
    assert (seen & mask).sum() / (seen | mask).sum() > 0.95
    assert not seen[50, 60]
    assert (lost["outline"], lost["box"]) == ([], None)
    assert speck["outline"], "however small, it is drawn"


def test_wide_pictures_are_reduced_and_outlines_are_not() -> None:
    header, picture = decoded(shown_frame.encode(shown_frame.Sight.of(message()), 64, 80))
    assert picture.shape == (32, 64, 3)
    assert header["width"] == 200
    assert max(header["objects"][0]["outline"][0][::2]) == 100


def test_what_is_kept_is_a_copy() -> None:
    sent = message()
    sight = shown_frame.Sight.of(sent)
    sent.labels[:], sent.frame.image_rgb[:] = 0, 0
    assert sight.labels.any()
    assert sight.image_rgb.any()


def test_without_its_packages_the_page_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "uvicorn" else object())
    with pytest.raises(UsageError, match=r"the page needs uvicorn; pip install 'streamseg\[page\]' installs it"):
        Page.check(Page.Config())


def test_flags(tmp_path: Path) -> None:
    graph = standard_graph("clip.mp4", [], page="127.0.0.1:9000")
    assert graph.links[-1] == ("cleanup", "page")
    assert Plan(graph).options["page"].bind == "127.0.0.1:9000"
    args = make_parser().parse_args(["serve", "a/clip.mp4", "b/clip.mp4", "rtsp://me:secret@cam/x"])
    several = run_graph.page_of(args, "127.0.0.1:9000")
    assert several.nodes["page"].options["titles"] == {
        "clip": "a/clip",
        "clip-2": "b/clip",
        "stream-cam": "stream-cam",
    }
    assert [to for name, to in several.links if name in ("clip", "clip-2", "stream-cam")] == ["embed"] * 3
    for words, complaint in (
        (("run", "clip.mp4", "--box=0,0,9,9", "--page-token", "x"), "expected --page HOST:PORT with --page-token"),
        (("run", "clip.mp4", "--page", "0.0.0.0:80"), "anyone on the network could watch"),
        (("run", "clip.mp4", "--page", "--inline"), "need processes"),
        (("serve", "a.mp4", "b.mp4", "-o", "out"), "their results would mix"),
        (("serve", "clip.mp4", "rtsp://cam/x"), "expected files alone or cameras and streams alone"),
        (("serve", "clip.mp4", "--port", "x"), "expected a number from 0 to 65535"),
    ):
        done = streamseg(*words, cwd=tmp_path)
        assert done.returncode == 2, words
        assert complaint in " ".join(done.stderr.split()), words
        assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own")
def test_pictures_are_made_when_nobody_else_needs_the_core() -> None:
    node = Page(Page.Config(bind="127.0.0.1:0"), NodeContext("page", streams=("decode",)))
    node.setup()
    try:
        own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        (painter,) = node._painters
        assert eventually(lambda: os.getpriority(os.PRIO_PROCESS, painter.native_id or 0) == min(19, own + 4), 10)
        assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == own
    finally:
        node.close()


class Asks(Node[Frame, None]):
    """Gives a command with its first frame; says in its facts what was answered."""

    gives_commands = True

    def setup(self) -> None:
        self.answers: list[Answer] = []
        self.asked = False

    def process(self, message: Frame) -> None:
        if not self.asked:
            self.asked = True
            for order in ("answer", "wait", "refuse"):
                self.context.command(msgspec.msgpack.encode({"do": order}), self.answers.append)
            self.context.command(b"\xc0", self.answers.append, node="nobody")

    def describe(self) -> dict[str, list[str]]:
        return {"answers": [str(answer) for answer in self.answers]}


def asking(command_queue: bool) -> list[str]:
    here = f"{__name__}:Asks"
    nodes = {
        "count": {"use": f"{Counter.__module__}:Counter", "options": {"frames": 20, "pause_s": 0.05}},
        "told": {"use": f"{Told.__module__}:Told"},
        "asks": {"use": here},
    }
    plan = Plan(config.parse({"nodes": nodes, "links": ["count -> told", "count -> asks"]}))
    queue = CommandQueue(plan) if command_queue else None
    with Supervisor(plan, command_queue=queue) as supervisor:
        supervisor.run()
        facts = supervisor.facts["asks"]["answers"]
    if queue is not None:
        queue.close()
    return sorted(facts)


def test_a_node_gives_commands_to_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=":")
    answers = asking(command_queue=True)
    assert len(answers) == 4
    assert [text for text in answers if "object" in text] == [
        text for text in answers if text.startswith(("object 0 done", "object 1 done"))
    ]
    assert any("not today" in text for text in answers)
    assert any("takes no commands" in text for text in answers)
    assert all("takes no commands" in text for text in asking(command_queue=False))


def test_commands_of_a_node_have_one_answer_each() -> None:
    answers: list[Answer] = []
    commands = GivenCommands()
    commands.give(b"1", answers.append)
    commands.give(b"2", answers.append, "there")
    first, second = commands.take()
    assert (bytes(first.body), first.node, bytes(second.body), second.node) == (b"1", None, b"2", "there")
    assert commands.take() == []
    done = Applied(what="done", id=1, stream="", frame=0)
    commands.answer(second.number, done)
    commands.answer(second.number, done)
    commands.answer(first.number + 1000, done)
    assert answers == [done]
    commands.give(bytes(17 << 20), answers.append)
    commands.close()
    commands.give(b"3", answers.append)
    assert [type(answer) for answer in answers] == [Applied, Refused, Refused, Refused]
    assert "at most" in str(answers[1])
    assert "the run was over" in str(answers[2])


def test_a_node_outside_of_a_graph_is_told_that_nobody_listens() -> None:
    answers: list[Answer] = []
    NodeContext().command(b"", answers.append)
    assert "nobody here takes commands" in str(answers[0])
