"""Video files of every kind come out as the pictures that are in them."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from support.media import decode_plainly, moving_images, set_display_matrix, write_video

from streamseg.errors import UsageError
from streamseg.video.open import Picture, open_source


def read_all(source: Path, **options: object) -> tuple[list[Picture], list[np.ndarray]]:
    with open_source(str(source), **options) as reader:  # type: ignore[arg-type]
        pictures, images = [], []
        for picture in reader:
            pictures.append(picture)
            images.append(picture.to_rgb())
    return pictures, images


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """90 frames with B-frames and a key frame every 30."""
    return write_video(tmp_path / "clip.mp4", moving_images(90), options={"g": "30", "bf": "2"})


def test_a_file_gives_every_frame_in_order_with_its_time(clip: Path) -> None:
    with open_source(str(clip)) as reader:
        info = reader.info
        pictures = list(reader)
    assert (info.width, info.height, info.fps, info.frames, info.codec, info.live) == (96, 64, 25.0, 90, "h264", False)
    assert [p.index for p in pictures] == list(range(90))
    assert [p.pts_s for p in pictures] == pytest.approx([n / 25 for n in range(90)])
    assert all(p.time_base == info.time_base for p in pictures)
    assert [p.captured_ns for p in pictures] == sorted(p.captured_ns for p in pictures)
    assert reader.damaged == 0


def test_variable_frame_rate_keeps_every_pts(tmp_path: Path) -> None:
    pts = [0, 40, 41, 140, 500, 520, 1900]
    base = Fraction(1, 1000)
    path = write_video(tmp_path / "vfr.mkv", moving_images(7), pts=pts, time_base=base, options={"bf": "0"})
    pictures, _ = read_all(path)
    assert [round(1000 * (p.pts_s or 0)) for p in pictures] == pts


KINDS = {
    "h264 in mp4": ("a.mp4", "libx264", "yuv420p", (96, 64)),
    "full range": ("a.mp4", "libx264", "yuvj420p", (96, 64)),
    "10 bit": ("a.mp4", "libx264", "yuv420p10le", (96, 64)),
    "10 bit lossless": ("a.mkv", "ffv1", "yuv420p10le", (96, 64)),
    "4:4:4": ("a.mp4", "libx264", "yuv444p", (96, 64)),
    "gray": ("a.mkv", "ffv1", "gray", (96, 64)),
    "16 bit gray": ("a.mkv", "ffv1", "gray16le", (96, 64)),
    "palette": ("a.mov", "qtrle", "rgb555be", (96, 64)),
    "odd sizes": ("a.mkv", "ffv1", "yuv420p", (97, 63)),
    "odd sizes in RGB": ("a.mkv", "ffv1", "bgr0", (101, 33)),
    "tiny": ("a.mkv", "ffv1", "yuv444p", (17, 18)),
    "mjpeg in avi": ("a.avi", "mjpeg", "yuvj422p", (96, 64)),
    "mpeg4 with B-frames in avi": ("a.avi", "mpeg4", "yuv420p", (96, 64)),
    "mpeg2 in ts": ("a.ts", "mpeg2video", "yuv420p", (96, 64)),
    "raw bottom-up RGB": ("a.avi", "rawvideo", "bgr24", (98, 64)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_rgb_is_exactly_what_swscale_makes(tmp_path: Path, kind: str) -> None:
    name, codec, pix_fmt, size = KINDS[kind]
    path = write_video(tmp_path / name, moving_images(8, *size), codec=codec, pix_fmt=pix_fmt)
    _, images = read_all(path)
    expected = decode_plainly(path)
    assert len(images) == len(expected) == 8
    assert images[0].shape == (size[1], size[0], 3)
    for image, plain in zip(images, expected, strict=True):
        np.testing.assert_array_equal(image, plain)


def test_alpha_is_dropped_and_the_colors_under_it_are_kept(tmp_path: Path) -> None:
    color = moving_images(4)
    with_alpha = [np.dstack([image, np.full(image.shape[:2], 90, np.uint8)]) for image in color]
    path = write_video(tmp_path / "alpha.mov", with_alpha, codec="qtrle", pix_fmt="argb")
    _, images = read_all(path)
    np.testing.assert_array_equal(images, color)


# What a track header's matrix asks for, as (a, b, c, d), and what that means in numpy.
MATRICES = {
    "none": ((1, 0, 0, 1), lambda image: image),
    "clockwise": ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
    "half": ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
    "counter-clockwise": ((0, -1, 1, 0), np.rot90),
    "mirrored": ((-1, 0, 0, 1), np.fliplr),
    "upside down": ((1, 0, 0, -1), np.flipud),
    "transposed": ((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2)),
    "across": ((0, -1, -1, 0), lambda image: np.rot90(image, 2).transpose(1, 0, 2)),
}


@pytest.mark.parametrize("turn", MATRICES)
def test_pictures_come_upright(tmp_path: Path, turn: str) -> None:
    matrix, upright = MATRICES[turn]
    path = write_video(tmp_path / "phone.mp4", moving_images(3))
    plain = decode_plainly(path)
    set_display_matrix(path, *matrix)
    with open_source(str(path)) as reader:
        first = next(reader)
        out = first.to_rgb()
    np.testing.assert_array_equal(out, upright(plain[0]))
    assert (reader.info.width, reader.info.height) == (out.shape[1], out.shape[0]) == (first.width, first.height)


def test_a_rotation_that_is_no_multiple_of_90_degrees_is_ignored_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_video(tmp_path / "tilted.mp4", moving_images(3))
    plain = decode_plainly(path)
    set_display_matrix(path, 1, 1, -1, 1)
    _, images = read_all(path)
    np.testing.assert_array_equal(images, plain)
    assert "multiples of 90" in caplog.text


def test_pixels_are_written_into_the_callers_array_even_a_strided_one(clip: Path) -> None:
    plain = decode_plainly(clip)
    wide = np.zeros((64, 120, 3), np.uint8)
    with open_source(str(clip)) as reader:
        next(reader).write_rgb(wide[:, 10:106])
    np.testing.assert_array_equal(wide[:, 10:106], plain[0])
    assert not wide[:, :10].any() and not wide[:, 106:].any()


def test_a_rotated_picture_is_written_into_a_strided_array(tmp_path: Path) -> None:
    path = write_video(tmp_path / "phone.mp4", moving_images(3))
    plain = decode_plainly(path)
    set_display_matrix(path, 0, 1, -1, 0)
    wide = np.zeros((96, 80, 3), np.uint8)
    with open_source(str(path)) as reader:
        next(reader).write_rgb(wide[:, 8:72])
    np.testing.assert_array_equal(wide[:, 8:72], np.rot90(plain[0], -1))
    assert not wide[:, :8].any() and not wide[:, 72:].any()


@pytest.mark.parametrize(
    "out",
    [
        np.zeros((64, 97, 3), np.uint8),
        np.zeros((96, 64, 3), np.uint8),
        np.zeros((64, 96, 3), np.float32),
        np.zeros((64, 96, 4), np.uint8)[:, :, :3],
        np.broadcast_to(np.zeros(3, np.uint8), (64, 96, 3)),
    ],
)
def test_an_array_that_does_not_fit_is_refused(clip: Path, out: np.ndarray) -> None:
    with open_source(str(clip)) as reader, pytest.raises(UsageError, match=r"\(64, 96, 3\)"):
        next(reader).write_rgb(out)


def comb(image: np.ndarray) -> float:
    """How much each line differs from the mean of its neighbors."""
    lines = image.astype(np.float32)
    return float(np.abs(lines[1:-1] - (lines[:-2] + lines[2:]) / 2).mean())


def test_interlaced_frames_are_deinterlaced_one_picture_each(tmp_path: Path) -> None:
    first_fields, second_fields = moving_images(40)[::2], moving_images(40)[1::2]
    woven = [image.copy() for image in first_fields]
    for image, second in zip(woven, second_fields, strict=True):
        # The encoder says that the lower field, lines 1, 3, 5, ..., comes first.
        image[0::2] = second[0::2]
    options = {"flags": "+ildct+ilme", "qscale": "2"}
    path = write_video(tmp_path / "tv.ts", woven, codec="mpeg2video", options=options)
    with av.open(str(path)) as container:
        flags = [frame.interlaced_frame for frame in container.decode(video=0)]
    assert all(flags) and len(flags) == 20
    pictures, images = read_all(path)
    assert len(images) == 20
    times = np.diff([p.pts_s or 0.0 for p in pictures])
    np.testing.assert_allclose(times, 1 / 25, atol=1e-4)
    plain = decode_plainly(path)
    for image, combed, number in zip(images, plain, range(20), strict=True):
        # Where both fields agree there is no comb to remove; the moving square has one in every frame.
        assert comb(image) < 0.75 * comb(combed)
        whole = first_fields[number].astype(int)
        assert np.abs(image - whole).mean() < np.abs(combed - whole).mean()


def test_progressive_frames_among_interlaced_ones_are_left_alone(tmp_path: Path) -> None:
    still, woven = moving_images(6), moving_images(12)[::2]
    for image, second in zip(woven, moving_images(12)[1::2], strict=True):
        image[0::2] = second[0::2]
    parts = []
    for number, (images, flags) in enumerate([(still, "0"), (woven, "+ildct+ilme"), (still, "0")]):
        path = tmp_path / f"{number}.m2v"
        parts.append(write_video(path, images, codec="mpeg2video", options={"flags": flags, "qscale": "2", "bf": "0"}))
    mixed = tmp_path / "mixed.m2v"
    mixed.write_bytes(b"".join(part.read_bytes() for part in parts))
    plain = decode_plainly(mixed)
    _, images = read_all(mixed)
    assert len(images) == len(plain) == 18
    same = [np.array_equal(image, combed) for image, combed in zip(images, plain, strict=True)]
    assert same == 6 * [True] + 6 * [False] + 6 * [True]


def test_a_source_without_times_has_none(tmp_path: Path) -> None:
    path = write_video(tmp_path / "raw.h264", moving_images(8))
    pictures, _ = read_all(path)
    assert [(picture.index, picture.pts, picture.pts_s) for picture in pictures] == [(n, None, None) for n in range(8)]


@pytest.mark.parametrize("start", [0, 1, 29, 30, 31, 89, 90, 500])
def test_start_index_gives_the_pictures_of_a_full_read(clip: Path, start: int) -> None:
    full, full_images = read_all(clip)
    pictures, images = read_all(clip, start_index=start)
    assert [(p.index, p.pts) for p in pictures] == [(p.index, p.pts) for p in full[start:]]
    for image, same in zip(images, full_images[start:], strict=True):
        np.testing.assert_array_equal(image, same)


def test_max_frames_counts_from_the_start_index(clip: Path) -> None:
    pictures, _ = read_all(clip, start_index=10, max_frames=7)
    assert [p.index for p in pictures] == list(range(10, 17))


@pytest.mark.parametrize("options", [{"start_index": -1}, {"max_frames": 0}, {"image_fps": 0.0}])
def test_arguments_that_cannot_be_meant_are_refused(clip: Path, options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        open_source(str(clip), **options)  # type: ignore[arg-type]


def test_one_and_two_threads_give_the_same_pictures(clip: Path) -> None:
    np.testing.assert_array_equal(read_all(clip, threads=1)[1], read_all(clip, threads=2)[1])


def test_a_file_that_was_cut_off_gives_what_is_there_and_says_so(
    clip: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = moving_images(90)
    whole = write_video(
        tmp_path / "whole.mp4", images, options={"g": "30", "bf": "0"}, container_options={"movflags": "faststart"}
    )
    _, full = read_all(whole)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])
    with open_source(str(cut)) as reader:
        found = [picture.to_rgb() for picture in reader]
    assert 20 < len(found) < 90
    # The frame at the cut is there in part; all before it are whole.
    for image, same in zip(found[:-1], full, strict=False):
        np.testing.assert_array_equal(image, same)
    assert reader.damaged >= 90 - len(found)
    assert "cut off" in caplog.text and str(cut) in caplog.text


@pytest.mark.parametrize("container", ["mp4", "mkv", "avi"])
def test_damage_in_the_middle_is_passed_and_counted(
    tmp_path: Path, container: str, caplog: pytest.LogCaptureFixture
) -> None:
    codec = "mpeg4" if container == "avi" else "libx264"
    # Matroska finds its way again at the next cluster. The same bytes each time, or the damage falls elsewhere.
    clusters = {"cluster_time_limit": "400", "fflags": "+bitexact"} if container == "mkv" else {}
    path = write_video(
        tmp_path / f"a.{container}",
        moving_images(90),
        codec=codec,
        options={"g": "15", "bf": "0", "threads": "1"},
        container_options=clusters,
    )
    full = decode_plainly(path)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    noise = np.random.default_rng(0).integers(0, 256, len(data) // 20, dtype=np.uint8).tobytes()
    data[middle : middle + len(noise)] = noise
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING, "streamseg"), open_source(str(path)) as reader:
        found = [picture.to_rgb() for picture in reader]
    assert reader.damaged > 0
    assert "damaged" in caplog.text
    assert 70 <= len(found) <= 90
    np.testing.assert_array_equal(found[0], full[0])
    np.testing.assert_array_equal(found[-1], full[-1])


def test_a_change_of_size_in_mid_stream_is_scaled_to_the_first_size(tmp_path: Path) -> None:
    first = write_video(tmp_path / "1.h264", moving_images(10, 96, 64))
    second = write_video(tmp_path / "2.h264", moving_images(10, 160, 128))
    both = tmp_path / "both.h264"
    both.write_bytes(first.read_bytes() + second.read_bytes())
    pictures, images = read_all(both)
    assert len(pictures) == 20
    assert {image.shape for image in images} == {(64, 96, 3)}
    small = moving_images(10, 160, 128)[5][::2, ::2][:, :80]
    assert np.abs(images[15].mean((0, 1)) - small.mean((0, 1))).max() < 25


def test_a_file_can_be_played_in_real_time(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", moving_images(6), rate=20)
    with open_source(str(path), live=True) as reader:
        pictures = list(reader)
    assert reader.info.live and len(pictures) == 6
    # Never before its time; how long after is up to the machine.
    waited_s = (pictures[-1].captured_ns - pictures[0].captured_ns) / 1e9
    assert waited_s > 5 / 20 - 0.05


def test_stop_ends_the_iteration(clip: Path) -> None:
    with open_source(str(clip)) as reader:
        next(reader)
        reader.stop()
        assert list(reader) == []
