"""What a user points at: boxes, clicks and masks, each for an object, in a frame, of a stream."""

from __future__ import annotations

import base64
import binascii
import logging
import math
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import cv2
import msgspec
import numpy as np

from streamseg.errors import PromptError
from streamseg.masks.boxes import box_of_mask, validate_box, validate_points
from streamseg.prompts.mask_picture import pixels_of
from streamseg.prompts.rules import check_alone, check_mask, check_together, free_id
from streamseg.types import Box

_log = logging.getLogger("streamseg.prompts")

_MASK_URL = "data:image/png;base64,"
_PNG = b"\x89PNG"
_MOST_PIXELS = 1 << 28
_SAME_TIME_S = 0.0005
"""Half of the last digit that times are written with."""


class ObjectPrompt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One object, pointed at in one frame: by a box, clicks, a mask, or any mix of them.

    A new id adds an object. A later prompt for a known id corrects that object from there on: clicks alone refine its
    mask, a box or a mask points it out anew.
    """

    id: int | None = None
    """From 1 to 65535; the next free one if None."""
    label: str = ""
    frame: int | None = None
    """Position of the frame in its stream, from 0; if that one got lost, the prompt holds for the next. The first
    frame if neither this nor `time_s` is given."""
    time_s: float | None = None
    """Instead of `frame`: the first frame with this time in seconds (``pts_s`` of the results) or a later one. In a
    file the first frame has time 0, as in a player."""
    stream: str | None = None
    """Name of the source node; every stream if None."""
    box: list[float] | None = None
    """x0, y0, x1, y1 in frame pixels, right and bottom edges exclusive."""
    points: list[list[float]] = []
    """Clicks (x, y) on the object, in frame pixels."""
    negative: list[list[float]] = []
    """Clicks (x, y) on what is not the object, in frame pixels."""
    choice: Literal[0, 1, 2] | None = None
    """With clicks alone on a new object: which of the things that they may mean, the largest first (0 the whole, 1 a
    part, 2 a smaller part). The one with the best score if None."""
    mask: str | None = None
    """Path of a picture of the frame's size: the object is where it is not 0. Of one with numbers of several objects,
    such as ``masks/00000.png``, where it has this object's id; of one with soft edges, where it is at least half.
    Or the PNG itself, as a data URL."""
    remove: bool = False
    """Instead of all that: the object is followed no longer. Its id is never used again."""
    text: str | None = None
    """Not understood; here to explain what to do instead."""
    origin: str = ""
    """Where it was written, say ``prompts.yaml, entry 3``, for errors."""

    @property
    def when(self) -> str:
        """The frame it is about, in words, with a space before; nothing if it does not say."""
        if self.time_s is not None:
            return f" at {self.time_s:g} s"
        return "" if self.frame is None else f" at frame {self.frame}"

    @property
    def name(self) -> str:
        """How an error message calls it."""
        origin = f"{self.origin}: " if self.origin else ""
        what = "removal of" if self.remove else "prompt for"
        which = "a new object" if self.id is None else f"object {self.id}"
        stream = f" of stream {self.stream!r}" if self.stream else ""
        return f"{origin}{what} {which}{self.when}{stream}"

    @property
    def mask_name(self) -> str:
        """How an error message calls its mask."""
        return "given as an array" if (self.mask or "").startswith(_MASK_URL) else str(self.mask)

    @property
    def only_clicks(self) -> bool:
        """Whether it has clicks and nothing that says how large the object is."""
        return bool(self.points or self.negative) and self.box is None and self.mask is None


class Pointer(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt that has been checked as far as that goes without the frame; `fit` does the rest."""

    prompt: ObjectPrompt
    id: int
    mask: np.ndarray | None = None
    """(H, W) bool."""
    note: str | None = None
    """What had to be taken for the mask, where its picture can be seen in several ways."""

    @property
    def where(self) -> Box:
        """Where to look, in frame pixels: the box, else round the mask, else round the clicks (maybe without area)."""
        if self.prompt.box is not None:
            x0, y0, x1, y1 = self.prompt.box
            return (x0, y0, x1, y1)
        found = None if self.mask is None else box_of_mask(self.mask)
        if found is not None:
            return found
        xs, ys = zip(*(self.prompt.points or self.prompt.negative), strict=True)
        return (min(xs), min(ys), max(xs), max(ys))

    def due(self, index: int, pts_s: float | None) -> bool:
        """Whether it comes into force at a frame, or should have earlier.

        Args:
            index: position of the frame in its stream.
            pts_s: its presentation time in seconds; None if it has none.
        """
        if self.prompt.time_s is not None:
            return pts_s is not None and self.prompt.time_s <= pts_s + _SAME_TIME_S
        return (self.prompt.frame or 0) <= index


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
    choice: int | None = None
    """Which of the things that the clicks may mean."""
    remove: bool = False
    """The object is to be followed no longer."""

    @property
    def points_on(self) -> np.ndarray:
        """(K, 2) float32: the clicks that are on the object."""
        return np.asarray(self.points_xy[self.point_labels == 1])

    @property
    def only_clicks(self) -> bool:
        """Whether nothing says how large the object is."""
        return self.box is None and self.mask is None and not self.remove


def prepare(prompts: Sequence[ObjectPrompt], streams: Sequence[str] = ()) -> list[Pointer]:
    """Give every prompt an id and a place, read the masks, and check all that needs no frame.

    Args:
        prompts: as the user gave them.
        streams: names of the streams there are; not checked if empty.

    Returns:
        In order of frame or time, and as given within a frame.

    Raises:
        PromptError: nothing in a prompt, numbers that cannot be meant, prompts that contradict each other.
    """
    taken = {prompt.id for prompt in prompts if prompt.id is not None}
    pointers = []
    for prompt in prompts:
        identity = prompt.id
        if identity is None and not prompt.remove:
            identity = free_id(taken)
            taken.add(identity)
        frame = 0 if prompt.time_s is None and prompt.frame is None else prompt.frame
        prompt = msgspec.structs.replace(prompt, id=identity, frame=frame)
        pointers.append(point(prompt, streams))
    pointers.sort(key=lambda pointer: pointer.prompt.time_s or pointer.prompt.frame or 0)
    check_together([pointer.prompt for pointer in pointers], streams)
    return pointers


def point(prompt: ObjectPrompt, streams: Sequence[str], mask_png: bytes | None = None) -> Pointer:
    """One prompt, checked by itself.

    Args:
        prompt: has an id.
        streams: names of the streams there are; not checked if empty.
        mask_png: its mask, if that came along; else the one it names is read.

    Raises:
        PromptError: it cannot be meant.
    """
    check_alone(prompt, streams)
    found = _read_mask(prompt) if mask_png is None else decode_mask(mask_png, prompt)
    mask, note = (None, None) if found is None else found
    check_mask(prompt, mask)
    return Pointer(prompt=prompt, id=prompt.id or 0, mask=mask, note=note)


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
    if pointer.note is not None:
        _log.warning("%s", pointer.note)
    if mask is not None and mask.shape != (height, width):
        raise PromptError(
            f"{prompt.name}: expected a mask of the frame's size, {width}x{height}, got "
            f"{mask.shape[1]}x{mask.shape[0]} from {prompt.mask_name}; draw it on a frame of this video"
        )
    return Fitted(
        id=pointer.id,
        label=prompt.label,
        box=box,
        points_xy=points,
        point_labels=point_labels,
        mask=mask,
        choice=prompt.choice,
        remove=prompt.remove,
    )


def decode_mask(data: bytes, prompt: ObjectPrompt) -> tuple[np.ndarray, str | None]:
    """The picture of a mask as (H, W) bool, and what had to be taken for it (`streamseg.prompts.mask_picture`).

    Args:
        data: a PNG, or anything else that OpenCV reads.
        prompt: it belongs to, for errors.

    Raises:
        PromptError: it is not a picture, or black all over.
    """
    what = f"{prompt.name}: the mask {prompt.mask_name}"
    if data.startswith(_PNG) and math.prod(struct.unpack(">II", data[16:24].ljust(8, b"\0"))) > _MOST_PIXELS:
        raise PromptError(f"{what} has more pixels than any frame could have")
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    except cv2.error:
        # OpenCV raises for a picture that says it is enormous.
        picture = None
    if picture is None:
        raise PromptError(f"{what} is not a picture; expected a PNG that is 0 where the object is not")
    mask, note = pixels_of(picture, data, prompt.id, what)
    if not mask.any():
        raise PromptError(f"{what} is empty; expected pixels other than 0 where the object is")
    return mask, note


def _read_mask(prompt: ObjectPrompt) -> tuple[np.ndarray, str | None] | None:
    if prompt.mask is None:
        return None
    if prompt.mask.startswith(_MASK_URL):
        try:
            return decode_mask(base64.b64decode(prompt.mask.removeprefix(_MASK_URL), validate=True), prompt)
        except binascii.Error as error:
            raise PromptError(f"{prompt.name}: the mask in {_MASK_URL}… is damaged: {error}") from error
    try:
        data = Path(prompt.mask).read_bytes()
    except OSError as error:
        raise PromptError(f"{prompt.name}: the mask {prompt.mask} cannot be read: {error.strerror}") from error
    return decode_mask(data, prompt)
