"""Which prompts can be meant: each by itself, several of them together, and a later one after what went before."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from streamseg.errors import PromptError, nearest
from streamseg.masks.boxes import validate_box, validate_points
from streamseg.masks.label_map import MAX_ID
from streamseg.prompts.model import ObjectPrompt

NO_WORDS = (
    "Segment Anything takes boxes, clicks and masks, no words; let a detector that knows words find the thing "
    "(run --text WORDS, or one of your own, samples/detect), or give its box as the prompt (--box)"
)

_SAME_PLACE_PX = 1.0
_LONGEST_LABEL = 500
"""A label is in every line and every message about its object."""


def free_id(taken: Collection[int]) -> int:
    """The lowest id from 1 that is not taken; one above `MAX_ID` if all are."""
    return next(identity for identity in range(1, MAX_ID + 2) if identity not in taken)


def check_alone(prompt: ObjectPrompt, streams: Sequence[str]) -> None:
    """All that can be said of one prompt without its frame and without the others.

    Args:
        prompt: has an id.
        streams: names of the streams there are; not checked if empty.

    Raises:
        PromptError: words, no such stream, nothing in it, numbers that cannot be meant, parts that contradict.
    """
    origin = f"{prompt.origin}: " if prompt.origin else ""
    if prompt.text is not None:
        raise PromptError(f"{origin}text prompt {prompt.text!r}: {NO_WORDS}")
    if prompt.remove and prompt.id is None:
        raise PromptError(f"{origin}remove without an id; say which object is to be removed")
    if prompt.everything:
        _check_everything(prompt)
    elif not 1 <= (prompt.id or 0) <= MAX_ID:
        raise PromptError(
            f"{origin}object id {prompt.id}: expected a number from 1 to {MAX_ID}, as the mask files hold them"
        )
    if len(prompt.label) > _LONGEST_LABEL:
        raise PromptError(
            f"{prompt.name}: expected a label of at most {_LONGEST_LABEL} characters, got {len(prompt.label)}"
        )
    _check_when(prompt)
    if streams and prompt.stream is not None and prompt.stream not in streams:
        raise PromptError(f"{prompt.name}: there is no such stream; {nearest(prompt.stream, streams)}")
    if (prompt.remove or prompt.undo) and prompt.points_at:
        raise PromptError(
            f"{prompt.name} points at it too; remove it, or say where it is, and use another id for another object"
        )
    if prompt.remove and prompt.undo:
        raise PromptError(f"{prompt.name} is undone too; do one of the two")
    if not (prompt.points_at or prompt.remove or prompt.undo or prompt.everything or prompt.renames):
        raise PromptError(f"{prompt.name} has nothing; give a box, a click on the object, or a mask")
    if prompt.choice is not None and not (prompt.only_clicks and prompt.points):
        raise PromptError(
            f"{prompt.name} has a choice ({prompt.choice}) without being a click: a choice is between the things that "
            f"clicks alone may mean ('streamseg choose' shows them); leave it out"
        )
    try:
        _check_numbers(prompt)
    except PromptError as error:
        raise PromptError(f"{prompt.name}: {error}") from error


def check_planned(prompt: ObjectPrompt) -> None:
    """Refuse what can be said only while a run is under way.

    Raises:
        PromptError: it is such a thing.
    """
    if prompt.undo or prompt.everything:
        what = "undo" if prompt.undo else "everything"
        raise PromptError(f"{prompt.name}: {what} is for a run that is under way ('streamseg prompt'); leave it out")
    if prompt.seen is not None:
        raise PromptError(f"{prompt.name}: seen is for a run that is under way; say frame or time_s here")
    if prompt.renames:
        raise PromptError(f"{prompt.name} has nothing; give a box, a click on the object, or a mask")


def check_mask(prompt: ObjectPrompt, mask: np.ndarray | None) -> None:
    """Whether the clicks of a prompt agree with its (H, W) bool mask.

    Raises:
        PromptError: they do not.
    """
    if mask is None:
        return
    height, width = mask.shape
    for points, wanted in ((prompt.points, True), (prompt.negative, False)):
        for x, y in points:
            inside = 0 <= x < width and 0 <= y < height and bool(mask[int(y), int(x)])
            if inside != wanted:
                place = "off" if wanted else "on"
                kind = "a click on the object" if wanted else "a click on what is not the object"
                raise PromptError(f"{prompt.name}: {kind}, ({x:g}, {y:g}), is {place} its mask; mend one of the two")


def check_together(prompts: Sequence[ObjectPrompt], streams: Sequence[str]) -> None:
    """Whether prompts, in order of frame or time, go together.

    Args:
        prompts: have ids.
        streams: names of the streams there are; if empty, those that the prompts name.

    Raises:
        PromptError: frames and times mixed, two prompts for one object at once, two labels, a removal or a
            correction of an object that is not there.
    """
    named = sorted({prompt.stream for prompt in prompts if prompt.stream is not None})
    for stream in streams or named or ("",):
        _check_stream([prompt for prompt in prompts if prompt.stream in (None, stream)])


def _check_stream(prompts: Sequence[ObjectPrompt]) -> None:
    known: dict[int, str] = {}
    removed: set[int] = set()
    last: dict[int, float] = {}
    by_time = next((prompt for prompt in prompts if prompt.time_s), None)
    by_frame = next((prompt for prompt in prompts if prompt.frame), None)
    if by_time is not None and by_frame is not None:
        raise PromptError(
            f"{by_time.name} and {by_frame.name}: prompts of one stream say their place all by frame or all by "
            f"time_s, since which of the two comes first is not known beforehand"
        )
    for prompt in prompts:
        identity, when = prompt.id or 0, prompt.time_s or prompt.frame or 0
        if last.get(identity) == when:
            raise PromptError(
                f"{prompt.name}: two prompts for object {identity}{prompt.when}; put box, clicks and mask of one "
                f"object into one prompt, or give the second another id"
            )
        last[identity] = when
        check_sequel(prompt, known, removed)
        if prompt.remove:
            removed.add(identity)
            known.pop(identity)
        else:
            known[identity] = known.get(identity, "") or prompt.label


def check_sequel(prompt: ObjectPrompt, known: Mapping[int, str], removed: Collection[int]) -> None:
    """Whether a prompt makes sense after what went before.

    Args:
        prompt: has an id.
        known: id -> label of the objects there are.
        removed: ids of those that were removed.

    Raises:
        PromptError: names what is possible.
    """
    ids = ", ".join(map(str, sorted(known)))
    there = f"known is object {ids}" if len(known) == 1 else f"known are objects {ids}" if known else "there are none"
    if prompt.undo or prompt.everything:
        return
    if prompt.id in removed:
        raise PromptError(
            f"{prompt.name}: object {prompt.id} was removed, and ids are never used again; {there}; "
            f"a new object can have id {free_id({*known, *removed})}"
        )
    label = known.get(prompt.id or 0)
    if label is None and prompt.renames:
        raise PromptError(
            f"{prompt.name} has nothing but a label, and there is no such object to be called that; give a box, a "
            f"click on the object, or a mask; {there}"
        )
    if label is None and prompt.remove:
        raise PromptError(f"{prompt.name}: there is no such object to remove; {there}")
    if label is None and prompt.only_clicks and not prompt.points:
        raise PromptError(
            f"{prompt.name} has clicks on what is not the object only, and there is no such object to correct; "
            f"give a box, a click on the object, or a mask; {there}"
        )
    if label is not None and prompt.choice is not None:
        raise PromptError(
            f"{prompt.name} has a choice ({prompt.choice}), but the object is known, so clicks correct its mask; leave "
            f"the choice out, or point at a new object"
        )
    if label and prompt.label and prompt.label != label and not prompt.renames:
        raise PromptError(
            f"{prompt.name}: it is called {label!r} before and {prompt.label!r} here; use one label, or another id"
        )


def _check_everything(prompt: ObjectPrompt) -> None:
    if prompt.id is not None or prompt.points_at or prompt.remove or prompt.undo or prompt.label:
        raise PromptError(f"{prompt.name} says something of one object too; leave that out, or leave everything out")


def _check_when(prompt: ObjectPrompt) -> None:
    if prompt.frame is not None and prompt.time_s is not None:
        raise PromptError(f"{prompt.name} has a frame ({prompt.frame}) and a time; give one of the two")
    if prompt.frame is not None and prompt.frame < 0:
        raise PromptError(f"{prompt.name}: frames count from 0")
    if prompt.time_s is not None and not (math.isfinite(prompt.time_s) and prompt.time_s >= 0):
        raise PromptError(f"{prompt.name}: expected a time in seconds, 0 or more")


def _check_numbers(prompt: ObjectPrompt) -> None:
    """Bounds need the frame; in a frame of boundless size all else is checked."""
    boundless = 1 << 31
    if prompt.box is not None and all(0 <= edge <= 1 for edge in prompt.box) and any(edge % 1 for edge in prompt.box):
        box = ", ".join(f"{edge:g}" for edge in prompt.box)
        raise PromptError(
            f"box ({box}) looks like parts of the frame's width and height: expected pixels of the frame; "
            f"multiply x by its width and y by its height"
        )
    if prompt.box is not None:
        validate_box(_beyond_origin(prompt.box), boundless, boundless)
    for point in [*prompt.points, *prompt.negative]:
        validate_points([_beyond_origin(point)], [1], boundless, boundless)
    for x, y in prompt.points:
        if prompt.box is not None and not (prompt.box[0] <= x <= prompt.box[2] and prompt.box[1] <= y <= prompt.box[3]):
            box = ", ".join(f"{edge:g}" for edge in prompt.box)
            raise PromptError(f"the click on the object ({x:g}, {y:g}) lies outside its box ({box}); mend one of them")
        for other_x, other_y in prompt.negative:
            if math.hypot(x - other_x, y - other_y) < _SAME_PLACE_PX:
                raise PromptError(
                    f"({x:g}, {y:g}) is said to be on the object and ({other_x:g}, {other_y:g}) not to be; "
                    f"that is the same place, so leave one of them out"
                )


def _beyond_origin(values: Sequence[float]) -> Sequence[float]:
    """Finite numbers moved so that none is below 0: whether they lie in the frame is not known yet."""
    if len(values) not in (2, 4) or not all(math.isfinite(value) for value in values):
        return values
    return [value - min(0, *values) for value in values]
