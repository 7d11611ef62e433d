"""How honestly objects are followed on the made clips: lost, found again, taken for another.

An object counts as there while at least half of it is visible, as gone below a twentieth; in between nothing is
asked of its state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
import numpy as np

from streamseg.evaluation.clip_kinds import crowd, make_clip
from streamseg.evaluation.clips import Clip, Truth
from streamseg.evaluation.metrics import region_similarity
from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.masks.boxes import box_of_mask
from streamseg.messages import Frame, Message, Segmented, Stamp
from streamseg.node import Captured, NodeConfig, Source
from streamseg.runtime.inline import InlineRun

THERE, GONE = 0.5, 0.05
"""Visible shares from which on an object is there, and below which it is gone."""
_ON_IT = 0.5
"""IoU from which on a mask is on its object; share of a mask on another object from which on it has gone over."""
_TIME_TO_RETURN = 10
"""Frames in which an object that is there again has to be found."""


class MadeClip(Source[Frame]):
    """A made clip as a source."""

    class Config(NodeConfig, frozen=True):
        """Which."""

        clip: str
        """Name, or a number: a crowd of so many."""
        seed: int = 0

    def produce(self) -> Iterator[Captured[Frame]]:
        """Its frames."""
        clip = clip_of(self.config.clip, self.config.seed)
        for index in range(clip.frames):
            yield Captured(index, index, (1, 25), 0, _framed(clip, index))


def _framed(clip: Clip, index: int) -> Callable[[Stamp], Frame]:
    return lambda stamp: Frame(stamp, clip.picture(index))


class Measures(msgspec.Struct, kw_only=True):
    """Counts over objects and frames; they may be added up."""

    iou_sum: float = 0.0
    visible_frames: int = 0
    lost_right: int = 0
    """Gone and LOST."""
    lost_wrong: int = 0
    """There but LOST."""
    gone_missed: int = 0
    """Gone but with a mask."""
    returns: int = 0
    returns_found: int = 0
    """Of those, found within ten frames, under the right id."""
    swaps: int = 0
    """How often a mask went over to another object."""
    swapped_frames: int = 0
    after_cut: int = 0
    """Frames after a cut, of objects that are gone."""
    after_cut_masks: int = 0
    """Of those, how many have a mask."""

    def __add__(self, other: Measures) -> Measures:
        return Measures(**{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__})

    @property
    def iou(self) -> float:
        """Mean IoU while an object is visible."""
        return self.iou_sum / max(1, self.visible_frames)

    @property
    def lost_precision(self) -> float | None:
        """Share of LOST that is right; None if nothing was LOST."""
        return _share(self.lost_right, self.lost_right + self.lost_wrong)

    @property
    def lost_recall(self) -> float | None:
        """Share of the frames without the object that are LOST; None if there are none."""
        return _share(self.lost_right, self.lost_right + self.gone_missed)

    @property
    def found_again(self) -> float | None:
        """Share of the returns that were noticed; None if there are none."""
        return _share(self.returns_found, self.returns)


class FollowedClip(msgspec.Struct):
    """What came of one clip."""

    measures: Measures
    stage_ms: dict[str, float]
    """Median time of a frame in each stage."""
    history: dict[int, str]
    """By id, a letter a frame: T, U, L, R as the states, t, u, l, r where that is wrong."""


def clip_of(name: str, seed: int) -> Clip:
    """A clip by its name; a number is a crowd of so many."""
    return crowd(int(name), seed) if name.isdigit() else make_clip(name, seed)


def follow_clip(name: str, seed: int, *, embed: dict[str, Any], propagate: dict[str, Any]) -> FollowedClip:
    """Follow all objects of a clip from their boxes in frame 0, in this process.

    Args:
        name: of the clip.
        seed: of the clip.
        embed: options of the embed node.
        propagate: options of the propagate node, without prompts.
    """
    clip = clip_of(name, seed)
    first = clip.truth(0)
    prompts = [{"id": i, "box": list(box_of_mask(first.mask(i)) or ())} for i in clip.ids]
    objects = {i: Watched(i, clip.cuts) for i in clip.ids}

    def take(message: Message) -> None:
        truth = clip.truth(message.stamp.index)
        if isinstance(message, Segmented):
            for position, found in enumerate(message.objects):
                objects[found.id].take(message.stamp.index, truth, message.mask(position), found.state)

    times = _run(name, seed, embed, {**propagate, "prompts": prompts}, take)
    return _followed(objects, times)


def follow_everything(name: str, seed: int, *, embed: dict[str, Any], propagate: dict[str, Any]) -> FollowedClip:
    """Find all objects of a clip in frame 0 without a prompt, and follow those.

    What overlaps an object by an IoU of 0.5 is that object; the others are followed too, but not measured.

    Args:
        name: of the clip.
        seed: of the clip.
        embed: options of the embed node.
        propagate: options of the propagate node, without prompts.
    """
    clip = clip_of(name, seed)
    objects: dict[int, Watched] = {}

    def take(message: Message) -> None:
        if not isinstance(message, Segmented):
            return
        truth = clip.truth(message.stamp.index)
        if message.stamp.index == 0:
            for position, found in enumerate(message.objects):
                ious = {i: region_similarity(truth.mask(i), message.mask(position)) for i in clip.ids}
                best = max(ious, key=lambda i: ious[i])
                if ious[best] >= _ON_IT:
                    objects[found.id] = Watched(best, clip.cuts)
        for position, found in enumerate(message.objects):
            if found.id in objects:
                objects[found.id].take(message.stamp.index, truth, message.mask(position), found.state)

    times = _run(name, seed, embed, {**propagate, "everything": {}}, take)
    return _followed(objects, times)


def _run(
    name: str, seed: int, embed: dict[str, Any], propagate: dict[str, Any], take: Callable[[Message], None]
) -> dict[str, float]:
    """Follow a clip in this process. Returns the median time of a frame in each stage, in milliseconds."""
    graph = config.parse(
        {
            "nodes": {
                "clip": {
                    "use": "streamseg.evaluation.following:MadeClip",
                    "options": {"clip": name, "seed": seed},
                },
                "embed": {"options": embed},
                "propagate": {"options": propagate},
                "cleanup": {},
            },
            "links": ["clip -> embed -> propagate -> cleanup"],
            "feedback": ["propagate -> embed"],
        }
    )
    run = InlineRun(Plan(graph, results_from="cleanup"), take)
    run.run()
    return {stage: run.stats[stage].process_ms["p50"] for stage in ("embed", "propagate", "cleanup")}


def _followed(objects: dict[int, Watched], times: dict[str, float]) -> FollowedClip:
    measures = sum((each.measured() for each in objects.values()), Measures())
    return FollowedClip(measures, times, {i: each.history for i, each in objects.items()})


class Watched:
    """One object over a clip."""

    def __init__(self, object_id: int, cuts: Iterable[int]) -> None:
        self._id = object_id
        self._first_cut = min(cuts, default=None)
        self._measures = Measures()
        self._visible: list[float] = []
        self._on_it: list[bool] = []
        self._swapped = False
        self.history = ""

    def take(self, index: int, truth: Truth, mask: np.ndarray, state: str) -> None:
        """One frame."""
        visible = truth.visible[self._id]
        iou = region_similarity(truth.mask(self._id), mask)
        self._visible.append(visible)
        self._on_it.append(state != "LOST" and iou >= _ON_IT)
        if index == 0:
            return
        measures, lost = self._measures, state == "LOST"
        if visible >= GONE:
            measures.iou_sum += iou
            measures.visible_frames += 1
        if visible >= THERE:
            measures.lost_wrong += lost
        elif visible < GONE:
            measures.lost_right += lost
            measures.gone_missed += not lost
            if self._first_cut is not None and index >= self._first_cut:
                measures.after_cut += 1
                measures.after_cut_masks += bool(mask.any())
        swapped = _on_another(truth.ids, mask, self._id)
        measures.swaps += swapped and not self._swapped
        measures.swapped_frames += swapped
        self._swapped = swapped
        wrong = swapped or (lost and visible >= THERE) or (not lost and (visible < GONE or iou < 0.3))
        self.history += state[0].lower() if wrong else state[0]

    def measured(self) -> Measures:
        """All of it, the returns included."""
        measures, gone = msgspec.structs.replace(self._measures), False
        for index, visible in enumerate(self._visible):
            if visible < GONE:
                gone = True
            elif visible >= THERE and gone:
                gone = False
                time = range(index, min(index + _TIME_TO_RETURN, len(self._visible)))
                if len(time) == _TIME_TO_RETURN:
                    measures.returns += 1
                    measures.returns_found += any(self._on_it[i] for i in time)
        return measures


def _on_another(ids: np.ndarray, mask: np.ndarray, object_id: int) -> bool:
    """Whether more of the mask lies on one other object than half of it."""
    under = ids[mask]
    others = under[(under != 0) & (under != object_id)]
    return bool(len(others)) and int(np.bincount(others).max()) > _ON_IT * len(under)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
