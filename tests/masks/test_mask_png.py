"""Label images and contact sheets."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from support.media import moving_images

from streamseg.errors import OutputError, UsageError
from streamseg.masks.contact_sheet import contact_sheet
from streamseg.masks.png import encode_labels, voc_palette
from streamseg.video.writing.writer import write_labels_png


def some_labels(*values: int) -> np.ndarray:
    labels = np.zeros((40, 60), np.uint16)
    for position, value in enumerate(values):
        labels[4 * position : 4 * position + 4, 10:30] = value
    return labels


def test_the_palette_is_that_of_voc() -> None:
    # The twenty-one colors as the VOC development kit prints them.
    known = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128)]
    known += [(128, 128, 128), (64, 0, 0), (192, 0, 0), (64, 128, 0), (192, 128, 0), (64, 0, 128), (192, 0, 128)]
    known += [(64, 128, 128), (192, 128, 128), (0, 64, 0), (128, 64, 0), (0, 192, 0), (128, 192, 0), (0, 64, 128)]
    assert [tuple(row) for row in voc_palette()[:21].tolist()] == known
    assert voc_palette().shape == (256, 3) and len({tuple(row) for row in voc_palette().tolist()}) == 256


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_pixel_values_are_ids_in_the_colors_of_davis(tmp_path: Path, kind: type[np.generic]) -> None:
    labels = some_labels(1, 2, 255).astype(kind)
    write_labels_png(tmp_path / "00000.png", labels)
    with Image.open(tmp_path / "00000.png") as image:
        assert image.mode == "P" and image.format == "PNG"
        np.testing.assert_array_equal(np.asarray(image), labels)
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), voc_palette()[labels])


def test_ids_above_255_are_not_cut(tmp_path: Path) -> None:
    labels = some_labels(1, 256, 65535)
    write_labels_png(tmp_path / "a.png", labels)
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode.startswith("I")
        np.testing.assert_array_equal(np.asarray(image), labels)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1), (33, 47)])
def test_sixteen_bits_are_read_back_by_others(size: tuple[int, int]) -> None:
    values = np.random.default_rng(0).integers(0, 1 << 16, size, np.uint16)
    values[size[0] // 2 :] = 1003
    data = encode_labels(values)
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED), values)
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert image.mode == "I;16"
        np.testing.assert_array_equal(np.asarray(image), values)


@pytest.mark.parametrize(("ids", "mode"), [([7, 3, 250], "P"), ([7, 3, 300], "I"), ([300, 7, 3, 9], "I")])
def test_labels_are_turned_into_ids(tmp_path: Path, ids: list[int], mode: str) -> None:
    labels = some_labels(1, 2, 3)
    write_labels_png(tmp_path / "a.png", labels, ids)
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode[0] == mode
        np.testing.assert_array_equal(np.asarray(image), np.array([0, *ids])[labels])


def test_an_empty_picture_of_labels(tmp_path: Path) -> None:
    write_labels_png(tmp_path / "a.png", some_labels(), [])
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "P" and not np.asarray(image).any()


@pytest.mark.parametrize(
    ("labels", "ids"),
    [
        (np.zeros((4, 4, 3), np.uint8), None),
        (np.zeros((4, 4), np.int64), None),
        (some_labels(1), [0]),
        (some_labels(1), [65536]),
        (some_labels(1, 2), [5]),
    ],
)
def test_labels_that_cannot_be_meant_are_refused(tmp_path: Path, labels: np.ndarray, ids: list[int] | None) -> None:
    with pytest.raises(UsageError, match="expected"):
        write_labels_png(tmp_path / "a.png", labels, ids)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.png"
    target.mkdir()
    with pytest.raises(OutputError, match=r"a\.png"):
        write_labels_png(target, some_labels(1))
    assert list(tmp_path.iterdir()) == [target]


def test_a_contact_sheet_shows_each_picture_in_its_place() -> None:
    colors = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0), (0, 250, 250)]
    images = [np.full((60, 90, 3), color, np.uint8) for color in colors]
    sheet = contact_sheet(images, 3, 310)
    assert sheet.shape == (2 * 65 + 2 * 4 + 4, 310, 3) and sheet.dtype == np.uint8
    for position, color in enumerate(colors):
        row, column = divmod(position, 3)
        assert tuple(sheet[4 + row * 69 + 32, 4 + column * 102 + 49]) == color
    assert tuple(sheet[4 + 69 + 32, 4 + 2 * 102 + 49]) == (24, 24, 24)


def test_a_contact_sheet_keeps_the_proportions_of_other_shapes() -> None:
    wide, tall = np.full((50, 100, 3), 200, np.uint8), np.full((100, 50, 3), 100, np.uint8)
    sheet = contact_sheet([wide, tall], 2, 212, gap_px=4)
    ys, xs = np.nonzero((sheet == 100).all(2))
    assert (np.ptp(ys) + 1) / (np.ptp(xs) + 1) == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize(
    ("images", "columns", "width"),
    [([], 3, 300), (moving_images(2), 0, 300), (moving_images(2), 2, 8), ([np.zeros((4, 4), np.uint8)], 1, 300)],
)
def test_contact_sheets_that_cannot_be_made_are_refused(images: list[np.ndarray], columns: int, width: int) -> None:
    with pytest.raises(UsageError, match="expected"):
        contact_sheet(images, columns, width)
