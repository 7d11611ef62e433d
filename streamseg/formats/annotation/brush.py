"""Label Studio's brush masks: bits of run lengths over the four values of each pixel, row by row.

32 bits say how many values there are, 5 how many bits a value has (less one), four times 4 bits the sizes in which a
run may be written (less one). Then come the runs: a bit 1, two bits for which of the four sizes, the length less one in
so many bits, and the value; or a bit 0, the same, and as many values.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamseg.errors import UsageError

_SIZES = (3, 4, 8, 16)
_VALUE_BITS = 8
_CHANNELS = 4
_LONGEST = 1 << _SIZES[-1]


def encode(mask: np.ndarray) -> list[int]:
    """The bytes of an (H, W) bool mask, as numbers."""
    pixels = np.ascontiguousarray(mask, bool).ravel()
    starts = np.concatenate([[0], np.flatnonzero(pixels[1:] != pixels[:-1]) + 1])
    lengths = np.diff(starts, append=pixels.size) * _CHANNELS
    values = np.where(pixels[starts], 255, 0)
    # What is too long for the largest size is written in pieces.
    pieces = -(-lengths // _LONGEST)
    values = np.repeat(values, pieces)
    full = np.full(pieces.sum(), _LONGEST)
    full[np.cumsum(pieces) - 1] = lengths - (pieces - 1) * _LONGEST
    kind = np.searchsorted([1 << size for size in _SIZES], full)
    sizes = np.array(_SIZES)[kind]
    words = ((4 | kind) << sizes | (full - 1)) << _VALUE_BITS | values
    width = 3 + _SIZES[-1] + _VALUE_BITS
    shifts = np.arange(width)[::-1]
    bits = (words[:, None] >> shifts) & 1
    used = shifts < (3 + sizes + _VALUE_BITS)[:, None]
    header = pixels.size * _CHANNELS << 21 | (_VALUE_BITS - 1) << 16
    for number, size in enumerate(_SIZES):
        header |= (size - 1) << 4 * (3 - number)
    head = [(header >> shift) & 1 for shift in range(52, -1, -1)]
    found: list[int] = np.packbits(np.concatenate([head, bits[used]]).astype(np.uint8)).tolist()
    return found


def decode(data: Sequence[int], height: int, width: int) -> np.ndarray:
    """The (H, W) bool mask of the bytes: where the fourth value of a pixel is not 0.

    Raises:
        UsageError: they are no such bytes, or of another size.
    """
    wrong = f"expected the brush mask of {width}x{height} pixels, got other bytes"
    if not all(isinstance(each, int) and 0 <= each < 256 for each in data):
        raise UsageError(wrong)
    bits = np.unpackbits(np.array(data, np.uint8))
    text = bits.astype(np.uint8).tobytes().translate(bytes([48, 49]) + bytes(254)).decode("ascii")
    at = 0

    def read(count: int) -> int:
        nonlocal at
        at += count
        if at > len(text):
            raise UsageError(wrong)
        return int(text[at - count : at], 2)

    total, value_bits = read(32), read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    if total != height * width * _CHANNELS:
        raise UsageError(wrong)
    values = np.zeros(total, np.uint32)
    done = 0
    while done < total:
        is_run, size = read(1), sizes[read(2)]
        end = min(total, done + read(size) + 1)
        if is_run:
            values[done:end] = read(value_bits)
        else:
            for number in range(done, end):
                values[number] = read(value_bits)
        done = end
    return np.asarray(values.reshape(height, width, _CHANNELS)[..., 3] > 0)
