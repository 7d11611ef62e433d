"""One object in one frame, whose mask is made into what is asked for, and only then."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from streamseg.errors import UsageError
from streamseg.masks import rle
from streamseg.masks.boxes import box_of_mask
from streamseg.masks.polygons import Grid, Part, outline
from streamseg.types import Box, ObjectState

Counts = Callable[[], Sequence[int]]
Cut = Callable[[], np.ndarray | None]


class Shape:
    """One object in one frame.

    Args:
        object_id: of the object.
        size: (height, width) of the frame.
        label: of the object; "" for none.
        state: what is known of the object here.
        score: of the mask, 0 to 1; None if nobody said.
        box_xyxy: tight box in pixels, right and bottom edges exclusive; None for an empty mask, or to find it out.
        area_px: of the mask; None to find it out.
        text: the mask as COCO's compressed run lengths; "" for an empty one.
        counts: gives the mask as COCO's run lengths. With neither it has no mask, only a box.
        cut: gives the mask inside of the box, (h, w) bool, if that is known without run lengths, or None.
    """

    __slots__ = ("_area_px", "_box_xyxy", "_counts", "_cut", "_load", "_text", "id", "label", "score", "size", "state")

    def __init__(
        self,
        object_id: int,
        size: tuple[int, int],
        *,
        label: str = "",
        state: ObjectState = "TRACKED",
        score: float | None = None,
        box_xyxy: Box | None = None,
        area_px: int | None = None,
        text: str | None = None,
        counts: Counts | None = None,
        cut: Cut | None = None,
    ) -> None:
        self.id = object_id
        self.size = size
        self.label = label
        self.state = state
        self.score = score
        self._box_xyxy = box_xyxy
        self._area_px = area_px
        self._text = text
        self._load = counts
        self._cut = cut
        self._counts: Sequence[int] | None = None

    @property
    def has_mask(self) -> bool:
        """Whether more is known than a box."""
        return self._text is not None or self._load is not None

    @property
    def counts(self) -> Sequence[int]:
        """COCO's run lengths of the mask, column by column, beginning with those of 0.

        Raises:
            UsageError: there is only a box.
        """
        if self._counts is None:
            if self._load is not None:
                self._counts = self._load()
            elif self._text is not None:
                pixels = self.size[0] * self.size[1]
                self._counts = rle.decompress(self._text) if self._text else [pixels] if pixels else []
            else:
                raise UsageError(
                    f"expected a mask of object {self.id}, there is only a box; choose a format of boxes, or record "
                    f"the run with masks"
                )
        return self._counts

    @property
    def text(self) -> str:
        """The same, compressed.

        Raises:
            UsageError: there is only a box.
        """
        if self._text:
            return self._text
        return rle.compress(self.counts)

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool.

        Raises:
            UsageError: there is only a box, or the run lengths are none.
        """
        return rle.decode(self.counts, *self.size)

    @property
    def crop(self) -> np.ndarray:
        """(h, w) bool: the mask inside of `box_xyxy`, which it fills; (0, 0) if nothing is there.

        Raises:
            UsageError: there is only a box, or the run lengths are none.
        """
        box = self.box_xyxy
        if box is None:
            return np.zeros((0, 0), bool)
        known = None if self._cut is None else self._cut()
        if known is not None:
            return known
        x0, y0, x1, y1 = (int(edge) for edge in box)
        frame_height, height, width = self.size[0], y1 - y0, x1 - x0
        if height == frame_height or not (0 <= x0 < x1 <= self.size[1] and 0 <= y0 < y1 <= frame_height):
            return self.mask[y0:y1, x0:x1]
        # No run goes on in its next column, so each is one of the crop.
        edges = np.cumsum(np.asarray(self.counts, np.int64))
        starts, lasts = edges[: len(edges) - 1 : 2], edges[1::2] - 1
        used = lasts >= starts
        starts, lasts = starts[used], lasts[used]
        firsts = (starts // frame_height - x0) * height + starts % frame_height - y0
        ends = (lasts // frame_height - x0) * height + lasts % frame_height - y0 + 1
        bounds = np.zeros(2 * len(firsts) + 2, np.int64)
        bounds[1:-1:2], bounds[2:-1:2], bounds[-1] = firsts, ends, width * height
        runs = bounds[1:] - bounds[:-1]
        if runs.min() < 0:
            return self.mask[y0:y1, x0:x1]
        values = np.zeros(len(runs), np.uint8)
        values[1::2] = 1
        return np.asarray(cv2.transpose(np.repeat(values, runs).reshape(width, height)).view(bool))

    def paint(self, picture: np.ndarray, value: int) -> None:
        """Give the pixels of the mask a value, in a picture (H, W) of the frame's size.

        Raises:
            UsageError: there is only a box, or the run lengths are none.
        """
        box = self.box_xyxy
        if box is not None:
            x0, y0, x1, y1 = (int(edge) for edge in box)
            np.copyto(picture[y0:y1, x0:x1], picture.dtype.type(value), where=self.crop)

    def outline(self, tolerance_px: float = 0.5, grid: Grid = "edges") -> list[Part]:
        """The polygons of the mask, in pixels of the frame; as `streamseg.masks.polygons.outline`."""
        box = self.box_xyxy
        if box is None:
            return []
        corner = (int(box[0]), int(box[1]))
        return [
            Part(part.outer + corner, [hole + corner for hole in part.holes])
            for part in outline(self.crop, tolerance_px, grid)
        ]

    @property
    def area_px(self) -> int:
        """How many pixels it has; those of the box if there is no mask."""
        if self._area_px is None:
            if self.has_mask:
                self._area_px = sum(self.counts[1::2])
            else:
                x0, y0, x1, y1 = self._box_xyxy or (0.0, 0.0, 0.0, 0.0)
                self._area_px = round((x1 - x0) * (y1 - y0))
        return self._area_px

    @property
    def is_there(self) -> bool:
        """Whether it can be seen in the frame."""
        return self.area_px > 0

    @property
    def box_xyxy(self) -> Box | None:
        """Tight box in pixels, right and bottom edges exclusive; None if nothing is there."""
        if self._box_xyxy is None and self.has_mask and self.is_there:
            self._box_xyxy = box_of_counts(self.counts, self.size[0])
        return self._box_xyxy if self.is_there else None

    def with_id(self, object_id: int) -> Shape:
        """The same as another object."""
        return Shape(
            object_id,
            self.size,
            label=self.label,
            state=self.state,
            score=self.score,
            box_xyxy=self._box_xyxy,
            area_px=self._area_px,
            text=self._text,
            counts=self._load,
            cut=self._cut,
        )


def box_of_counts(counts: Sequence[int], height: int) -> Box | None:
    """The tight box round what COCO's run lengths say, in pixels; None if that is nothing."""
    edges = np.cumsum(np.asarray(counts, np.int64))
    starts, ends = edges[: len(edges) - 1 : 2], edges[1::2]
    used = ends > starts
    starts, lasts = starts[used], ends[used] - 1
    if not len(starts):
        return None
    x0, x1 = int(starts[0] // height), int(lasts[-1] // height) + 1
    if (starts // height != lasts // height).any():
        return (float(x0), 0.0, float(x1), float(height))
    return (float(x0), float((starts % height).min()), float(x1), float((lasts % height).max() + 1))


def of_mask(object_id: int, mask: np.ndarray, **more: object) -> Shape:
    """The shape of a (H, W) bool mask; `more` as for `Shape`."""
    box = box_of_mask(mask)
    area = int(np.count_nonzero(mask))
    height, width = mask.shape
    return Shape(
        object_id,
        (height, width),
        box_xyxy=box,
        area_px=area,
        counts=lambda: rle.encode(mask),
        **more,  # type: ignore[arg-type]
    )


def counts_of_labels(ids: np.ndarray) -> dict[int, list[int]]:
    """COCO's run lengths of every object of a picture of ids, in one pass over its pixels.

    Args:
        ids: (H, W) uint8 or uint16; 0 is background.
    """
    columns = cv2.transpose(ids).ravel()
    if not columns.size:
        return {}
    starts = np.concatenate([[0], np.flatnonzero(columns[1:] != columns[:-1]) + 1])
    ends = np.append(starts[1:], columns.size)
    values = columns[starts]
    order = np.argsort(values, kind="stable")
    values, starts, ends = values[order], starts[order], ends[order]
    bounds = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1], [True]]))
    found: dict[int, list[int]] = {}
    for begin, end in itertools.pairwise(bounds):
        if values[begin] == 0:
            continue
        edges = np.column_stack([starts[begin:end], ends[begin:end]]).ravel()
        counts = np.diff(edges, prepend=0, append=columns.size)
        found[int(values[begin])] = (counts if counts[-1] else counts[:-1]).tolist()
    return found
