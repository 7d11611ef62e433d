"""What users point at: what is taken, what is refused, and with which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from streamseg.errors import PromptError
from streamseg.prompts.model import ObjectPrompt, PendingPrompt
from streamseg.prompts.prepare import fit, prepare


def prompts(*entries: dict[str, Any]) -> list[ObjectPrompt]:
    return msgspec.convert(list(entries), list[ObjectPrompt])


def one(**values: Any) -> PendingPrompt:
    (pending,) = prepare(prompts(values))
    return pending


def write_mask(path: Path, mask: np.ndarray) -> str:
    assert cv2.imwrite(str(path), mask)
    return str(path)


def test_free_ids_are_given_round_those_that_are_taken() -> None:
    box = {"box": [1, 1, 5, 5]}
    assert [p.id for p in prepare(prompts(box, box | {"id": 1}, box, box | {"id": 3}))] == [2, 1, 4, 3]


def test_prompts_come_in_order_of_frame() -> None:
    box = {"box": [1, 1, 5, 5]}
    found = prepare(prompts(box | {"frame": 7}, box, box | {"frame": 3}))
    assert [(p.id, p.prompt.frame) for p in found] == [(2, 0), (3, 3), (1, 7)]


def test_where_to_look_is_the_box_or_round_the_mask_or_the_clicks(tmp_path: Path) -> None:
    mask = np.zeros((30, 40), np.uint8)
    mask[10:20, 5:25] = 255
    path = write_mask(tmp_path / "m.png", mask)
    assert one(box=[1, 2, 3, 4], mask=path).where == (1, 2, 3, 4)
    assert one(mask=path, points=[[9, 15]]).where == (5, 10, 25, 20)
    assert one(points=[[9, 8], [3, 12]], negative=[[30, 30]]).where == (3, 8, 9, 12)
    assert one(points=[[9, 8]]).prompt.only_clicks
    assert not one(points=[[2, 3]], box=[1, 2, 3, 4]).prompt.only_clicks


def test_a_prompt_is_fitted_to_its_frame() -> None:
    fitted = fit(one(id=5, label="cat", box=[-10, 2, 30, 90], points=[[5, 6]], negative=[[7, 8], [1, 1]]), 40, 30)
    assert (fitted.id, fitted.label, fitted.box) == (5, "cat", (0, 2, 30, 30))
    assert fitted.points_xy.tolist() == [[5, 6], [7, 8], [1, 1]]
    assert fitted.point_labels.tolist() == [1, 0, 0]
    assert fitted.mask is None


@pytest.mark.parametrize("kind", ["gray", "color", "alpha", "16 bit"])
def test_masks_are_where_the_picture_is_not_black(kind: str, tmp_path: Path) -> None:
    mask = np.zeros((30, 40), bool)
    mask[10:20, 5:25] = True
    picture = mask.astype(np.uint8) * 7
    if kind == "color":
        picture = np.stack([0 * picture, picture, 0 * picture], 2)
    if kind == "alpha":
        picture = np.dstack([picture, picture, picture, np.full_like(picture, 255)])
    if kind == "16 bit":
        picture = mask.astype(np.uint16) * 256
    fitted = fit(one(mask=write_mask(tmp_path / "m.png", picture)), 40, 30)
    np.testing.assert_array_equal(fitted.mask, mask)


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ({}, "has nothing; give a box, a click"),
        ({"negative": [[1, 1]]}, "has clicks on what is not the object only, .* give"),
        ({"box": [10, 10, 5, 20]}, "inverted"),
        ({"box": [10, 10, 10, 20]}, "empty"),
        ({"box": [10, 10, 20]}, "four numbers"),
        ({"box": [10, 10, float("nan"), 20]}, "finite"),
        ({"points": [[1, 2, 3]]}, "two numbers"),
        ({"points": [[float("inf"), 2]]}, "finite"),
        ({"text": "the dog"}, "'the dog': .* detector"),
        ({"id": 0, "box": [1, 1, 5, 5]}, "from 1 to 65535"),
        ({"id": 65536, "box": [1, 1, 5, 5]}, "from 1 to 65535"),
        ({"frame": -1, "box": [1, 1, 5, 5]}, "count from 0"),
        ({"stream": "cam", "box": [1, 1, 5, 5]}, "no such stream; did you mean 'cams'"),
        ({"box": [0.1, 0.2, 0.3, 0.4]}, r"box \(0.1, 0.2, 0.3, 0.4\) looks like parts of the frame's width and height"),
        ({"mask": "/nowhere/m.png"}, "cannot be read"),
        ({"box": [1, 1, 5, 5], "frame": 3, "time_s": 1.0}, "a frame .3. and a time; give one of the two"),
        ({"box": [1, 1, 5, 5], "time_s": -1.0}, "a time in seconds, 0 or more"),
        ({"id": 1, "box": [1, 1, 5, 5], "remove": True}, "removal of object 1 at frame 0 points at it too"),
        ({"remove": True}, "which object is to be removed"),
        ({"id": 1, "remove": True}, "no such object to remove; there are none"),
        ({"box": [1, 1, 5, 5], "points": [[9, 9]]}, r"\(9, 9\) lies outside its box \(1, 1, 5, 5\)"),
        ({"points": [[9, 9]], "negative": [[9.5, 9]]}, "that is the same place"),
        ({"id": 1, "label": "x" * 501, "box": [0, 0, 9, 9]}, "expected a label of at most 500 characters, got 501"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_there_is_a_frame(entry: dict[str, Any], complaint: str) -> None:
    with pytest.raises(PromptError, match=complaint):
        prepare(prompts(entry), ["cams", "other"])


def test_a_mask_that_is_no_picture_or_is_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "none.png").write_bytes(b"")
    for name in ("text.png", "none.png"):
        with pytest.raises(PromptError, match="not a picture"):
            one(mask=str(tmp_path / name))
    with pytest.raises(PromptError, match="is empty"):
        one(mask=write_mask(tmp_path / "black.png", np.zeros((30, 40), np.uint8)))


@pytest.mark.parametrize(
    ("first", "second", "complaint"),
    [
        ({"id": 1}, {"id": 1}, "two prompts for object 1 at frame 0"),
        ({"id": 1, "stream": "a"}, {"id": 1}, "two prompts for object 1 at frame 0"),
        ({"id": 1, "label": "cat"}, {"id": 1, "label": "dog", "frame": 4}, "'cat' .* 'dog'"),
        ({"id": 1, "frame": 4}, {"id": 2, "time_s": 0.5}, "all by frame or all by time_s"),
    ],
)
def test_prompts_that_contradict_are_refused(first: dict[str, Any], second: dict[str, Any], complaint: str) -> None:
    box = {"box": [1, 1, 5, 5]}
    with pytest.raises(PromptError, match=complaint):
        prepare(prompts(first | box, second | box))


@pytest.mark.parametrize(
    ("later", "complaint"),
    [
        ({"id": 1}, "object 1 was removed, and ids are never used again; known is object 2; .* can have id 3"),
        ({"id": 1, "remove": True, "box": None}, "object 1 was removed"),
        ({"id": 7, "remove": True, "box": None}, "no such object to remove; known is object 2"),
        ({"id": 7, "negative": [[1, 1]], "box": None}, "no such object to correct; .* known is object 2"),
    ],
)
def test_what_does_not_fit_what_went_before_is_refused(later: dict[str, Any], complaint: str) -> None:
    box = {"box": [1, 1, 5, 5]}
    before = [{"id": 1, "frame": 6, "remove": True}, box | {"id": 1}, box | {"id": 2}]
    with pytest.raises(PromptError, match=complaint):
        prepare(prompts(*before, box | {"frame": 9} | later))


def test_what_holds_for_one_stream_need_not_hold_for_another() -> None:
    box = {"box": [1, 1, 5, 5], "id": 1}
    correction = {"id": 1, "frame": 4, "negative": [[1, 1]], "stream": "b"}
    assert len(prepare(prompts(box, correction), ["a", "b"])) == 2
    with pytest.raises(PromptError, match="no such object to correct"):
        prepare(prompts(box | {"stream": "a"}, correction), ["a", "b"])


def test_clicks_must_agree_with_the_mask(tmp_path: Path) -> None:
    mask = np.zeros((30, 40), np.uint8)
    mask[10:20, 5:25] = 255
    path = write_mask(tmp_path / "m.png", mask)
    assert one(mask=path, points=[[6, 12]], negative=[[6, 9]]).id == 1
    with pytest.raises(PromptError, match=r"click on the object, \(6, 9\), is off its mask"):
        one(mask=path, points=[[6, 9]])
    with pytest.raises(PromptError, match="is on its mask"):
        one(mask=path, negative=[[6, 12]])


def test_a_prompt_with_a_time_is_due_at_the_first_frame_that_is_not_earlier() -> None:
    pending = one(box=[1, 1, 5, 5], time_s=0.12)
    assert [pending.due(index, index / 25) for index in range(5)] == [False, False, False, True, True]
    assert not pending.due(9, None)


def test_the_same_id_may_be_used_again_in_another_frame_or_stream() -> None:
    box = {"box": [1, 1, 5, 5], "id": 1}
    assert len(prepare(prompts(box, box | {"frame": 2, "label": "cat"}))) == 2
    assert len(prepare(prompts(box | {"stream": "a"}, box | {"stream": "b"}), ["a", "b"])) == 2


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ({"box": [50, 5, 60, 9]}, r"object 1 at frame 0: box .* outside the 40x30 frame"),
        ({"box": [-9, -9, -5, -5]}, "outside the 40x30 frame"),
        ({"points": [[5, 31]]}, "outside the 40x30 frame"),
        ({"points": [[5, 5]], "negative": [[-1, 3]]}, "outside the 40x30 frame"),
    ],
)
def test_what_lies_outside_the_frame_is_refused(entry: dict[str, Any], complaint: str) -> None:
    pending = one(**entry)
    with pytest.raises(PromptError, match=complaint):
        fit(pending, 40, 30)


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    pending = one(mask=write_mask(tmp_path / "m.png", np.ones((30, 41), np.uint8)))
    with pytest.raises(PromptError, match="40x30, got 41x30"):
        fit(pending, 40, 30)
