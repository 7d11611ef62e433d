"""COCO run-length encoding of masks.

Pixels are read column by column, top to bottom; `counts` are the lengths of runs of 0, 1, 0, 1, …, and begin with
a run of 0 (of length 0 if the first pixel is set). The compressed form packs counts into printable ASCII, as
``rleToString`` of the COCO API does: from the fourth on each count is the difference to the one two before; a
number is cut into groups of five bits, lowest first, the sixth bit says that more follow, the fifth bit of the
last group is the sign; 48 is added to each group.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from streamseg.errors import UsageError

_MAX_GROUPS = 13
"""Groups of five bits in an int64."""


def encode(mask: np.ndarray) -> list[int]:
    """The uncompressed counts of a (H, W) bool mask."""
    columns = cv2.transpose(np.ascontiguousarray(mask, bool).view(np.uint8)).ravel() if mask.size else np.zeros(0, bool)
    if columns.size == 0:
        return []
    changes = np.flatnonzero(columns[1:] != columns[:-1]) + 1
    first = [0] if columns[0] else []
    edges = np.concatenate([first, [0], changes, [columns.size]]).astype(np.int64)
    counts: list[int] = np.diff(edges).tolist()
    return counts


def decode(counts: Sequence[int], height: int, width: int) -> np.ndarray:
    """The (H, W) bool mask of uncompressed counts.

    Raises:
        UsageError: the counts are negative or do not add up to height x width.
    """
    lengths = np.asarray(counts, np.int64)
    total = int(lengths.sum())
    if (lengths < 0).any() or total != height * width:
        raise UsageError(
            f"expected run lengths from 0 that add up to {height} x {width} = {height * width} pixels, got a sum of "
            f"{total}; check that the size belongs to this mask"
        )
    columns = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return np.ascontiguousarray(columns.reshape(width, height).T)


def compress(counts: Sequence[int]) -> str:
    """The printable form of counts."""
    numbers = np.array(counts, np.int64)
    numbers[3:] -= np.array(counts[1:-2], np.int64)
    groups = np.right_shift(numbers[:, None], 5 * np.arange(_MAX_GROUPS))
    low = groups & 31
    # A number ends with the first group whose sign bit alone tells what is left: all zeros or all ones.
    rest = groups >> 5
    done = np.where(low & 16, rest == -1, rest == 0)
    last = done.argmax(1)
    position = np.arange(_MAX_GROUPS)
    used = position <= last[:, None]
    more = (position < last[:, None]) << 5
    return bytes(((low | more) + 48)[used].astype(np.uint8)).decode("ascii")


def decompress(text: str | bytes) -> list[int]:
    """The counts of a printable form.

    Raises:
        UsageError: not such a form.
    """
    raw = text.encode() if isinstance(text, str) else text
    groups = np.frombuffer(raw, np.uint8).astype(np.int64) - 48
    if groups.size == 0:
        return []
    more = (groups & 32) > 0
    starts = np.concatenate([[0], np.flatnonzero(~more) + 1])
    if groups.min() < 0 or groups.max() > 63 or more[-1] or np.diff(starts).max() > _MAX_GROUPS:
        raise UsageError("expected compressed COCO counts (ASCII 48 to 111, the last group of each number unmarked)")
    starts = starts[:-1]
    ends = np.append(starts[1:], groups.size) - 1
    position = np.arange(groups.size) - np.repeat(starts, ends - starts + 1)
    numbers = np.add.reduceat((groups & 31) << 5 * position, starts)
    negative = (groups[ends] & 16) > 0
    numbers[negative] -= np.left_shift(np.int64(1), 5 * (position[ends][negative] + 1))
    for chain in (numbers[1::2], numbers[2::2]):
        np.cumsum(chain, out=chain)
    counts: list[int] = numbers.tolist()
    return counts


def to_coco(mask: np.ndarray) -> dict[str, object]:
    """A (H, W) bool mask as COCO writes it: ``{"size": [H, W], "counts": "…"}``, compressed."""
    return {"size": list(mask.shape), "counts": compress(encode(mask))}
