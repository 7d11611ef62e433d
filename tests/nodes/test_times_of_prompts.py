"""Prompts that say a time: counted from the first frame of the file, and refused where a video has no times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.disks import box_of, picture
from support.media import write_video

import streamseg
from streamseg.errors import PromptError


def test_a_time_is_counted_from_the_first_frame_of_the_file(tmp_path: Path) -> None:
    # FFmpeg lets transport streams begin at 1.4 s.
    video = write_video(tmp_path / "a.ts", [picture(index) for index in range(6)])
    prompts = [{"id": 1, "time_s": 0.12, "box": box_of(3)}]
    results = list(streamseg.segment_video(video, prompts=prompts))
    assert [len(result.objects) for result in results] == [0, 0, 0, 1, 1, 1]
    assert results[3].pts_s == pytest.approx(0.12)


@pytest.mark.parametrize(
    "what",
    [{"prompts": [{"id": 1, "time_s": 0.12, "box": box_of(3)}]}, {"everything": {"time_s": 0.12}}],
    ids=["prompt", "everything"],
)
def test_a_time_in_a_video_without_times_is_refused(tmp_path: Path, what: dict[str, Any]) -> None:
    video = write_video(tmp_path / "a.h264", [picture(index) for index in range(3)])
    with pytest.raises(PromptError, match="this video has no times; say the number of a frame instead"):
        list(streamseg.segment_video(video, **what))
