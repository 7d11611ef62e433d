"""What a user points at: boxes, clicks and masks, each for an object, in a frame, of a stream."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import msgspec
import numpy as np

from streamseg.errors import PromptError, nearest
from streamseg.vision.boxes import Box, box_of_mask, validate_box, validate_points

MAX_ID = 65535
"""The largest object id a 16-bit mask file can hold."""


class ObjectPrompt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One object, pointed at in one frame: by a box, clicks, a mask, or any mix of them.

    A later prompt for a known id corrects that object from there on; a new id adds an object.
    """

    id: int | None = None
    """From 1 to 65535; the next free one if None."""
    label: str = ""
    frame: int = 0
    """Position of the frame in its stream, from 0; if that one got lost, the prompt holds for the next."""
    stream: str | None = None
    """Name of the source node; every stream if None."""
    box: list[float] | None = None
    """x0, y0, x1, y1 in frame pixels, right and bottom edges exclusive."""
    points: list[list[float]] = []
    """Clicks (x, y) on the object, in frame pixels."""
    negative: list[list[float]] = []
    """Clicks (x, y) on what is not the object."""
    mask: str | None = None
    """Path of a picture of the frame's size: the object is where it is not 0."""
    text: str | None = None
    """Not understood; here to explain what to do instead."""

    @property
    def name(self) -> str:
        """How an error message calls it."""
        stream = f" of stream {self.stream!r}" if self.stream else ""
        return f"prompt for object {self.id} at frame {self.frame}{stream}"


class Pointer(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt that has been checked as far as that goes without the frame; `fit` does the rest."""

    prompt: ObjectPrompt
    id: int
    mask: np.ndarray | None = None
    """(H, W) bool."""

    @property
    def where(self) -> Box:
        """Where to look, in frame pixels: the box, else round the mask, else round the clicks (maybe without area)."""
        if self.prompt.box is not None:
            x0, y0, x1, y1 = self.prompt.box
            return (x0, y0, x1, y1)
        found = None if self.mask is None else box_of_mask(self.mask)
        if found is not None:
            return found
        xs, ys = zip(*self.prompt.points, strict=True)
        return (min(xs), min(ys), max(xs), max(ys))

    @property
    def only_clicks(self) -> bool:
        """Whether nothing says how large the object is."""
        return self.prompt.box is None and self.mask is None


class Fitted(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt checked against its frame."""

    id: int
    label: str
    box: Box | None
    points_xy: np.ndarray
    """(K, 2) float32, frame pixels; K may be 0."""
    point_labels: np.ndarray
    """(K,) int32: 1 on the object, 0 not on it."""
    mask: np.ndarray | None
    """(H, W) bool."""

    @property
    def only_clicks(self) -> bool:
        """Whether nothing says how large the object is."""
        return self.box is None and self.mask is None


def prepare(prompts: Sequence[ObjectPrompt], streams: Sequence[str] = ()) -> list[Pointer]:
    """Give every prompt an id, read the masks, and check all that needs no frame.

    Args:
        prompts: as the user gave them.
        streams: names of the streams there are; not checked if empty.

    Returns:
        In order of frame, and as given within a frame.

    Raises:
        PromptError: no prompts, nothing in a prompt, numbers that cannot be meant, two prompts that contradict.
    """
    if not prompts:
        raise PromptError("there are no prompts: give at least one box, click or mask, e.g. --box 100,120,300,400")
    taken = {prompt.id for prompt in prompts if prompt.id is not None}
    pointers = []
    for prompt in prompts:
        identity = prompt.id
        if identity is None:
            identity = next(k for k in range(1, MAX_ID + 2) if k not in taken)
            taken.add(identity)
        prompt = msgspec.structs.replace(prompt, id=identity)
        _check(prompt, streams)
        pointers.append(Pointer(prompt=prompt, id=identity, mask=_read_mask(prompt)))
    _check_together([pointer.prompt for pointer in pointers])
    return sorted(pointers, key=lambda pointer: pointer.prompt.frame)


def fit(pointer: Pointer, width: int, height: int) -> Fitted:
    """The prompt in a frame of `width` x `height` pixels.

    Raises:
        PromptError: a box or click outside the frame, a mask of another size.
    """
    prompt = pointer.prompt
    clicks = [*prompt.points, *prompt.negative]
    labels = [1] * len(prompt.points) + [0] * len(prompt.negative)
    try:
        box = None if prompt.box is None else validate_box(prompt.box, width, height)
        points, point_labels = np.zeros((0, 2), np.float32), np.zeros(0, np.int32)
        if clicks:
            points, point_labels = validate_points(clicks, labels, width, height)
    except PromptError as error:
        raise PromptError(f"{prompt.name}: {error}") from error
    mask = pointer.mask
    if mask is not None and mask.shape != (height, width):
        raise PromptError(
            f"{prompt.name}: expected a mask of the frame's size, {width}x{height}, got "
            f"{mask.shape[1]}x{mask.shape[0]} from {prompt.mask}; draw it on a frame of this video"
        )
    return Fitted(id=pointer.id, label=prompt.label, box=box, points_xy=points, point_labels=point_labels, mask=mask)


def _check(prompt: ObjectPrompt, streams: Sequence[str]) -> None:
    if prompt.text is not None:
        raise PromptError(
            f"text prompt {prompt.text!r}: Segment Anything takes boxes, clicks and masks, no words; run a detector "
            f"that knows words on the frame and give its box as the prompt"
        )
    if not 1 <= (prompt.id or 0) <= MAX_ID:
        raise PromptError(f"object id {prompt.id}: expected a number from 1 to {MAX_ID}, as the mask files hold them")
    if prompt.frame < 0:
        raise PromptError(f"{prompt.name}: frames count from 0")
    if streams and prompt.stream is not None and prompt.stream not in streams:
        raise PromptError(f"{prompt.name}: there is no such stream; {nearest(prompt.stream, streams)}")
    if prompt.box is None and not prompt.points and prompt.mask is None:
        only = "clicks on what is not the object" if prompt.negative else "nothing"
        raise PromptError(f"{prompt.name} has {only}; give a box, a click on the object, or a mask")
    # Bounds need the frame; in a frame of boundless size all else is checked.
    boundless = 1 << 31
    try:
        if prompt.box is not None:
            validate_box(_beyond_origin(prompt.box), boundless, boundless)
        for point in [*prompt.points, *prompt.negative]:
            validate_points([_beyond_origin(point)], [1], boundless, boundless)
    except PromptError as error:
        raise PromptError(f"{prompt.name}: {error}") from error


def _beyond_origin(values: Sequence[float]) -> Sequence[float]:
    """Finite numbers moved so that none is below 0: whether they lie in the frame is not known yet."""
    if len(values) not in (2, 4) or not all(math.isfinite(value) for value in values):
        return values
    return [value - min(0, *values) for value in values]


def _check_together(prompts: Sequence[ObjectPrompt]) -> None:
    for position, later in enumerate(prompts):
        for earlier in prompts[:position]:
            if earlier.id != later.id or not _meet(earlier, later):
                continue
            if earlier.frame == later.frame:
                raise PromptError(
                    f"two prompts for object {later.id} at frame {later.frame}; put box, clicks and mask of one object "
                    f"into one prompt, or give the second another id"
                )
            if earlier.label and later.label and earlier.label != later.label:
                raise PromptError(
                    f"object {later.id} is called {earlier.label!r} in one prompt and {later.label!r} in another; "
                    f"use one label, or another id"
                )


def _meet(first: ObjectPrompt, second: ObjectPrompt) -> bool:
    return first.stream is None or second.stream is None or first.stream == second.stream


def _read_mask(prompt: ObjectPrompt) -> np.ndarray | None:
    if prompt.mask is None:
        return None
    path = Path(prompt.mask)
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise PromptError(f"{prompt.name}: the mask {path} cannot be read: {error.strerror}") from error
    picture = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if picture is None:
        raise PromptError(f"{prompt.name}: {path} is not a picture; expected a PNG that is 0 where the object is not")
    mask = np.asarray(picture != 0) if picture.ndim == 2 else np.asarray((picture[..., :3] != 0).any(axis=2))
    if not mask.any():
        raise PromptError(f"{prompt.name}: the mask {path} is empty; expected pixels other than 0 where the object is")
    return mask
