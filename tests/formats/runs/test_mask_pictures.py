"""Masks that are cut out of pictures of ids by the boxes of the tracks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streamseg.errors import MediaError
from streamseg.formats.runs.mask_pictures import MaskPicture, ReadAhead
from streamseg.masks import rle
from streamseg.masks.png import write_labels_png

IDS = np.zeros((9, 12), np.uint8)
IDS[0:3, 0:4] = 1
IDS[1:9, 8:12] = 2
IDS[1, 1] = 0
BOXES = {1: (0.0, 0.0, 4.0, 3.0), 2: (8.0, 1.0, 12.0, 9.0)}


def picture_with(boxes: dict[int, tuple[float, float, float, float]]) -> MaskPicture:
    return MaskPicture(Path("00000.png"), lambda: IDS, (9, 12), boxes)


def test_a_mask_is_cut_out_by_its_box() -> None:
    picture = picture_with(BOXES)
    for object_id, (x0, y0, x1, y1) in BOXES.items():
        cut = picture.cut_of(object_id)()
        assert cut is not None
        assert np.array_equal(cut, IDS[int(y0) : int(y1), int(x0) : int(x1)] == object_id)
        assert picture.counts_of(object_id)() == rle.encode(object_id == IDS)


@pytest.mark.parametrize(
    "boxes",
    [
        {},
        {1: BOXES[1]},
        {1: BOXES[1], 2: (8.0, 1.0, 12.0, 8.0)},
        {1: BOXES[1], 2: (8.0, 1.0, 13.0, 9.0)},
        {1: BOXES[1], 2: (-1.0, 1.0, 12.0, 9.0)},
    ],
    ids=["none", "one is missing", "too small", "beyond the frame", "before the frame"],
)
def test_boxes_that_do_not_go_with_the_masks_count_for_nothing(
    boxes: dict[int, tuple[float, float, float, float]],
) -> None:
    picture = picture_with(boxes)
    assert picture.cut_of(2)() is None
    for object_id in (1, 2):
        assert picture.counts_of(object_id)() == rle.encode(object_id == IDS)
    assert picture.ids == [1, 2]


def test_a_picture_is_handed_on_only_if_all_in_it_is_wanted() -> None:
    for boxes in (BOXES, {}):
        picture = picture_with(boxes)
        assert picture.picture_of({1, 2, 3})() is IDS
        assert picture.picture_of({1})() is None


def test_pictures_are_read_ahead_in_their_order(tmp_path: Path) -> None:
    paths = {frame: tmp_path / f"{frame}.png" for frame in (0, 1, 2, 4, 6, 7)}
    for frame, path in paths.items():
        write_labels_png(path, np.full((2, 3), frame, np.uint8))
    reader = ReadAhead(paths)
    for frame in (0, 2, 4, 6, 7, 1, 1):
        assert (reader.read(frame) == frame).all()
    reader.close()
    # Whoever has kept a frame may look at it later.
    assert (reader.read(0) == 0).all()


def test_a_damaged_picture_is_told_when_it_is_its_turn(tmp_path: Path) -> None:
    write_labels_png(tmp_path / "0.png", IDS)
    (tmp_path / "1.png").write_bytes(b"no picture")
    reader = ReadAhead({0: tmp_path / "0.png", 1: tmp_path / "1.png"})
    assert np.array_equal(reader.read(0), IDS)
    with pytest.raises(MediaError, match=r"1\.png: cannot be read as a mask"):
        reader.read(1)
    reader.close()
