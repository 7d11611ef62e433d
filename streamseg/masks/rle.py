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

PIXELS_MAX = 1 << 28
"""No mask with more pixels is made: 16384 x 16384."""
_MAX_GROUPS = 13
"""Groups of five bits in an int64."""
_LONGEST_NUMBER = 10
"""Groups of a number that is read. Run lengths of any picture take fewer, and sums of these do not overflow unseen."""
_LARGEST_COUNT = 1 << 5 * _LONGEST_NUMBER - 1


def encode(mask: np.ndarray) -> list[int]:
    """The uncompressed counts of a (H, W) bool mask."""
    if mask.size == 0:
        return []
    pixels = np.ascontiguousarray(mask, bool)
    # Only the rectangle round what is set is read column by column, so that small objects cost little.
    rows = np.flatnonzero(pixels.any(axis=1))
    if rows.size == 0:
        return [mask.size]
    top, height = int(rows[0]), int(rows[-1] - rows[0]) + 1
    set_columns = np.flatnonzero(pixels[top : top + height].any(axis=0))
    left, width = int(set_columns[0]), int(set_columns[-1] - set_columns[0]) + 1
    return encode_crop(pixels[top : top + height, left : left + width], left, top, mask.shape)


def encode_crop(crop: np.ndarray, left: int, top: int, size: tuple[int, ...]) -> list[int]:
    """The uncompressed counts of a mask that has nothing outside of a rectangle.

    Args:
        crop: (h, w) bool, the rectangle, with a pixel or more.
        left: column of the mask where it begins.
        top: row of the mask where it begins.
        size: (height, width) of the mask.
    """
    rows, pixels = crop.shape[0], size[0] * size[1]
    # With one more row, of zeros, no run of the rectangle goes on in its next column but those of the whole mask.
    height = min(rows + 1, size[0])
    above = top + height - min(top + height, size[0])
    top -= above
    image = np.zeros((crop.shape[1], height), np.uint8)
    image[:, above : above + rows] = cv2.transpose(np.ascontiguousarray(crop, bool).view(np.uint8))
    columns = image.ravel()
    changes = np.flatnonzero(columns[1:] != columns[:-1]) + 1
    edges = np.concatenate([[0] * int(columns[0]), changes, [columns.size] * int(columns[-1])]).astype(np.int64)
    if not edges.size:
        return [pixels]
    starts, lasts = edges[::2], edges[1::2] - 1
    edges[::2] = (starts // height + left) * size[0] + starts % height + top
    edges[1::2] = (lasts // height + left) * size[0] + lasts % height + top + 1
    counts: list[int] = np.diff(edges, prepend=0, append=pixels).tolist()
    return counts if edges[-1] < pixels else counts[:-1]


def decode(counts: Sequence[int], height: int, width: int, out: np.ndarray | None = None) -> np.ndarray:
    """The (H, W) bool mask of uncompressed counts.

    Args:
        counts: as `encode` gives them.
        height: of the mask.
        width: of the mask.
        out: a (H, W) bool array of zeros to draw into, and to return; a new one if None.

    Raises:
        UsageError: the counts are no whole numbers, negative, more than the pixels or do not add up to height x width,
            or that is more than `PIXELS_MAX`.
    """
    pixels = _pixels(height, width)
    # Between runs that have pixels stand at most as many that have none.
    if not isinstance(counts, (Sequence, np.ndarray)) or isinstance(counts, (str, bytes)):
        raise UsageError(f"expected a list of run lengths, got a {type(counts).__name__}")
    if len(counts) > 2 * pixels + 2:
        raise UsageError(f"expected the run lengths of {height} x {width} pixels, got {len(counts)} of them")
    for count in counts:
        if type(count) is not int and not isinstance(count, np.integer):
            raise UsageError(f"expected whole numbers as run lengths, got a {type(count).__name__} among them")
    # Python's own numbers: those of numpy wrap round, and what seems to add up may ask for more memory than there is.
    total = sum(map(int, counts))
    if total != pixels or min(counts, default=0) < 0:
        raise UsageError(
            f"expected run lengths from 0 that add up to {height} x {width} = {pixels} pixels, got a sum of "
            f"{total if abs(total) <= _LARGEST_COUNT else 'far more'}; check that the size belongs to this mask"
        )
    mask = np.zeros((height, width), bool) if out is None else out
    edges = np.cumsum(np.asarray(counts, np.int64))
    # Runs without length say nothing, but where a mask begins and ends is looked for below.
    starts, ends = edges[0 : len(edges) - 1 : 2], edges[1::2]
    starts, ends = starts[ends > starts], ends[ends > starts]
    if starts.size == 0:
        return mask
    # Only the rectangle round what is set is written, so that small objects cost little.
    left, right = starts[0] // height, (ends[-1] - 1) // height + 1
    first_row, last_row = starts % height, (ends - 1) % height
    within_columns = starts // height == (ends - 1) // height
    top, bottom = (first_row.min(), last_row.max() + 1) if within_columns.all() else (0, height)
    high = bottom - top
    firsts = (starts // height - left) * high + first_row - top
    lasts = ((ends - 1) // height - left) * high + last_row - top + 1
    runs = np.diff(np.column_stack([firsts, lasts]).ravel(), prepend=0, append=(right - left) * high)
    columns = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(right - left, high)
    mask[top:bottom, left:right] = cv2.transpose(columns.view(np.uint8)).view(bool)
    return mask


def compress(counts: Sequence[int]) -> str:
    """The printable form of counts."""
    numbers = np.array(counts, np.int64)
    numbers[3:] -= numbers[1:-2].copy()
    # No more columns than the longest number takes, the sign included.
    longest = int(np.abs(numbers).max(initial=0)).bit_length() // 5 + 1
    groups = np.right_shift(numbers[:, None], 5 * np.arange(longest))
    low = groups & 31
    # A number ends with the first group whose sign bit alone tells what is left: all zeros or all ones.
    rest = groups >> 5
    done = np.where(low & 16, rest == -1, rest == 0)
    last = done.argmax(1)
    position = np.arange(longest)
    used = position <= last[:, None]
    more = (position < last[:, None]) << 5
    return bytes(((low | more) + 48)[used].astype(np.uint8)).decode("ascii")


def decode_compressed(text: str | bytes, height: int, width: int, out: np.ndarray | None = None) -> np.ndarray:
    """The (H, W) bool mask of the printable form of its counts; `out` as in `decode`.

    Raises:
        UsageError: not such a form, or not of a mask of that size.
    """
    if not isinstance(text, (str, bytes, bytearray)):
        raise UsageError(f"expected compressed COCO counts as text, got a {type(text).__name__}")
    # Each pixel costs two letters at most: a run takes as many groups as its own length and that of the run two
    # before need. So a text that is longer is refused before there are numbers of it.
    if len(text) > 2 * _pixels(height, width) + _MAX_GROUPS:
        raise UsageError(f"expected the run lengths of {height} x {width} pixels, got {len(text)} letters of them")
    return decode(decompress(text), height, width, out)


def decompress(text: str | bytes) -> list[int]:
    """The counts of a printable form.

    Raises:
        UsageError: not such a form, or a count is negative or beyond any picture.
    """
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    groups = np.frombuffer(raw, np.uint8).astype(np.int64) - 48
    if groups.size == 0:
        return []
    more = (groups & 32) > 0
    starts = np.concatenate([[0], np.flatnonzero(~more) + 1])
    if groups.min() < 0 or groups.max() > 63 or more[-1] or np.diff(starts).max() > _LONGEST_NUMBER:
        raise UsageError("expected compressed COCO counts (ASCII 48 to 111, the last group of each number unmarked)")
    starts = starts[:-1]
    ends = np.append(starts[1:], groups.size) - 1
    position = np.arange(groups.size) - np.repeat(starts, ends - starts + 1)
    numbers = np.add.reduceat((groups & 31) << 5 * position, starts)
    negative = (groups[ends] & 16) > 0
    numbers[negative] -= np.left_shift(np.int64(1), 5 * (position[ends][negative] + 1))
    for chain in (numbers[1::2], numbers[2::2]):
        np.cumsum(chain, out=chain)
    # A sum that is out of bounds is seen here before a later one can wrap round: each step is far below 2^63.
    if numbers.min() < 0 or numbers.max() > _LARGEST_COUNT:
        raise UsageError("expected compressed COCO counts from 0 to the pixels of a picture, got others")
    counts: list[int] = numbers.tolist()
    return counts


def _pixels(height: int, width: int) -> int:
    if not all(isinstance(side, (int, np.integer)) for side in (height, width)):
        raise UsageError(f"expected the size of a mask as whole numbers, got {str(height)[:20]} x {str(width)[:20]}")
    if min(height, width) < 0 or max(height, width, height * width) > PIXELS_MAX:
        raise UsageError(f"expected a mask of at most {PIXELS_MAX} pixels, got {height} x {width}; reduce it")
    return height * width


def to_coco(mask: np.ndarray) -> dict[str, object]:
    """A (H, W) bool mask as COCO writes it: ``{"size": [H, W], "counts": "…"}``, compressed."""
    return {"size": list(mask.shape), "counts": compress(encode(mask))}
