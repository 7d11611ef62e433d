"""Rectangles drawn in a video, followed through it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streamseg.errors import PromptError
from streamseg.formats.label_studio import ROW, keyframes, video_rectangle
from streamseg.label_studio.regions import Track
from streamseg.runtime.session import segment_video
from streamseg.types import Box
from streamseg.video.open import open_source


@dataclass(frozen=True)
class Timing:
    """Frames of a video as streamseg counts them, and as Label Studio does, by the rate that the interface names."""

    fps: float
    frame_rate: float

    def of_video(self, frame: int) -> int:
        """The video's frame that is shown at a frame of Label Studio; both count from 0."""
        return round(frame * self.fps / self.frame_rate)


def follow(
    path: Path, tracks: Sequence[Track], frame_rate: float, most_frames: int, tags: tuple[str, str], options: Any
) -> tuple[list[dict[str, Any]], float]:
    """Follow what was drawn from its first keyframe on; each later one corrects it.

    Args:
        path: of the video.
        tracks: what was drawn.
        frame_rate: that Label Studio counts frames by.
        most_frames: to follow; where they end, the rectangles are off.
        tags: names of the rectangle and of the video in the labeling interface.
        options: of the nodes, as for `streamseg.segment_video`.

    Returns:
        The regions, and the mean score of what was found.

    Raises:
        PromptError: a box is not in the frame, or its frame not in the video.
        StreamsegError: the video cannot be read, or the run failed.
    """
    reader = open_source(str(path))
    try:
        info = reader.info
    finally:
        reader.close()
    timing = Timing(info.fps or frame_rate, frame_rate)
    boxes = [{timing.of_video(at): _inside(box) for at, box in track.boxes.items()} for track in tracks]
    first = min(min(each) for each in boxes)
    prompts = [
        {"id": number, "label": track.label, "frame": frame, "box": _pixels(box, info.width, info.height)}
        for number, (track, each) in enumerate(zip(tracks, boxes, strict=True), 1)
        for frame, box in sorted(each.items())
        if frame < first + most_frames
    ]
    found: dict[int, dict[int, Box]] = {number: {} for number in range(1, len(tracks) + 1)}
    scores: list[float] = []
    seen = 0
    given = {"start": first, "max_frames": most_frames, **options}
    for result in segment_video(path, prompts=prompts, **given):
        seen = result.index + 1
        for each in result.objects:
            if each.box_xyxy is not None:
                found[each.id][result.index] = each.box_xyxy
                scores.append(each.score)
    size = (info.height, info.width)
    regions = []
    for number, track in enumerate(tracks, 1):
        length = track.frames_count or round(max(seen, info.frames or 0) * frame_rate / timing.fps)
        rows = _rows(found[number], timing, length)
        if len(rows):
            sequence = keyframes(rows, size, length, frame_rate)
            regions.append(video_rectangle(track.name, track.label, sequence, size, length, frame_rate, tags))
    return regions, float(np.mean(scores)) if scores else 0.0


def _rows(boxes: Mapping[int, Box], timing: Timing, length: int) -> np.ndarray:
    """What Label Studio shows at each of its frames."""
    shown = [(frame, boxes.get(timing.of_video(frame))) for frame in range(length)]
    return np.array([(frame, box) for frame, box in shown if box is not None], ROW)


def _inside(box: Box) -> Box:
    x0, y0, x1, y1 = (min(max(edge, 0.0), 1.0) for edge in box)
    if x0 >= x1 or y0 >= y1:
        raise PromptError("expected a rectangle in the frame, got one outside of it; draw it anew")
    return x0, y0, x1, y1


def _pixels(box: Box, width: int, height: int) -> list[float]:
    x0, y0, x1, y1 = box
    return [x0 * width, y0 * height, x1 * width, y1 * height]
