"""Folders of images are read as videos."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from support.media import moving_images

from streamseg.errors import MediaError
from streamseg.video.open import SourceKind, open_source


def write_image(path: Path, image: np.ndarray) -> None:
    assert cv2.imwrite(str(path), image[:, :, ::-1] if image.ndim == 3 and image.shape[2] == 3 else image)


def test_images_come_in_natural_order(tmp_path: Path) -> None:
    images = moving_images(12)
    for number, image in enumerate(images):
        write_image(tmp_path / f"frame{number}.png", image)
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_bytes(b"not an image either")
    with open_source(str(tmp_path), image_fps=10) as reader:
        pictures = list(reader)
        np.testing.assert_array_equal([picture.to_rgb() for picture in pictures], images)
    assert [picture.pts_s for picture in pictures] == pytest.approx([n / 10 for n in range(12)])
    info = reader.info
    assert (info.kind, info.width, info.height, info.fps, info.frames) == (SourceKind.FOLDER, 96, 64, 10.0, 12)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff", ".PNG"])
def test_lossless_formats_are_exact(tmp_path: Path, suffix: str) -> None:
    image = moving_images(1)[0]
    write_image(tmp_path / f"a{suffix}", image)
    with open_source(str(tmp_path)) as reader:
        np.testing.assert_array_equal(next(reader).to_rgb(), image)


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_lossy_formats_have_their_colors_in_the_right_order(tmp_path: Path, suffix: str) -> None:
    write_image(tmp_path / f"a{suffix}", np.full((32, 32, 3), (220, 40, 90), np.uint8))
    with open_source(str(tmp_path)) as reader:
        assert np.abs(next(reader).to_rgb().astype(int) - (220, 40, 90)).max() < 8


def test_a_single_image_is_a_folder_of_one(tmp_path: Path) -> None:
    images = moving_images(2)
    write_image(tmp_path / "a.png", images[0])
    write_image(tmp_path / "b.png", images[1])
    with open_source(str(tmp_path / "b.png")) as reader:
        np.testing.assert_array_equal([picture.to_rgb() for picture in reader], [images[1]])


def test_16_bit_alpha_grey_and_palette_images(tmp_path: Path) -> None:
    color = moving_images(1)[0]
    deep = color.astype(np.uint16) * 256 + 77
    write_image(tmp_path / "1.png", deep)
    write_image(tmp_path / "2.png", np.dstack([color[:, :, ::-1], np.full((64, 96), 40, np.uint8)]))
    write_image(tmp_path / "3.png", color[:, :, 0])
    write_image(tmp_path / "4.tif", deep[:, :, 0])
    palette = Image.fromarray((color[:, :, 0] // 64).astype(np.uint8))
    palette.putpalette([10, 20, 30, 200, 0, 0, 0, 200, 0, 0, 0, 200])
    palette.save(tmp_path / "5.png")
    with open_source(str(tmp_path)) as reader:
        found = [picture.to_rgb() for picture in reader]
    np.testing.assert_array_equal(found[0], color)
    np.testing.assert_array_equal(found[1], color)
    gray = np.repeat(color[:, :, :1], 3, axis=2)
    np.testing.assert_array_equal(found[2], gray)
    np.testing.assert_array_equal(found[3], gray)
    np.testing.assert_array_equal(found[4], np.asarray(palette.convert("RGB")))


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, :30] = (255, 0, 0)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    Image.fromarray(image).save(tmp_path / "a.jpg", exif=exif, quality=95)
    with open_source(str(tmp_path)) as reader:
        assert (reader.info.width, reader.info.height) == (40, 60)
        found = next(reader).to_rgb()
    assert found[:28, :, 0].min() > 240 and found[32:, :, 0].max() < 15


def test_an_image_of_another_size_is_named(tmp_path: Path) -> None:
    write_image(tmp_path / "1.png", moving_images(1)[0])
    write_image(tmp_path / "2.png", moving_images(1, 100, 64)[0])
    with open_source(str(tmp_path)) as reader:
        next(reader)
        with pytest.raises(MediaError, match=r"2\.png is 100x64"):
            next(reader)


def test_a_damaged_image_is_left_out_with_its_number_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = moving_images(4)
    for number, image in enumerate(images):
        write_image(tmp_path / f"{number}.png", image)
    (tmp_path / "2.png").write_bytes(b"this was an image once")
    with caplog.at_level(logging.WARNING, "streamseg"), open_source(str(tmp_path)) as reader:
        assert [picture.index for picture in reader] == [0, 1, 3]
    assert reader.damaged == 1
    assert "2.png" in caplog.text


def test_what_is_no_file_among_the_images_is_left_out(tmp_path: Path) -> None:
    write_image(tmp_path / "0.png", moving_images(1)[0])
    (tmp_path / "1.png").symlink_to("gone.png")
    (tmp_path / "2.png").symlink_to("2.png")
    (tmp_path / "3.png").mkdir()
    os.mkfifo(tmp_path / "4.png")
    (tmp_path / "5.png").symlink_to("/dev/zero")
    write_image(tmp_path / "6.png", moving_images(1)[0])
    with open_source(str(tmp_path)) as reader:
        assert [picture.index for picture in reader] == [0, 6]
        assert reader.damaged == 5
    for name in ("2.png", "4.png"):
        with pytest.raises(MediaError, match=f"expected .*{name}"):
            open_source(str(tmp_path / name))


def test_a_folder_of_damaged_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"this was an image once")
    with pytest.raises(MediaError, match="none of its 1 can be decoded"):
        open_source(str(tmp_path))


def test_start_index_is_the_position_in_the_folder(tmp_path: Path) -> None:
    images = moving_images(5)
    for number, image in enumerate(images):
        write_image(tmp_path / f"{number}.png", image)
    with open_source(str(tmp_path), start_index=3) as reader:
        pictures = list(reader)
        np.testing.assert_array_equal([picture.to_rgb() for picture in pictures], images[3:])
    assert [(picture.index, picture.pts) for picture in pictures] == [(3, 3), (4, 4)]
