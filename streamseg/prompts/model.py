"""What a user points at: boxes, clicks and masks, each for an object, in a frame, of a stream."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np

from streamseg.masks.boxes import box_of_mask
from streamseg.types import MASK_URL, Box

_SAME_TIME_S = 0.0005
"""Half of the last digit that times are written with."""


class ObjectPrompt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One object, pointed at in one frame, as people say it: by a box, clicks, a mask, or any mix of them.

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
    """Instead of all that: the object is followed no longer. Its id is never another object's."""
    undo: bool = False
    """Instead of all that, while a run is under way: the object is again what it was before the last prompt about it.
    One that was removed is looked for, one that was added is removed."""
    everything: bool = False
    """Instead of all that, while a run is under way, and without an id: all objects of the frame that are not followed
    yet, found without being pointed at."""
    seen: int | None = None
    """While a run is under way: number of the frame in which its box and clicks were seen. If that has gone by, as in a
    live picture, they are carried along with what moved since."""
    meanings: bool = False
    """While a run is under way, with clicks alone on a new object: the answer says what they may mean, as pictures."""
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
        what = "removal of" if self.remove else "undoing for" if self.undo else "prompt for"
        which = "everything" if self.everything else "a new object" if self.id is None else f"object {self.id}"
        stream = f" of stream {self.stream!r}" if self.stream else ""
        return f"{origin}{what} {which}{self.when}{stream}"

    @property
    def mask_name(self) -> str:
        """How an error message calls its mask."""
        return "that came along" if (self.mask or "").startswith(MASK_URL) else str(self.mask)

    @property
    def points_at(self) -> bool:
        """Whether it says where something is."""
        return bool(self.box is not None or self.points or self.negative or self.mask is not None)

    @property
    def renames(self) -> bool:
        """Whether all it says of an object is what it is called."""
        return bool(self.label) and not (self.points_at or self.remove or self.undo or self.everything)

    @property
    def only_clicks(self) -> bool:
        """Whether it has clicks and nothing that says how large the object is."""
        return bool(self.points or self.negative) and self.box is None and self.mask is None


class PendingPrompt(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt on its way to its frame, checked as far as that goes without it; `prepare.fit` does the rest."""

    prompt: ObjectPrompt
    id: int
    """0 for everything: it is about no object that is known yet."""
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


class FramePrompt(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt in its frame, checked against it: what the tracker takes."""

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
