"""What callers in Python give: arrays, tensors, paths and numbers of all kinds; the rest is refused in one sentence."""

from __future__ import annotations

import base64
import io
import itertools
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image
from support.disks import box_of, picture, truth
from support.media import write_video

import streamseg
from streamseg.errors import GraphError, PromptError, UsageError
from streamseg.prompts.model import ObjectPrompt
from streamseg.prompts.prepare import prepare
from streamseg.runtime.library import given
from streamseg.runtime.library.prompting import command_of
from streamseg.types import MASK_URL

BOX = [1.0, 2.0, 30.0, 40.0]


class Frame:
    """Has values as tables of other packages have them."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype)


@pytest.mark.parametrize(
    "values",
    [
        [BOX],
        [tuple(BOX)],
        BOX,
        tuple(BOX),
        np.array([BOX]),
        np.array(BOX, np.float32),
        [np.array(BOX, np.int32)],
        torch.tensor([BOX]),
        [torch.tensor(value) for value in BOX],
        [np.float64(value) for value in BOX],
        [tuple(Decimal(str(value)) for value in BOX)],
        [[Fraction(value) for value in BOX]],
        iter([BOX]),
        map(tuple, [BOX]),
        zip(*[[value] for value in BOX], strict=True),
        np.array([[BOX]]),
        torch.tensor([BOX]).to_sparse(),
        torch.tensor([BOX], requires_grad=True),
        Frame([BOX]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_boxes_of_any_kind_are_the_same_boxes(values: Any) -> None:
    assert given.rows(values, 4, "boxes") == [BOX]


@pytest.mark.parametrize("values", [(), [], None, np.zeros((0, 4))])
def test_none_at_all_is_none(values: Any) -> None:
    assert given.rows(values, 4, "boxes") == []


@pytest.mark.parametrize("values", ["1,2,3,4", {"box": BOX}, [BOX, "x"], 7, [[BOX]], [[None] * 4], {tuple(BOX)}])
def test_what_is_no_box_is_refused_in_a_sentence(values: Any) -> None:
    with pytest.raises(PromptError, match="expected boxes, got"):
        given.rows(values, 4, "boxes")


@pytest.mark.parametrize(
    ("values", "got"),
    [
        ([("1", "2", "3", "4")], "got a str where a number should be"),
        ([(True, 2, 3, 4)], "got True where a number should be"),
        (
            torch.empty((1, 4), device="meta"),
            "expected numbers, got an array of .* that does not give them",
        ),
        (itertools.repeat(BOX), "expected at most 100000 values, got more from a repeat"),
    ],
)
def test_it_is_said_what_is_no_number(values: Any, got: str) -> None:
    with pytest.raises(PromptError, match=got):
        given.rows(values, 4, "boxes")


def test_options_and_prompts_of_any_kind_are_taken(tmp_path: Path) -> None:
    assert given.option(np.int64(3)) == 3 and given.option(tmp_path) == str(tmp_path)
    with pytest.raises(GraphError, match="expected a whole number of at least 1 for max_frames"):
        streamseg.segment_video("a.mp4", prompts={"box": BOX}, max_frames=np.int64(0))  # type: ignore[typeddict-item]
    with pytest.raises(GraphError, match="expected another value for focus, got 'of'; did you mean 'o"):
        streamseg.segment_video("a.mp4", prompts={"box": BOX}, focus="of")  # type: ignore[arg-type]


def test_prompts_with_numbers_of_numpy_and_masks_of_any_kind_are_understood(tmp_path: Path) -> None:
    mask = np.zeros((30, 40), bool)
    mask[5:20, 3:15] = True
    Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / "m.png")
    kinds = [
        tmp_path / "m.png",
        mask,
        mask.astype(np.uint8),
        mask[None],
        mask.astype(np.float32),
        torch.from_numpy(mask),
        mask.astype(np.uint16) * 7,
    ]
    for kind in kinds:
        plain = given.prompt({"id": np.int64(7), "points": np.array([[5, 6]]), "mask": kind})
        (pointer,) = prepare([ObjectPrompt(**plain)])
        assert pointer.id == 7 and pointer.prompt.points == [[5, 6]]
        np.testing.assert_array_equal(pointer.mask, mask)
        body = msgspec.msgpack.decode(command_of({"id": 7, "mask": kind}))
        assert base64.b64decode(body["mask"].removeprefix(MASK_URL)).startswith(b"\x89PNG")


def test_a_mask_of_ids_keeps_them() -> None:
    ids = np.zeros((30, 40), np.int64)
    ids[:10], ids[20:] = 3, 700
    (pointer,) = prepare([ObjectPrompt(**given.prompt({"id": 700, "mask": ids}))])
    np.testing.assert_array_equal(pointer.mask, ids == 700)


@pytest.mark.parametrize("mask", [np.zeros((2, 3, 4)), 7, np.array(["a"]), [[1, -1]], [[0.5, -2.0]], [[np.nan]]])
def test_what_is_no_mask_is_refused_in_a_sentence(mask: Any) -> None:
    with pytest.raises(PromptError, match="expected a mask") as refusal:
        given.prompt({"id": 1, "mask": mask})
    assert len(str(refusal.value)) < 200


def test_an_error_about_a_mask_that_was_an_array_does_not_show_it() -> None:
    with pytest.raises(PromptError, match="the mask that came along is empty"):
        prepare([ObjectPrompt(**given.prompt({"id": 1, "mask": np.zeros((300, 400), bool)}))])


def test_sources_that_can_be_meant_are_taken(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    for path in (tmp_path / "a.mp4", str(tmp_path / "a.mp4"), str(tmp_path / "a.mp4").encode()):
        assert given.source(path) == str(tmp_path / "a.mp4")
    assert given.source(np.int32(0)) == given.source(0) == "0"


@pytest.mark.parametrize(
    ("source", "got"),
    [
        (None, "got None"),
        (b"\0\1" * 9000, "got 18000 bytes; write it to a file"),
        (np.zeros((48, 64, 3), np.uint8), r"got an array of \(48, 64, 3\); a single picture is image\[None\]"),
        (Image.new("RGB", (4, 4)), "got a Image"),
        (["a.png", "b.png"], "got a list of 2; give the folder that they are in"),
        (io.BytesIO(b"x"), "got a BytesIO"),
        (True, "got True"),
        ("", "got an empty text; name one"),
        (-1, "got -1"),
        (1.5, "got 1.5"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_sources_are_refused_in_a_sentence(source: Any, got: str) -> None:
    with pytest.raises(UsageError, match=got) as refusal:
        streamseg.segment_video(source, boxes=[BOX])
    assert len(str(refusal.value)) < 200


def test_a_run_begins_with_arrays(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", [picture(index) for index in range(2)])
    prompts = [{"id": np.int64(3), "mask": truth(0)}, {"id": np.int64(5), "box": np.array(box_of(0, 1))}]
    results = list(streamseg.segment_video(video, prompts=prompts))
    assert [[found.id for found in result.objects] for result in results] == [[3, 5], [3, 5]]
