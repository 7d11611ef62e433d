"""Objects that a detector found, as propagate has them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

import msgspec
import numpy as np

from streamseg.masks.boxes import expand
from streamseg.masks.label_map import MAX_ID
from streamseg.messages import Detected, Embedded, View, Wanted
from streamseg.prompts.model import FramePrompt, PendingPrompt
from streamseg.tracking import DetectionOptions, TrackerState, TrackingOptions, predict_box
from streamseg.tracking.initialize import new_detections
from streamseg.types import Box


class Admission:
    """Makes objects of detections, and gives up those that stay away.

    Args:
        options: which detections.
        tracking: of the tracker.
    """

    def __init__(self, options: DetectionOptions, tracking: TrackingOptions) -> None:
        self._options = options
        self._tracking = tracking
        self._wanted: dict[str, Wanted] = {}

    def want(self, stream: str, state: TrackerState, due: Sequence[PendingPrompt]) -> Wanted:
        """Which detections of the next frame will become objects, so that embed looks at just these.

        Args:
            stream: of the frame.
            state: after the frame before.
            due: prompts that come into force in the frame.
        """
        options = self._options
        known = [self._place(state, position) for position in range(len(state.tracks))]
        known += [pending.where for pending in due if pending.prompt.points_at]
        room = max(0, options.max_objects - len(known))
        wanted = Wanted(known, options.min_score, options.same_iou, options.inside, room)
        self._wanted[stream] = wanted
        return wanted

    def find(self, message: Embedded, ids: Iterable[int]) -> dict[int, FramePrompt]:
        """The new objects of a frame by the position of their detection; only those that embed looked at.

        Args:
            message: the frame.
            ids: that are free, in the order in which they are to be used (`free_ids`).
        """
        frame = message.frame
        wanted = self._wanted.get(frame.stamp.stream)
        if not isinstance(frame, Detected) or wanted is None:
            return {}
        shown = {view.detection for view in message.views}
        whole = any(view.object_id is None and view.detection is None for view in message.views)
        positions = [position for position in new_in(frame, wanted) if whole or position in shown]
        return {
            position: _prompt(identity, frame, position) for identity, position in zip(ids, positions, strict=False)
        }

    def without_gone(self, state: TrackerState) -> TrackerState:
        """The state without those objects of a detector that stay away."""
        gone = {track.id for track in state.tracks if track.unseen > self._options.forget_after} & {*state.detected}
        if not gone:
            return state
        tracks = [track for track in state.tracks if track.id not in gone]
        left = [identity for identity in state.detected if identity not in gone]
        return msgspec.structs.replace(state, tracks=tracks, detected=left, gone=_with(state.gone, sorted(gone)))

    def finish(self, stream: str) -> None:
        """Forget the stream."""
        self._wanted.pop(stream, None)

    def _place(self, state: TrackerState, position: int) -> Box:
        """Where an object is; where it is searched if it is lost, so that it is not taken for another."""
        track, options = state.tracks[position], self._tracking
        frames = min(track.unseen, options.search_everywhere_after) if track.state == "LOST" else 0
        return expand(predict_box(track, options), options.search_growth * frames)


def free_ids(state: TrackerState, first_id: int, taken: Collection[int]) -> Iterator[int]:
    """Ids for new objects: those that none ever had, then those of objects of a detector that are gone.

    The ids of those that were removed by a prompt are never used again. Of the others each is used again after all
    others: the masks hold no larger numbers, and a camera may run for years.

    Args:
        state: after the frame before.
        first_id: the lowest that none ever had; so are all above it.
        taken: that are not to be used again, because prompts mean them.
    """
    yield from range(first_id, MAX_ID + 1)
    for around in (range(state.last_detected + 1, MAX_ID + 1), range(1, state.last_detected + 1)):
        for first, last in state.gone:
            free = range(max(first, around.start), min(last + 1, around.stop))
            yield from (identity for identity in free if identity not in taken)


def with_new(state: TrackerState, new: Sequence[int]) -> TrackerState:
    """The state after objects of a detector have got these ids."""
    if not new:
        return state
    gone = _without(state.gone, new)
    return msgspec.structs.replace(state, detected=[*state.detected, *new], gone=gone, last_detected=new[-1])


def _with(ranges: Sequence[tuple[int, int]], ids: Sequence[int]) -> list[tuple[int, int]]:
    """Ranges of ids with some more, as few as possible, in order."""
    found: list[tuple[int, int]] = []
    for first, last in sorted([*ranges, *((identity, identity) for identity in ids)]):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


def _without(ranges: Sequence[tuple[int, int]], ids: Sequence[int]) -> list[tuple[int, int]]:
    """Ranges of ids without some."""
    found = list(ranges)
    for identity in ids:
        for place, (first, last) in enumerate(found):
            if first <= identity <= last:
                parts = [(first, identity - 1), (identity + 1, last)]
                found[place : place + 1] = [part for part in parts if part[0] <= part[1]]
                break
    return found


def new_in(frame: Detected, wanted: Wanted) -> list[int]:
    """Positions of those detections of a frame that become objects."""
    return new_detections(
        [found.box_xyxy for found in frame.detections or ()],
        [found.score for found in frame.detections or ()],
        wanted.known,
        min_score=wanted.min_score,
        same_iou=wanted.same_iou,
        inside=wanted.inside,
        room=wanted.room,
    )


def views_of(message: Embedded, new: dict[int, FramePrompt]) -> list[View]:
    """The views of the new objects, as if they had been made for them."""
    return [
        msgspec.structs.replace(view, object_id=new[view.detection].id)
        for view in message.views
        if view.detection is not None and view.detection in new
    ]


def _prompt(identity: int, frame: Detected, position: int) -> FramePrompt:
    found = (frame.detections or [])[position]
    nowhere, unlabeled = np.zeros((0, 2), np.float32), np.zeros(0, np.int32)
    return FramePrompt(
        id=identity,
        label=found.label,
        box=found.box_xyxy,
        points_xy=nowhere,
        point_labels=unlabeled,
        mask=None,
    )
