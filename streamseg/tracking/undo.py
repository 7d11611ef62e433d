"""What prompts did to objects, taken back: the tracker's state keeps what the last few objects were before."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from streamseg.errors import PromptError
from streamseg.prompts.model import ObjectPrompt
from streamseg.tracking.state import Earlier, Track, TrackerState

MOST_KEPT = 5
"""Prompts that can be taken back; what an object is known by takes up to some ten thousand bytes in every state."""


def remember(before: TrackerState, after: TrackerState, ids: Sequence[int]) -> TrackerState:
    """The state after a frame, with what some objects were before it.

    Args:
        before: the state after the frame before.
        after: the state after this one.
        ids: of the objects that prompts came into force for.
    """
    if not ids:
        return after
    tracks = {track.id: track for track in before.tracks}
    new = [Earlier(id=identity, track=tracks.get(identity), frames=before.frames) for identity in ids]
    return msgspec.structs.replace(after, earlier=[*after.earlier, *new][-MOST_KEPT:])


def check_undo(prompt: ObjectPrompt, state: TrackerState) -> None:
    """Whether it is still known what an object was before.

    Raises:
        PromptError: it is not.
    """
    kept = sorted({each.id for each in state.earlier})
    if prompt.id not in kept:
        known = f"that can be done for object {', '.join(map(str, kept))}" if kept else "nothing can be undone yet"
        raise PromptError(
            f"{prompt.name}: what it was before is not known; only the last {MOST_KEPT} prompts of a run are kept, and "
            f"{known}"
        )


def amend(state: TrackerState, prompts: Sequence[tuple[int, ObjectPrompt]]) -> TrackerState:
    """The state after what needs no look at a frame: other names, and prompts that are taken back.

    Args:
        state: after the frame before.
        prompts: each with the id of its object; those that are about something else are left alone.
    """
    for identity, prompt in prompts:
        if prompt.renames:
            state = _rename(state, identity, prompt.label)
        elif prompt.undo:
            state = _undo(state, identity)
    return state


def _rename(state: TrackerState, identity: int, label: str) -> TrackerState:
    before = [Earlier(id=track.id, label=track.label) for track in state.tracks if track.id == identity]
    tracks = _with_label(state.tracks, identity, label)
    return msgspec.structs.replace(state, tracks=tracks, earlier=[*state.earlier, *before][-MOST_KEPT:])


def _with_label(tracks: Sequence[Track], identity: int, label: str) -> list[Track]:
    return [msgspec.structs.replace(each, label=label) if each.id == identity else each for each in tracks]


def _undo(state: TrackerState, identity: int) -> TrackerState:
    earlier = next(each for each in reversed(state.earlier) if each.id == identity)
    left = [each for each in state.earlier if each is not earlier]
    if earlier.label is not None:
        tracks = _with_label(state.tracks, identity, earlier.label)
        return msgspec.structs.replace(state, tracks=tracks, earlier=left)
    tracks = [track for track in state.tracks if track.id != identity]
    if earlier.track is None:
        return msgspec.structs.replace(state, tracks=tracks, earlier=left, removed=[*state.removed, identity])
    # Where it is by now nobody knows: it is looked for, by all that was known of it then.
    again = msgspec.structs.replace(
        earlier.track,
        state="LOST",
        reason="as it was before; it is looked for",
        unseen=earlier.track.unseen + max(1, state.frames - earlier.frames),
        hint=None,
        hidden_by=None,
        met=None,
    )
    removed = [each for each in state.removed if each != identity]
    return msgspec.structs.replace(state, tracks=[*tracks, again], earlier=left, removed=removed)
