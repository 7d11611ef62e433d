"""Prompts that propagate is given while a stream is running, with the bundled model, in one process."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from streamseg_nodes.embed import Embed
from streamseg_nodes.propagate.node import Propagate
from support.disks import box_of, picture, truth

from streamseg import tracking
from streamseg.commands import Answer, Applied, Refused
from streamseg.errors import PromptError
from streamseg.graph import config
from streamseg.jobs import Job, PastCommand, Position
from streamseg.messages import Frame, Message, Regions, Segmented, Stamp
from streamseg.node import NodeContext
from streamseg.prompts.model import ObjectPrompt
from streamseg.types import MASK_URL


class Running:
    """Embed and propagate with the back-edge of focus, or without, frame by frame."""

    def __init__(
        self,
        prompts: list[dict[str, Any]],
        *,
        focus: bool = True,
        streams: tuple[str, ...] = ("disks",),
        job: Job | None = None,
    ) -> None:
        self.embed = Embed(Embed.Config(device="cpu"), NodeContext("embed", streams=streams, has_feedback=focus))
        self.embed.setup()
        options = config.options_of(Propagate.Config, {"prompts": prompts, "device": "cpu"}, "propagate")
        context = NodeContext("propagate", streams=streams, feedback=self.back, has_feedback=focus, job=job)
        self.node = Propagate(options, context)
        self.node.setup()
        self.index = 0
        self.answers: list[Answer] = []

    def back(self, message: Message) -> None:
        assert isinstance(message, Regions)
        self.embed.on_feedback(message)

    def step(self) -> Segmented:
        stamp = Stamp("disks", self.index, self.index, self.index, (1, 25), 0, 0, self.index + 1)
        self.index += 1
        return self.node.process(self.embed.process(Frame(stamp, picture(stamp.index))))

    def steps(self, count: int) -> list[list[int]]:
        """The ids in each of the next frames."""
        return [[found.id for found in self.step().objects] for _ in range(count)]

    def say(self, mask_png: bytes | None = None, **prompt: Any) -> None:
        if mask_png is not None:
            prompt["mask"] = MASK_URL + base64.b64encode(mask_png).decode()
        self.node.on_command(msgspec.convert(prompt, ObjectPrompt), self.answers.append)

    def refusal(self, **prompt: Any) -> str:
        before = len(self.answers)
        with pytest.raises(PromptError) as refused:
            self.say(**prompt)
        assert len(self.answers) == before
        return str(refused.value)


@pytest.mark.parametrize(("focus", "first"), [(True, 3), (False, 2)])
def test_objects_come_and_go_and_each_command_is_answered_with_its_frame(focus: bool, first: int) -> None:
    """With focus the next frame is being looked at already, so the one after it is the first possible."""
    run = Running([{"id": 1, "box": box_of(0, 0)}], focus=focus)
    assert run.steps(2) == [[1], [1]]
    run.say(box=box_of(first, 1), label="yellow")
    assert run.answers == []
    assert run.steps(3) == ([[1], [1, 2], [1, 2]] if focus else [[1, 2]] * 3)
    (added,) = run.answers
    assert isinstance(added, Applied)
    assert (added.what, added.id, added.frame, added.pts_s, added.state) == ("added", 2, first, first / 25, "TRACKED")
    run.say(id=1, remove=True)
    assert run.steps(2) == ([[1, 2], [2]] if focus else [[2], [2]])
    assert [(each.what, each.id) for each in run.answers[1:] if isinstance(each, Applied)] == [("removed", 1)]
    assert "removed" in run.refusal(id=1, box=[5, 5, 20, 20])


def test_a_given_prompt_makes_what_a_planned_one_makes_and_leaves_the_rest_untouched() -> None:
    start = {"id": 1, "box": box_of(0, 0)}
    plain, planned = Running([start]), Running([start, {"id": 2, "frame": 3, "box": box_of(3, 1)}])
    given = Running([start])
    for index in range(6):
        if index == 1:
            given.say(id=2, frame=3, box=box_of(3, 1))
        results = [run.step() for run in (plain, planned, given)]
        np.testing.assert_array_equal(results[0].labels == 1, results[2].labels == 1)
        np.testing.assert_array_equal(results[1].labels, results[2].labels)
        tracks = [tracking.from_bytes(bytes(result.tracker)).tracks for result in results]
        assert tracks[1] == tracks[2]
    assert [each.frame for each in given.answers if isinstance(each, Applied)] == [3]


def test_what_a_given_prompt_changed_is_in_the_state() -> None:
    run = Running([{"id": 1, "box": box_of(0, 0)}, {"id": 4, "box": box_of(0, 1)}])
    results = [run.step()]
    run.say(id=4, remove=True)
    run.say(id=1, points=[[68, 40]], negative=[[68, 110]])
    results += [run.step() for _ in range(4)]
    assert [(each.what, each.frame) for each in run.answers if isinstance(each, Applied)] == [
        ("removed", 2),
        ("corrected", 2),
    ]
    again = Running([{"id": 1, "box": box_of(0, 0)}, {"id": 4, "box": box_of(0, 1)}])
    again.node.restore("disks", tracking.from_bytes(bytes(results[2].tracker)), next_index=3)
    again.index = 3
    for result in results[3:]:
        np.testing.assert_array_equal(again.step().labels, result.labels)
    assert "object 4 was removed" in again.refusal(id=4, box=[5, 5, 20, 20])


def test_bad_prompts_get_one_error_that_says_what_is_possible_and_touch_nothing() -> None:
    prompts = [{"id": 1, "label": "red", "box": box_of(0, 0)}, {"id": 9, "frame": 9, "box": [1, 1, 9, 9]}]
    run, plain = Running(prompts), Running(prompts)
    run.steps(4)
    plain.steps(4)
    assert "outside the 240x180 frame" in run.refusal(box=[300, 10, 400, 60])
    assert "outside the 240x180 frame" in run.refusal(id=1, points=[[10, 200]])
    assert "frame 2 has gone by; the next that is possible is frame 5" in run.refusal(frame=2, box=[1, 1, 9, 9])
    assert "0.1 s has gone by, it is 0.12 s; the next" in run.refusal(time_s=0.1, box=[1, 1, 9, 9])
    assert "no such object to remove; known is object 1" in run.refusal(id=7, remove=True)
    assert "no such object to correct" in run.refusal(id=7, negative=[[1, 1]])
    assert "that is the same place" in run.refusal(id=1, points=[[9, 9]], negative=[[9, 9]])
    assert "called 'red' before and 'blue' here" in run.refusal(id=1, label="blue", points=[[60, 50]])
    assert "planned to come at frame 9; a new object can have id 2" in run.refusal(id=9, box=[1, 1, 9, 9])
    assert "no words" in run.refusal(text="a dog")
    assert "has nothing" in run.refusal(id=1)
    assert "no such stream; did you mean 'disks'" in run.refusal(stream="disk", box=[1, 1, 9, 9])
    run.say(id=1, remove=True)
    assert "object 1 was removed" in run.refusal(id=1, points=[[60, 50]])
    assert run.answers == []
    assert run.step().objects == plain.step().objects
    assert run.steps(1) == [[]]
    assert "object 1 was removed, and ids are never used again" in run.refusal(id=1, box=[1, 1, 9, 9])


def test_one_object_takes_its_prompts_one_frame_after_the_other() -> None:
    run = Running([])
    run.say(id=5, box=box_of(2, 0))
    run.say(id=5, points=[[80, 40]])
    run.say(id=5, remove=True)
    run.steps(6)
    answers = [(each.what, each.frame) for each in run.answers if isinstance(each, Applied)]
    assert answers == [("added", 1), ("corrected", 2), ("removed", 3)]


def test_a_mask_comes_along(tmp_path: Path) -> None:
    run = Running([])
    run.say(cv2.imencode(".png", truth(1, 1).astype(np.uint8) * 255)[1].tobytes(), id=3)
    run.step()
    np.testing.assert_array_equal(run.step().mask(0), truth(1, 1))
    with pytest.raises(PromptError, match="240x180, got 10x10"):
        run.say(cv2.imencode(".png", np.ones((10, 10), np.uint8))[1].tobytes(), id=4)
    with pytest.raises(PromptError, match="4294967295 x 4294967295 pixels, at most"):
        run.say(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff\xff\xff\xff\xff\xff\xff\xff", id=4)


def test_what_did_not_come_into_force_before_the_end_is_refused() -> None:
    run = Running([{"id": 1, "box": box_of(0, 0)}])
    run.say(id=2, frame=40, box=box_of(0, 1))
    run.say(id=3, time_s=9.0, box=box_of(0, 1))
    run.steps(2)
    run.node.finish("disks")
    assert [type(answer) for answer in run.answers] == [Refused, Refused]
    assert "at frame 40: stream 'disks' ended before" in str(run.answers[0])
    assert "stream 'disks' is over" in run.refusal(box=[1, 1, 9, 9])


def test_with_several_streams_a_command_says_which() -> None:
    run = Running([], streams=("disks", "other"))
    assert "say which: disks, other" in run.refusal(box=[1, 1, 9, 9])
    run.say(stream="disks", box=box_of(1, 0))
    assert run.steps(2) == [[], [1]]


@pytest.mark.parametrize("focus", [True, False])
@pytest.mark.parametrize("begins", [0, 2])
def test_what_had_come_into_force_does_so_again_at_the_same_frame(focus: bool, begins: int) -> None:
    """A process that is started again, at its first frame or where something is kept, without what was said since."""
    start = [{"id": 1, "box": box_of(0, 0)}]
    x0, y0, x1, y1 = box_of(6, 1)
    said: list[dict[str, Any]] = [
        {"box": box_of(3, 1), "label": "yellow"},
        {"id": 2, "points": [[(x0 + x1) / 2, (y0 + y1) / 2]]},
    ]
    first = Running(start, focus=focus)
    wanted = []
    for index in range(9):
        if index in (2, 5):
            first.say(**said[index // 4])
        wanted.append(first.step())
    answers = [each for each in first.answers if isinstance(each, Applied)]
    assert [each.what for each in answers] == ["added", "corrected"]
    assert answers[0].frame >= begins
    commands = [
        PastCommand(
            node="propagate",
            body=msgspec.msgpack.encode(prompt),
            id=answer.id,
            stream="disks",
            frame=answer.frame,
        )
        for prompt, answer in zip(said, answers, strict=True)
    ]
    kept = {"disks": Position(seq=begins, next_index=begins, tracker=bytes(wanted[begins - 1].tracker))}
    job = Job(facts={}, positions=kept if begins else {}, begun=True, commands=commands)
    again = Running(start, focus=focus, job=job)
    again.index = begins
    for index in range(begins, 9):
        found = again.step()
        assert [each.id for each in found.objects] == [each.id for each in wanted[index].objects], index
        assert (found.labels == wanted[index].labels).all(), index


def test_a_prompt_that_waits_can_be_taken_back() -> None:
    run = Running([{"id": 1, "box": box_of(0, 0)}])
    run.steps(1)
    run.say(id=7, frame=4, box=box_of(4, 1))
    run.node.on_withdrawn(print)
    assert run.answers == [], "that was another's"
    run.node.on_withdrawn(run.answers.append)
    (refused,) = run.answers
    assert isinstance(refused, Refused)
    assert "taken back" in refused.message
    assert run.steps(5) == [[1]] * 5


def test_an_object_gets_another_name() -> None:
    run = Running([{"id": 1, "label": "disk", "box": box_of(0, 0)}])
    run.step()
    run.say(id=1, label="red disk")
    run.steps(2)
    assert [found.label for found in run.step().objects] == ["red disk"]
    assert [each.what for each in run.answers if isinstance(each, Applied)] == ["renamed"]
    run.say(id=1, undo=True)
    run.steps(2)
    (found,) = run.step().objects
    assert (found.label, found.state) == ("disk", "TRACKED"), "only its name is what it was"
    assert "nothing can be undone yet" in run.refusal(id=1, undo=True)
    assert "nothing but a label, and there is no such object" in run.refusal(id=9, label="none")
    with pytest.raises(PromptError, match="has nothing; give a box"):
        Running([{"id": 1, "label": "disk"}])


def test_what_prompts_did_is_taken_back() -> None:
    run = Running([{"id": 1, "label": "disk", "box": box_of(0, 0)}])
    before = run.step()
    assert "nothing can be undone yet" in run.refusal(id=1, undo=True)
    run.say(id=1, remove=True)
    run.say(box=box_of(2, 1))
    assert run.steps(3)[-1] == [2]
    run.say(id=1, undo=True)
    run.say(id=2, undo=True)
    run.steps(1)
    states = [run.step() for _ in range(6)]
    assert [[found.id for found in each.objects] for each in states] == [[1]] * 6
    assert [each.what for each in run.answers if isinstance(each, Applied)] == ["removed", "added", "undone", "undone"]
    assert states[0].objects[0].label == "disk"
    assert states[-1].objects[0].state == "TRACKED", "it was looked for and found"
    assert abs(states[-1].objects[0].area_px / before.objects[0].area_px - 1) < 0.2
    assert "nothing can be undone yet" in run.refusal(id=2, undo=True)
    assert "ids are never used again" in run.refusal(id=2, box=box_of(12, 1))


def test_what_can_be_undone_is_in_the_state() -> None:
    run = Running([{"id": 1, "box": box_of(0, 0)}])
    run.step()
    run.say(id=1, remove=True)
    last = [run.step() for _ in range(3)][-1]
    again = Running([{"id": 1, "box": box_of(0, 0)}])
    again.node.restore("disks", tracking.from_bytes(bytes(last.tracker)), next_index=4)
    again.index = 4
    again.say(id=1, undo=True)
    assert again.steps(3)[-1] == [1]


@pytest.mark.slow
def test_everything_may_be_asked_for_meanwhile() -> None:
    run = Running([{"id": 1, "box": box_of(0, 0)}])
    run.step()
    run.say(everything=True)
    ids = run.steps(3)[-1]
    (found,) = run.answers
    assert isinstance(found, Applied)
    assert (found.what, found.id) == ("found", None)
    assert found.ids, "the other disk"
    assert ids == [1, *found.ids]
    assert f"{len(found.ids)} objects found at frame" in str(found)
    assert "says something of one object too" in run.refusal(everything=True, id=3)
    with pytest.raises(PromptError, match="is for a run that is under way"):
        Running([{"everything": True}])


def test_who_asks_is_told_what_a_click_may_mean() -> None:
    run = Running([])
    x0, y0, x1, y1 = box_of(2, 0)
    middle = [(x0 + x1) / 2, (y0 + y1) / 2]
    run.step()
    run.say(points=[middle], meanings=True)
    result = run.step(), run.step()
    assert run.answers == [], "the frame comes first"
    run.node.tick()
    (added,) = run.answers
    assert isinstance(added, Applied)
    assert (added.what, added.frame) == ("added", 2)
    assert 2 <= len(added.meanings) <= 3
    best = max(added.meanings, key=lambda each: each.score)
    assert best.box_xyxy == result[-1].objects[0].box_xyxy
    # Nobody else is, and corrections have no meanings.
    run.say(points=[middle])
    run.say(id=1, points=[middle], meanings=True)
    run.steps(4)
    run.node.tick()
    assert [each.meanings for each in run.answers[1:] if isinstance(each, Applied)] == [[], []]


def test_a_click_on_what_has_moved_since_finds_it() -> None:
    """Whoever clicks on a live picture sees it some frames late."""
    for seen, found in ((2, True), (None, False)):
        run = Running([])
        run.steps(18)
        x0, y0, x1, y1 = box_of(2, 0)
        middle = [(x0 + x1) / 2, (y0 + y1) / 2]
        run.say(points=[middle], **({} if seen is None else {"seen": seen}))
        last = [run.step() for _ in range(3)][-1]
        mask, wanted = last.mask(0), truth(last.stamp.index, 0)
        overlap = (mask & wanted).sum() / (mask | wanted).sum()
        assert bool(overlap > 0.7) is found, (seen, overlap)
    with pytest.raises(PromptError, match="seen is for a run that is under way"):
        Running([{"seen": 3, "box": box_of(0, 0)}])
