"""Where a source ends is known before it is decoded; a prompt for a later frame is refused before a run starts."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
from support.bags import raw_message, ros_bag, stamp_ns
from support.media import moving_images, write_video

import streamseg
from streamseg.errors import PromptError
from streamseg.video.container import Opening
from streamseg.video.extent import Extent, extent_before


def extent(source: Path | str, frame: int | None = None, time_s: float | None = None) -> Extent | None:
    return extent_before(Opening(str(source), None, 5.0, 5.0, 1, {}), frame, time_s, 25.0)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi"])
def test_a_video_ends_after_its_last_frame(tmp_path: Path, name: str) -> None:
    video = write_video(tmp_path / name, moving_images(12))
    assert extent(video, frame=11) is None
    assert extent(video, time_s=0.44) is None
    after = extent(video, frame=12)
    assert after is not None and (after.frames, after.last_s) == (12, pytest.approx(0.44, abs=0.002))
    assert str(after).startswith("has 12 frames, 0 to 11, the last one at 0.44")
    assert extent(video, time_s=2.0) is not None


def test_a_file_whose_header_promises_more_than_it_has_is_believed(tmp_path: Path) -> None:
    """Its packets would have to be counted in every run; the end of the run tells."""
    whole = write_video(tmp_path / "whole.mp4", moving_images(12), container_options={"movflags": "faststart"})
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    assert extent(cut, frame=11) is None


def test_folders_and_pictures_end_with_their_last_one(tmp_path: Path) -> None:
    for number, image in enumerate(moving_images(3)):
        cv2.imwrite(str(tmp_path / f"{number}.png"), image)
    assert extent(tmp_path, frame=2) is None
    assert extent(tmp_path, frame=3) == Extent(3, pytest.approx(0.08))
    assert extent(tmp_path, time_s=0.08) is None
    assert extent(tmp_path, time_s=0.1) is not None
    assert extent(tmp_path / "0.png", frame=1) == Extent(1, 0.0)


@pytest.mark.parametrize("source", ["rtsp://127.0.0.1:9/x", "/dev/video97", "not there.mp4"])
def test_of_what_has_no_end_or_is_not_there_nothing_is_known(source: str) -> None:
    assert extent(source, frame=10**6) is None


@pytest.mark.parametrize(
    ("prompt", "options", "sentence"),
    [
        ({"frame": 12}, {}, "prompt for a new object at frame 12: there is no such frame; .* has 12 frames, 0 to 11"),
        ({"time_s": 9.5}, {}, "at 9.5 s: there is no such frame; .* the last one at 0.44 s"),
        ({"frame": 5}, {"max_frames": 5}, "at frame 5: there is no such frame; .* is read from frame 0 to 4"),
    ],
)
def test_a_prompt_past_the_end_is_refused_at_once(
    tmp_path: Path, prompt: dict[str, float], options: dict[str, int], sentence: str
) -> None:
    video = write_video(tmp_path / "a.mp4", moving_images(12))
    prompts = [{"box": [0, 0, 16, 16]}, {**prompt, "box": [0, 0, 16, 16]}]
    with pytest.raises(PromptError, match=sentence):
        streamseg.segment_video(video, prompts=prompts, **options)  # type: ignore[arg-type]


def test_everything_past_the_end_is_refused_at_once(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", moving_images(4))
    with pytest.raises(PromptError, match="everything at frame 4: there is no such frame"):
        streamseg.segment_video(video, everything={"frame": 4})


def test_a_bag_ends_with_its_last_message(tmp_path: Path) -> None:
    messages = [raw_message(image, stamp_ns(number)) for number, image in enumerate(moving_images(12))]
    bag = ros_bag(tmp_path / "drive", messages, topics=("/left", "/right"))
    opening = Opening(str(bag), None, 5.0, 5.0, 1, {})
    assert extent_before(opening, 11, None, 25.0, "/left") is None
    assert str(extent_before(opening, 12, None, 25.0, "/left")) == "has 12 frames, 0 to 11"
    assert extent_before(opening, None, 100.0, 25.0, "/left") is None
    assert extent_before(opening, 12, None, 25.0) is None, "which topic is said when the run begins"
