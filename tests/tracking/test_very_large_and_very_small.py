"""Objects that come so close that they fill the frame, and objects of a few pixels, are not given up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.media import write_video

import streamseg

HEIGHT, WIDTH = 240, 320


def approaching(index: int, largest: int = 11) -> np.ndarray:
    """A striped disk that grows until it covers nearly all of the frame, and shrinks again."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    step = min(index, 2 * largest - index)
    image = np.full((HEIGHT, WIDTH, 3), (40, 60, 90), np.uint8)
    inside = (x - WIDTH // 2) ** 2 + (y - HEIGHT // 2) ** 2 < (60 + 12 * step) ** 2
    image[inside] = (200, 120, 60)
    image[inside & ((x - WIDTH // 2) // (14 + step) % 2 == 0)] = (220, 150, 90)
    return image


def tiny(index: int, side: int) -> np.ndarray:
    """A square that moves by a pixel a frame: its colors change with where it lies among those of the compression."""
    image = np.full((HEIGHT, WIDTH, 3), 70, np.uint8)
    image[100 + index : 100 + side + index, 50 + index : 50 + side + index] = (250, 240, 60)
    return image


def test_an_object_that_fills_the_frame_is_followed_and_so_is_its_way_back(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", [approaching(index) for index in range(22)])
    found = [result.objects[0] for result in streamseg.segment_video(video, boxes=[(100, 60, 220, 180)])]
    assert max(each.area_px for each in found) > 0.9 * HEIGHT * WIDTH
    assert all(each.state != "LOST" for each in found)
    assert found[-1].area_px < 0.3 * HEIGHT * WIDTH


def test_an_object_larger_than_the_frame_is_all_of_it_and_doubted(tmp_path: Path) -> None:
    """Its outline is nowhere to be seen for 14 frames, and the model's masks are noise."""
    video = write_video(tmp_path / "a.mp4", [approaching(index, 19) for index in range(36)])
    found = [result.objects[0] for result in streamseg.segment_video(video, boxes=[(100, 60, 220, 180)])]
    assert all(each.state != "LOST" for each in found)
    within = found[13:26]
    assert {each.state for each in within} == {"UNCERTAIN"}
    assert {each.area_px for each in within} == {HEIGHT * WIDTH}
    assert found[-1].area_px < 0.4 * HEIGHT * WIDTH


def test_an_object_that_leaves_while_it_fills_the_frame_is_lost(tmp_path: Path) -> None:
    empty = np.full((HEIGHT, WIDTH, 3), (40, 60, 90), np.uint8)
    video = write_video(tmp_path / "a.mp4", [*(approaching(index, 19) for index in range(16)), *[empty] * 4])
    states = [result.objects[0].state for result in streamseg.segment_video(video, boxes=[(100, 60, 220, 180)])]
    assert "LOST" not in states[:16]
    assert set(states[16:]) == {"LOST"}


@pytest.mark.parametrize("side", [4, 6, 8])
def test_an_object_of_a_few_pixels_is_not_lost_from_frame_to_frame(tmp_path: Path, side: int) -> None:
    video = write_video(tmp_path / "a.mp4", [tiny(index, side) for index in range(16)])
    box = (50, 100, 50 + side, 100 + side)
    found = [result.objects[0] for result in streamseg.segment_video(video, boxes=[box])]
    assert all(each.state != "LOST" for each in found), [each.state for each in found]
    for index, each in enumerate(found):
        assert each.box_xyxy is not None
        assert np.abs(np.array(each.box_xyxy) - (np.array(box) + index)).max() <= 3
