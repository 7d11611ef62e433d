"""First of three steps: which regions of the next frame to encode, and which prompts come into force there."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from streamseg.errors import PromptError
from streamseg.masks.boxes import center_size, expand, from_center_size
from streamseg.prompts.model import PendingPrompt
from streamseg.prompts.rules import check_sequel
from streamseg.tracking.options import TrackingOptions
from streamseg.tracking.predict import box_around_clicks, predict_box, usual_size
from streamseg.tracking.query import EncodedView
from streamseg.tracking.redetection import in_turn
from streamseg.tracking.state import Track, TrackerState
from streamseg.tracking.undo import check_undo
from streamseg.types import Box, Region

CLICK_SCALES = (1.0, 0.5, 0.25)
"""A click does not say how large the object is: look at the whole frame, and at squares of these parts of its side."""
_SOON_S = 1.0
"""Prompts by time, so long after the next of them, are looked for too: no two frames should be further apart."""


def next_regions(
    state: TrackerState,
    planned: Sequence[PendingPrompt],
    next_index: int,
    options: TrackingOptions,
    given: Sequence[PendingPrompt] = (),
) -> list[Region]:
    """Where to look in the next frame.

    Args:
        state: after this frame; the empty one before the first.
        planned: all prompts of the stream, in order of frame or time.
        next_index: position of the next frame in its stream.
        options: of the tracker.
        given: prompts beyond those, given while the stream is running, that may come into force at the next frame.
    """
    tracks = {track.id: track for track in state.tracks}
    found = _regions_of_tracks(state, options)
    # Of several for one object the first comes into force, the others wait.
    for pending in reversed(due(state, planned, next_index, None)):
        if not pending.prompt.remove:
            found[pending.id] = _region_of_prompt(pending, tracks.get(pending.id), options)
    # Beside the objects' own regions: these prompts may not come into force after all.
    maybe = [*_soon(state, planned), *(pending for pending in given if pending.prompt.points_at)]
    return [*found.values(), *(_region_of_prompt(pending, tracks.get(pending.id), options) for pending in maybe)]


def regions_ahead(state: TrackerState, options: TrackingOptions) -> list[Region]:
    """Where to look in the frame after the next one, for the objects that are there, should all go on as it does.

    Args:
        state: after this frame.
        options: of the tracker.
    """
    if not options.ahead:
        return []
    there = [track for track in state.tracks if track.state != "LOST"]
    return [Region(predict_box(track, options, frames=2), track.id) for track in there]


def _regions_of_tracks(state: TrackerState, options: TrackingOptions) -> dict[int, Region]:
    turn = in_turn(state.tracks, state.frames, options)
    looked_at = [track for track in state.tracks if track.state != "LOST" or track.id in turn or not options.gates]
    found = {track.id: _region_of_track(track, options) for track in looked_at}
    searched = [track for track in looked_at if found[track.id].scales]
    # A view of the whole frame is dear: while other objects are followed, it is taken now and then, for all at once.
    if len(searched) < len(found) and state.frames % options.search_every:
        found |= {track.id: _region_near(track, options) for track in searched}
        for track in searched:
            if track.displaced:
                del found[track.id]
    return found


def due(state: TrackerState, planned: Sequence[PendingPrompt], index: int, pts_s: float | None) -> list[PendingPrompt]:
    """Prompts that come into force at a frame, or should have earlier but were missed.

    Args:
        state: after the frame before.
        planned: all prompts of the stream, in order of frame or time.
        index: of the frame in its stream.
        pts_s: its presentation time; None if it has none, or it is not known yet.
    """
    return list(itertools.takewhile(lambda pending: pending.due(index, pts_s), planned[state.prompts_done :]))


def _soon(state: TrackerState, planned: Sequence[PendingPrompt]) -> list[PendingPrompt]:
    """Of the prompts that say a time, the next, and those shortly after it: the next frame's time is not known."""
    timed = [p for p in planned[state.prompts_done :] if p.prompt.time_s is not None and not p.prompt.remove]
    return [p for p in timed if (p.prompt.time_s or 0) <= (timed[0].prompt.time_s or 0) + _SOON_S]


def usable_prompts(due_now: Sequence[PendingPrompt], views: Sequence[EncodedView]) -> list[PendingPrompt]:
    """Those of the prompts that can be used now, in order, up to the first for whose place there is no view.

    When a live source jumps over frames, a prompt may come into force before anybody was told to look there. And of
    two prompts for one object the second waits for the next frame.
    """
    usable: list[PendingPrompt] = []
    for pending in due_now:
        if not has_view(pending, views) or any(pending.id == earlier.id for earlier in usable):
            break
        usable.append(pending)
    return usable


def has_view(pending: PendingPrompt, views: Sequence[EncodedView]) -> bool:
    """Whether there is a view of the place that a prompt is about."""
    prompt = pending.prompt
    nowhere = not (prompt.points_at or prompt.everything)
    return nowhere or any(view.object_id in (pending.id, None) for view in views)


def check_possible(pending: PendingPrompt, state: TrackerState) -> None:
    """Whether a prompt fits what has become of the objects.

    Raises:
        PromptError: it is about an object that was removed, is not there, or is lost, and so cannot be corrected.
    """
    prompt = pending.prompt
    if prompt.undo:
        check_undo(prompt, state)
    check_sequel(prompt, {track.id: track.label for track in state.tracks}, state.former_ids)
    lost = next((track for track in state.tracks if track.id == pending.id and not track.has_mask), None)
    if lost is not None and prompt.only_clicks and not prompt.points:
        raise PromptError(
            f"{prompt.name} has clicks on what is not the object only, and the object is {lost.state}, so it has no "
            f"mask to correct; give a click on it, a box, or a mask"
        )


def _region_of_prompt(pending: PendingPrompt, track: Track | None, options: TrackingOptions) -> Region:
    from_s = pending.prompt.time_s
    if not pending.prompt.only_clicks:
        return Region(pending.where, pending.id, (), from_s)
    if track is None or not track.has_mask:
        return Region(pending.where, pending.id, CLICK_SCALES, from_s)
    clicks = [*pending.prompt.points, *pending.prompt.negative]
    return Region(box_around_clicks(track, clicks, options), pending.id, (), from_s)


def _region_of_track(track: Track, options: TrackingOptions) -> Region:
    box = predict_box(track, options)
    if track.state != "LOST" or not options.gates:
        return Region(_foreseen(track, box, options), track.id)
    if track.hint is not None:
        x, y, width, height = center_size(track.hint)
        usual_width, usual_height = usual_size(track)
        # It may be seen in part only; all of it is to be in the picture.
        return Region(from_center_size(x, y, max(width, usual_width), max(height, usual_height)), track.id)
    if track.displaced or track.unseen > options.search_everywhere_after:
        return Region(box, track.id, (1.0,))
    return _region_near(track, options)


def _foreseen(track: Track, expected: Box, options: TrackingOptions) -> Box:
    """The box that was foreseen a frame ago if it will do in place of the expected one: a view shows more than that."""
    if track.foreseen is None:
        return expected
    x, y, width, height = center_size(expected)
    its_x, its_y, its_width, its_height = center_size(track.foreseen)
    longer = max(width, height)
    off = max(abs(its_x - x), abs(its_y - y)) + abs(max(its_width, its_height) - longer) / 2
    return track.foreseen if off <= options.ahead * longer else expected


def _region_near(track: Track, options: TrackingOptions) -> Region:
    """Where it was lost, or should be by now, and ever further round."""
    growth = options.search_growth * min(track.unseen, options.search_everywhere_after)
    return Region(expand(predict_box(track, options), growth), track.id)
