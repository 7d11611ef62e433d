"""Videos that are written come back whole, in time and in color; after a crash, up to the last fragment."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import textwrap
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from support.media import moving_images

from streamseg.errors import OutputError, UsageError
from streamseg.video.open import open_source
from streamseg.video.writing import writer as writer_module
from streamseg.video.writing.writer import VideoWriter

PROJECT = Path(__file__).parents[3]


def read_back(path: Path) -> tuple[list[Fraction], list[np.ndarray]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return [f.pts * f.time_base for f in frames], [f.to_ndarray(format="rgb24") for f in frames]


def boxes(path: Path) -> list[bytes]:
    """The types of an MP4's top level boxes, in order."""
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        found.append(data[at + 4 : at + 8])
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        at += size or len(data)
    return found


def test_every_picture_comes_back_at_its_time(tmp_path: Path) -> None:
    images = moving_images(70, 160, 96)
    times = np.cumsum([0.0, *np.random.default_rng(0).uniform(0.01, 0.2, 69)]).tolist()
    with VideoWriter(tmp_path / "a.mp4", 160, 96, rate_hint=25, crf=12) as writer:
        for image, pts_s in zip(images, times, strict=True):
            image.flags.writeable = False
            writer.write(image, pts_s)
        assert writer.frames == 70
    found_times, found = read_back(tmp_path / "a.mp4")
    np.testing.assert_allclose([float(t) for t in found_times], times, atol=1e-4)
    for image, same in zip(images, found, strict=True):
        assert np.abs(image.astype(int) - same).mean() < 8


def test_a_closed_file_is_a_plain_mp4_that_any_player_opens(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with VideoWriter(path, 96, 64, rate_hint=Fraction(30000, 1001)) as writer:
        for number, image in enumerate(moving_images(150)):
            writer.write(image, number * 1001 / 30000)
    kinds = boxes(path)
    assert kinds[0] == b"ftyp" and kinds.count(b"moov") == 1 and b"moof" not in kinds
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt, stream.frames) == ("h264", "yuv420p", 150)
        assert container.duration == pytest.approx(150 * 1001 / 30000 * 1e6, rel=1e-3)
        context = stream.codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 1, 1)


@pytest.mark.parametrize("color", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 30, 60), (255, 255, 255), (0, 0, 0)])
def test_colors_come_back(tmp_path: Path, color: tuple[int, int, int]) -> None:
    image = np.full((64, 96, 3), color, np.uint8)
    with VideoWriter(tmp_path / "a.mp4", 96, 64, rate_hint=25, crf=4) as writer:
        writer.write(image, 0.0)
    with open_source(str(tmp_path / "a.mp4")) as reader:
        assert np.abs(next(reader).to_rgb().astype(int) - color).max() <= 5


@pytest.mark.parametrize("size", [(97, 63), (1, 1), (96, 63), (33, 64)])
def test_odd_sizes_are_padded_not_scaled(tmp_path: Path, size: tuple[int, int]) -> None:
    width, height = size
    image = moving_images(1, 120, 80)[0][:height, :width]
    with VideoWriter(tmp_path / "a.mp4", width, height, rate_hint=25, crf=4) as writer:
        writer.write(image, 0.0)
    _, (found,) = read_back(tmp_path / "a.mp4")
    assert found.shape == (height + height % 2, width + width % 2, 3)
    assert np.abs(found[:height, :width].astype(int) - image).mean() < 8


def test_times_that_do_not_grow_still_give_a_frame_each(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.04, 0.02, None, 0.2]
    with VideoWriter(tmp_path / "a.mp4", 96, 64, rate_hint=25) as writer:
        for image, pts_s in zip(moving_images(6), times, strict=True):
            writer.write(image, pts_s)
    found, _ = read_back(tmp_path / "a.mp4")
    tick = Fraction(1, 90000)
    at = Fraction(1, 25)
    assert found == [0, at, at + tick, at + 2 * tick, 2 * at + 2 * tick, Fraction(1, 5)]


def test_the_file_begins_with_the_first_picture(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", 96, 64, rate_hint=25) as writer:
        for image, pts_s in zip(moving_images(3), [1000.4, 1000.5, 1002.0], strict=True):
            writer.write(image, pts_s)
    assert [float(t) for t in read_back(tmp_path / "a.mp4")[0]] == pytest.approx([0.0, 0.1, 1.6], abs=1e-4)


def test_a_time_base_can_be_given(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", 96, 64, rate_hint=24, time_base=Fraction(1, 24000)) as writer:
        for number, image in enumerate(moving_images(5)):
            writer.write(image, number * 1001 / 24000)
    assert read_back(tmp_path / "a.mp4")[0] == [Fraction(1001 * n, 24000) for n in range(5)]


def test_pictures_that_do_not_fit_are_refused_and_the_video_goes_on(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", 96, 64, rate_hint=25) as writer:
        writer.write(moving_images(1)[0], 0.0)
        with pytest.raises(UsageError, match=r"\(64, 96, 3\)"):
            writer.write(np.zeros((96, 64, 3), np.uint8), 0.04)
        with pytest.raises(UsageError, match="presentation time"):
            writer.write(moving_images(1)[0], float("nan"))
        writer.write(moving_images(2)[1], 0.08)
    assert len(read_back(tmp_path / "a.mp4")[0]) == 2
    with pytest.raises(UsageError, match="closed"):
        writer.write(moving_images(1)[0], 1.0)


def test_a_video_without_pictures_closes(tmp_path: Path) -> None:
    VideoWriter(tmp_path / "a.mp4", 96, 64, rate_hint=25).close()
    assert (tmp_path / "a.mp4").exists()


@pytest.mark.parametrize("encoder", ["mpeg4"])
def test_without_x264_another_encoder_takes_over(
    tmp_path: Path, encoder: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer_module, "_ENCODERS", ("no-such-encoder", encoder))
    with VideoWriter(tmp_path / "a.mp4", 96, 64, rate_hint=25) as writer:
        for number, image in enumerate(moving_images(60)):
            writer.write(image, number / 25)
    assert "no no-such-encoder" in caplog.text
    times, found = read_back(tmp_path / "a.mp4")
    np.testing.assert_allclose([float(t) for t in times], np.arange(60) / 25, atol=1e-4)
    assert np.abs(found[30].astype(int) - moving_images(31)[30]).mean() < 12


def test_no_encoder_at_all_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "_ENCODERS", ("no-such-encoder",))
    with pytest.raises(OutputError, match="no-such-encoder"):
        VideoWriter(tmp_path / "a.mp4", 96, 64, rate_hint=25)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="make its folder first"):
        VideoWriter(tmp_path / "no" / "a.mp4", 96, 64, rate_hint=25)


def test_a_folder_that_may_not_be_written_to(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        with pytest.raises(OutputError, match="may write to"):
            VideoWriter(folder / "a.mp4", 96, 64, rate_hint=25)
    finally:
        if root:
            os.seteuid(0)


def run_script(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": f"{PROJECT}{os.pathsep}{PROJECT / 'tests'}"},
        check=False,
    )


WRITE_UNTIL = """
    import os, resource, signal, sys
    from support.media import moving_images
    from streamseg.errors import OutputError
    from streamseg.video.writing.writer import VideoWriter

    path, how = sys.argv[1:]
    if how == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    images = moving_images(50, 320, 192)
    with VideoWriter(path, 320, 192, rate_hint=25, threads=1) as writer:
        for number in range(2000 if how == "full" else 300):
            try:
                writer.write(images[number % 50], number / 25)
            except OutputError as error:
                print(f"after {number}: {error}")
                break
        else:
            os.kill(os.getpid(), signal.SIGKILL)
"""


def test_after_a_kill_the_file_plays_up_to_the_last_fragment(tmp_path: Path) -> None:
    ended = run_script(WRITE_UNTIL, tmp_path / "a.mp4", "killed")
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    times, images = read_back(tmp_path / "a.mp4")
    # 300 were written; x264 holds back some 40, a fragment is 50.
    assert 200 <= len(times) <= 300
    assert times == [Fraction(n, 25) for n in range(len(times))]
    assert np.abs(images[-1].astype(int) - moving_images(50, 320, 192)[(len(images) - 1) % 50]).mean() < 12


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes, in place of a full disk")
def test_a_full_disk_is_said_and_what_was_written_plays(tmp_path: Path) -> None:
    ended = run_script(WRITE_UNTIL, tmp_path / "a.mp4", "full")
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    assert "free space" in ended.stdout and "a.mp4" in ended.stdout
    times, _ = read_back(tmp_path / "a.mp4")
    assert len(times) >= 50 and len(times) % 50 == 0
    assert times == [Fraction(n, 25) for n in range(len(times))]


CLOSE_IN_VAIN = """
    import os, resource, sys
    from support.media import moving_images
    from streamseg.errors import OutputError
    from streamseg.video.writing.writer import VideoWriter

    path = sys.argv[1]
    images = moving_images(50, 320, 192)
    writer = VideoWriter(path, 320, 192, rate_hint=25, threads=1)
    for number in range(95):
        writer.write(images[number % 50], number / 25)
    size = os.path.getsize(path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 3000, size + 3000))
    try:
        writer.close()
    except OutputError as error:
        print(error)
    writer.close()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes, in place of a full disk")
def test_a_disk_that_is_full_when_the_video_is_closed(tmp_path: Path) -> None:
    ended = run_script(CLOSE_IN_VAIN, tmp_path / "a.mp4")
    assert ended.returncode == 0, ended.stderr
    assert "free space" in ended.stdout and ended.stderr == ""
    times, _ = read_back(tmp_path / "a.mp4")
    assert times == [Fraction(n, 25) for n in range(len(times))]
    assert len(times) == 50


def test_nothing_is_logged_when_all_is_well(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with VideoWriter(tmp_path / "a.mp4", 96, 64, rate_hint=25) as writer:
        writer.write(moving_images(1)[0], 0.0)
    assert caplog.text == ""


@pytest.mark.parametrize("rate", [120, Fraction(30000, 1001), Fraction(1, 2)])
def test_the_last_frame_lasts_as_long_as_the_others(tmp_path: Path, rate: Fraction) -> None:
    with VideoWriter(tmp_path / "a.mp4", 96, 64, rate_hint=25) as writer:
        for number, image in enumerate(moving_images(12)):
            writer.write(image, float(number / rate))
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert float(container.streams.video[0].average_rate or 0) == pytest.approx(float(rate), rel=0.003)
