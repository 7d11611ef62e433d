"""Rectangles drawn in a video, followed through it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streamseg.errors import PromptError
from streamseg.formats.annotation.label_studio import ROW, keyframes, video_rectangle
from streamseg.label_studio.regions import Track
from streamseg.runtime.library.segment_video import segment_video
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


@dataclass(frozen=True)
class _Stretch:
    """What of a track is followed now: from a keyframe on, so many frames. What was drawn before stays as it is."""

    number: int
    track: Track
    boxes: dict[int, Box]
    """Frame of the video -> x0, y0, x1, y1 in pixels."""
    start: int
    end: int
    """The first frame that is not followed."""


def follow(
    path: Path, tracks: Sequence[Track], frame_rate: float, most_frames: int, tags: tuple[str, str], options: Any
) -> tuple[list[dict[str, Any]], float]:
    """Follow what was drawn; each later keyframe corrects it.

    A track is followed from its first keyframe on. One where that ended, or later, lets it go on from there: what is
    before it is given back as it came.

    Args:
        path: of the video.
        tracks: what was drawn.
        frame_rate: that Label Studio counts frames by.
        most_frames: of a track to follow; where they end, its rectangle is off.
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
    size = (info.height, info.width)
    stretches = [
        _last_stretch(number, track, timing, size, most_frames, info.frames) for number, track in enumerate(tracks, 1)
    ]
    found: dict[int, dict[int, Box]] = {each.number: dict(each.boxes) for each in stretches}
    scores: list[float] = []
    seen = 0
    for group in _together(stretches):
        ends = {each.number: each.end for each in group}
        start = group[0].start
        given = {"start": start, "max_frames": max(ends.values()) - start, **options}
        for result in segment_video(path, prompts=[prompt for each in group for prompt in _prompts(each)], **given):
            seen = max(seen, result.index + 1)
            for thing in result.objects:
                if thing.box_xyxy is not None and result.index < ends[thing.id]:
                    found[thing.id][result.index] = thing.box_xyxy
                    scores.append(thing.score)
    regions = []
    for each in stretches:
        track = each.track
        length = _length(track, timing, info.frames and max(info.frames, seen))
        rows = _rows(found[each.number], timing, length)
        sequence = _with_what_is_kept(each, timing, keyframes(rows, size, length, frame_rate))
        regions.append(video_rectangle(track.name, track.label, sequence, size, length, frame_rate, tags))
    return regions, float(np.mean(scores)) if scores else 0.0


def _last_stretch(
    number: int, track: Track, timing: Timing, size: tuple[int, int], most_frames: int, frames: int | None
) -> _Stretch:
    """Keyframes that one answer reaches belong together; the next one begins another stretch, and the last is taken.

    It begins with the last frame of the one before, since there the rectangle was switched off: a keyframe in that
    frame switches it on again. Not in the last frame of the video, behind which there is nothing.
    """
    boxes = {timing.of_video(at): _pixels(_inside(box), *size) for at, box in sorted(track.boxes.items())}
    start = min(boxes)
    for frame in sorted(boxes):
        last = start + most_frames - 1
        if frame > last or (frame == last and frame > start and (frames is None or frame < frames - 1)):
            start = frame
    return _Stretch(number, track, {at: boxes[at] for at in boxes if at >= start}, start, start + most_frames)


def _together(stretches: Sequence[_Stretch]) -> list[list[_Stretch]]:
    """Those that overlap are followed in one go."""
    groups: list[list[_Stretch]] = []
    for each in sorted(stretches, key=lambda each: each.start):
        if groups and each.start < max(other.end for other in groups[-1]):
            groups[-1].append(each)
        else:
            groups.append([each])
    return groups


def _prompts(stretch: _Stretch) -> list[dict[str, Any]]:
    return [
        {"id": stretch.number, "label": stretch.track.label, "frame": frame, "box": list(box)}
        for frame, box in stretch.boxes.items()
    ]


def _length(track: Track, timing: Timing, frames: int | None) -> int:
    """Of the track, in frames of Label Studio: what it says, but no more than the video has, if that is known."""
    drawn = max(track.boxes) + 1
    if frames is None:
        return max(track.frames_count, drawn)
    of_video = math.ceil(frames * timing.frame_rate / timing.fps)
    return max(min(track.frames_count or of_video, of_video), drawn)


def _rows(boxes: Mapping[int, Box], timing: Timing, length: int) -> np.ndarray:
    """What Label Studio shows at each of its frames for which there is a box."""
    rate = timing.frame_rate / timing.fps
    first, last = math.floor((min(boxes) - 1) * rate), math.ceil((max(boxes) + 1) * rate)
    shown = [(frame, boxes.get(timing.of_video(frame))) for frame in range(max(first, 0), min(last + 1, length))]
    return np.array([(frame, box) for frame, box in shown if box is not None], ROW)


def _with_what_is_kept(stretch: _Stretch, timing: Timing, sequence: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The new keyframes, and those before and behind what was followed as they came."""
    before, behind = [], []
    for key in sorted(stretch.track.keys, key=lambda key: key["frame"]):
        at = timing.of_video(int(key["frame"]) - 1)
        if at < stretch.start:
            before.append(dict(key))
        elif at >= stretch.end:
            behind.append(dict(key))
    return [*before, *sequence, *behind]


def _inside(box: Box) -> Box:
    x0, y0, x1, y1 = (min(max(edge, 0.0), 1.0) for edge in box)
    if x0 >= x1 or y0 >= y1:
        raise PromptError("expected a rectangle in the frame, got one outside of it; draw it anew")
    return x0, y0, x1, y1


def _pixels(box: Box, height: int, width: int) -> Box:
    x0, y0, x1, y1 = box
    return x0 * width, y0 * height, x1 * width, y1 * height
