"""A file on the page: pointed at in any frame, followed, corrected, undone, exported; with the bundled model."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from streamseg_nodes.cleanup import Cleanup
from streamseg_nodes.decode import Decode
from streamseg_nodes.embed import Embed
from streamseg_nodes.page.files import FilesPage
from streamseg_nodes.page.history import History
from streamseg_nodes.page.marks import Marks
from streamseg_nodes.page.node import Page
from streamseg_nodes.page.player import Player
from streamseg_nodes.page.spool import Spool
from streamseg_nodes.page.stepper import StepOptions
from streamseg_nodes.propagate.node import Propagate
from streamseg_nodes.record.node import Record
from support.command import eventually, streamseg, tracks
from support.disks import box_of, picture, truth
from support.media import write_video

from streamseg.cli.running.page_formats import PageFormats
from streamseg.commands import Answer, Applied, Refused
from streamseg.errors import MediaError, PromptError
from streamseg.formats.runs.run import load_run
from streamseg.graph.plan import Plan
from streamseg.graph.standard import standard_graph
from streamseg.masks.measures import mask_iou
from streamseg.messages import Frame, Message, Segmented, Stamp
from streamseg.prompts.model import ObjectPrompt
from streamseg.runtime.inline import InlineRun
from streamseg.tracking import full_mask

FRAMES = 12


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "disks.mp4"
    return write_video(path, [picture(index) for index in range(FRAMES)], options={"crf": "8"})


class Screen:
    """Sees everything."""

    def __init__(self) -> None:
        self.pictures = 0
        self.said: list[tuple[str, dict[str, Any]]] = []

    def wants(self, stream: str) -> bool:
        return True

    def show(self, stream: str, picture: bytes) -> None:
        self.pictures += 1

    def say(self, stream: str, kind: str, **values: object) -> None:
        self.said.append((kind, values))

    def events(self) -> list[str]:
        return [str(values["text"]) for kind, values in self.said if kind == "event"]


def options() -> StepOptions:
    return StepOptions(
        Embed.Config(device="cpu"), Propagate.Config(prompts=[], device="cpu"), Cleanup.Config(), focus=True
    )


class At:
    """Somebody before a player."""

    def __init__(self, clip: Path) -> None:
        self.screen = Screen()
        self.player = Player(
            "disks", Decode.Config(source=str(clip)), options(), self.screen, lambda player, also: "there"
        )
        self.player.start()
        assert eventually(lambda: self.player.spool.done)

    def go(self, frame: int) -> None:
        self.player.act("seek", frame)
        assert eventually(lambda: self.player.at == frame)

    def say(self, **prompt: Any) -> Answer:
        answers: list[Answer] = []
        self.player.give(msgspec.msgpack.encode(prompt), answers.append)
        assert eventually(lambda: answers, 110)
        return answers[0]

    def follow(self) -> None:
        self.player.act("follow", None)
        player, last = self.player, FRAMES - 1
        assert eventually(lambda: player.mode == "paused" and player.at == last and player.history.holds(last), 100)

    def ids(self, frame: int) -> list[int]:
        return [each.id for each in self.player.result(frame).objects]

    def labels(self, frame: int) -> np.ndarray:
        return self.player.result(frame).labels


@pytest.fixture
def at(clip: Path) -> Iterator[At]:
    found = At(clip)
    yield found
    found.player.close()


def a_run(clip: Path, prompts: list[dict[str, Any]]) -> list[Segmented]:
    """What `streamseg run` finds with these prompts."""
    graph = standard_graph(str(clip), prompts, device="cpu")
    results: list[Message] = []
    InlineRun(Plan(graph, results_from="cleanup"), results.append).run()
    return [each for each in results if isinstance(each, Segmented)]


def test_following_gives_what_a_run_gives_and_corrections_redo_what_follows(at: At, clip: Path) -> None:
    added = at.say(box=box_of(0, 0))
    assert isinstance(added, Applied)
    assert (added.what, added.id, added.frame, added.state) == ("added", 1, 0, "TRACKED")
    assert at.ids(0) == [1]
    assert at.ids(1) == [], "nothing is followed before somebody asks for it"
    at.follow()
    first = [{"id": 1, "frame": 0, "box": box_of(0, 0)}]
    for result, index in zip(a_run(clip, first), range(FRAMES), strict=True):
        np.testing.assert_array_equal(result.labels, at.labels(index))
    kept = [at.labels(index) for index in range(FRAMES)]

    at.go(6)
    assert at.say(box=box_of(6, 1)) == Applied(what="added", id=2, stream="disks", frame=6, state="TRACKED")
    assert not at.player.history.holds(7)
    steps = []
    step = at.player._stepper.step

    def counted(frame: Frame, *rest: Any) -> Segmented:
        steps.append(frame.stamp.index)
        return step(frame, *rest)

    at.player._stepper.step = counted  # type: ignore[method-assign]
    at.follow()
    assert steps == list(range(7, FRAMES)), "only what follows"
    for index in range(6):
        np.testing.assert_array_equal(kept[index], at.labels(index))
    both = [*first, {"id": 2, "frame": 6, "box": box_of(6, 1)}]
    for result, index in zip(a_run(clip, both), range(FRAMES), strict=True):
        np.testing.assert_array_equal(result.labels, at.labels(index))
    bands = dict(at.player.history.bands())
    assert bands[1] == [(0, FRAMES - 1, "TRACKED")]
    assert bands[2] == [(6, FRAMES - 1, "TRACKED")]


def test_removed_renamed_corrected_undone(at: At) -> None:
    at.say(box=box_of(0, 0))
    at.say(box=box_of(0, 1))
    assert at.ids(0) == [1, 2]
    corrected = at.say(id=1, negative=[[230, 5]])
    assert isinstance(corrected, Applied)
    assert corrected.what == "corrected"
    assert len(at.player.marks.prompts) == 2, "the click joins the box of the same frame"
    at.say(id=1, label="red")
    assert at.player.result(0).objects[0].label == "red"
    at.follow()
    at.go(5)
    removed = at.say(id=2, remove=True)
    assert isinstance(removed, Applied)
    assert (removed.what, at.ids(5), at.ids(4)) == ("removed", [1], [1, 2])
    at.follow()
    assert at.ids(FRAMES - 1) == [1]
    at.go(5)
    assert isinstance(at.say(undo=True), Applied)
    assert at.ids(5) == [1, 2]
    at.follow()
    assert at.ids(FRAMES - 1) == [1, 2]
    for _ in range(4):
        assert isinstance(at.say(undo=True), Applied)
    assert at.player.marks.prompts == []
    refused = at.say(undo=True)
    assert isinstance(refused, Refused)
    assert "nothing to undo" in refused.message
    assert at.ids(0) == []


def test_what_cannot_be_is_refused_and_changes_nothing(at: At) -> None:
    at.say(box=box_of(0, 0))
    before = at.labels(0)
    for prompt, complaint in (
        ({"box": [500, 5, 600, 50]}, "outside"),
        ({"id": 7, "remove": True}, "no object 7"),
        ({"id": 7, "negative": [[5, 5]]}, "clicks on what is not the object only"),
        ({"points": [[5000, 5]]}, "frame"),
        ({"id": 3, "label": "x" * 5, "mask": "/etc/passwd"}, "mask"),
    ):
        answer = at.say(**prompt)
        assert isinstance(answer, Refused), prompt
        assert complaint in answer.message
    np.testing.assert_array_equal(before, at.labels(0))
    assert len(at.player.marks.prompts) == 1
    at.player.act("export", None)
    assert eventually(lambda: any("Not all of it is followed yet" in text for text in at.screen.events()))


@pytest.mark.slow
def test_everything_becomes_prompts(at: At, clip: Path) -> None:
    at.say(box=box_of(0, 0))
    found = at.say(everything=True)
    assert isinstance(found, Applied)
    assert len(found.ids) == 1, "the other disk"
    mask = at.player.result(0).mask(1)
    wanted = truth(0, 1)
    assert (mask & wanted).sum() / (mask | wanted).sum() > 0.8
    at.follow()
    assert at.ids(FRAMES - 1) == [1, *found.ids]


def test_playing_goes_on_by_itself_and_stops_at_the_end(at: At) -> None:
    at.player.act("play", None)
    assert eventually(lambda: at.player.at == FRAMES - 1 and at.player.mode == "paused")
    at.player.act("follow", None)
    assert eventually(lambda: any("nothing to follow yet" in text for text in at.screen.events()))
    positions = [values["frame"] for kind, values in at.screen.said if kind == "position"]
    assert sorted(positions) == positions


def test_a_page_of_files_exports_what_a_run_would_write(clip: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    page = Page.Config(bind="127.0.0.1:0")
    sources = {"decode": Decode.Config(source=str(clip))}
    graph = standard_graph(str(clip), [])
    exports = PageFormats(Plan(graph, results_from="cleanup"), sources, ["mot"])
    with FilesPage(sources, options(), page, Record.Config(), lambda stream: str(folder), exports, threads=1) as files:
        assert files.url.startswith("http://127.0.0.1:")
        player = files._players["decode"]
        done = threading.Event()
        player.give(msgspec.msgpack.encode({"box": box_of(0, 0)}), lambda answer: done.set())
        assert done.wait(60)
        player.act("follow", None)
        assert eventually(lambda: player.spool.done and player.history.first_open(0) == FRAMES, 100)
        player.act("export", None, "nonsense")
        assert eventually(lambda: player.mode == "paused")
        assert not folder.exists(), "what was not offered is not written"
        player.act("export", None, "coco")
        assert eventually(lambda: (folder / "coco" / "instances.json").exists(), 60)
        assert (folder / "mot" / "out" / "gt" / "gt.txt").exists()
    assert [line["frame"] for line in tracks(folder)] == list(range(FRAMES))
    found = load_run(folder)
    assert found.report is not None
    assert (found.report["frames_out"], found.report["model"]["name"]) == (FRAMES, "tiny")
    assert found.image(3).shape == picture(3).shape, "the folder says where its pictures are"
    assert json.loads((folder / "prompts.yaml").read_text()) == [{"id": 1, "frame": 0, "box": box_of(0, 0)}]
    again = streamseg("run", clip, "--prompts", folder / "prompts.yaml", "-o", tmp_path / "again", "--no-overlay")
    assert again.returncode == 0, again.stderr
    for index in range(FRAMES):
        name = f"masks/{index:05d}.png"
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_a_spool_has_every_frame_at_hand(clip: Path, tmp_path: Path) -> None:
    spool = Spool("disks", Decode.Config(source=str(clip)))
    assert spool.wait(FRAMES - 1, 60)
    assert not spool.wait(FRAMES, 60)
    for index in (11, 0, 5):
        frame = spool.frame(index)
        assert frame.stamp.index == index
        assert np.abs(frame.image_rgb.astype(int) - picture(index)).mean() < 6
    spool.close()
    with pytest.raises(MediaError):
        Spool("gone", Decode.Config(source=str(tmp_path / "gone.mp4")))


def test_marks_join_and_are_taken_back() -> None:
    marks = Marks()
    prompts, first = marks.with_prompt(ObjectPrompt(points=[[1, 2]]), 4)
    assert (first.id, first.frame) == (1, 4)
    marks.take(prompts)
    prompts, joined = marks.with_prompt(ObjectPrompt(id=1, negative=[[3, 4]]), 4)
    assert (joined.points, joined.negative, len(prompts)) == ([[1, 2]], [[3, 4]], 1)
    marks.take(prompts)
    prompts, _ = marks.with_prompt(ObjectPrompt(id=1, remove=True), 4)
    assert prompts == [], "what was added in the same frame was never there"
    with pytest.raises(PromptError, match="no object 9"):
        marks.with_prompt(ObjectPrompt(id=9, remove=True), 4)
    assert marks.undo() == 4
    assert marks.undo() == 4
    assert marks.prompts == []
    prompts, again = marks.with_prompt(ObjectPrompt(points=[[1, 2]]), 0)
    assert again.id == 2, "numbers are not used again"
    with pytest.raises(PromptError, match="nothing to undo"):
        marks.undo()


def test_states_are_thinned_and_found_again() -> None:
    history = History()
    labels = np.zeros((4, 4), np.uint16)
    for index in range(500):
        result = a_result(index, labels)
        history.put(index, result)
    assert history.get(1).tracker is None  # type: ignore[union-attr]
    assert history.get(16).tracker == b"\xc016"  # type: ignore[union-attr]
    assert history.state_before(20) == (17, b"\xc016")
    assert history.state_before(0) == (0, None)
    history.change(30)
    assert history.first_open(0) == 31
    assert history.state_before(300) == (300, b"\xc0299"), "what was there before the change is better than nothing"
    assert len(history) == 500


def a_result(index: int, labels: np.ndarray) -> Segmented:
    stamp = Stamp("s", index, index, index, (1, 25), 0, 0, 1)
    image = np.zeros((4, 4, 3), np.uint8)
    return Segmented(Frame(stamp, image), [], labels, msgspec.Raw(b"\xc0" + str(index).encode()))


def test_a_click_is_shown_at_once_and_its_meanings_can_be_chosen_from(at: At) -> None:
    x0, y0, x1, y1 = box_of(0, 0)
    middle = [(x0 + x1) / 2, (y0 + y1) / 2]
    looks: list[Any] = []
    look = at.player._stepper.first_look
    at.player._stepper.first_look = lambda *given: looks.append(look(*given)) or looks[-1]  # type: ignore[method-assign,func-returns-value]
    assert eventually(lambda: at.player._prepared == 0)
    before = at.screen.pictures
    added = at.say(points=[middle], meanings=True)
    assert isinstance(added, Applied)
    assert at.screen.pictures == before + 2, "the first look, then what a run finds"
    (seen,) = looks
    assert mask_iou(full_mask(seen, at.labels(0).shape), at.labels(0) == 1) > 0.7
    assert 2 <= len(added.meanings) <= 3
    sizes = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (each.box_xyxy for each in added.meanings)]
    assert sizes[0] == max(sizes)
    for each in added.meanings:
        picture = base64.b64decode(each.picture.removeprefix("data:image/jpeg;base64,"))
        assert max(cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR).shape) == 96
    held = max(range(len(added.meanings)), key=lambda number: added.meanings[number].score)
    for choice, meaning in enumerate(added.meanings):
        chosen = at.say(id=1, choice=choice)
        assert isinstance(chosen, Applied)
        assert at.player.result(0).objects[0].box_xyxy == meaning.box_xyxy
        assert chosen.meanings == []
    assert isinstance(at.say(undo=True), Applied)
    # Only who asks is told, and only of what is new; nothing of it is left in the prompts.
    assert at.say(points=[middle], id=1, meanings=True).meanings == []  # type: ignore[union-attr]
    assert not at.player.marks.prompts[0].meanings
    assert isinstance(at.say(id=1, choice=held), Applied)


def test_a_choice_without_a_click_is_refused(at: At) -> None:
    answer = at.say(choice=1)
    assert isinstance(answer, Refused)
    assert at.player.marks.prompts == []
