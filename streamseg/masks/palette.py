"""One color per object id: the palette of PASCAL VOC, which DAVIS uses too."""

from __future__ import annotations

from functools import cache

import numpy as np


@cache
def voc_palette() -> np.ndarray:
    """(256, 3) uint8 RGB, read-only; row 0, the background, is black, row 1 is (128, 0, 0).

    The formula of ``VOClabelcolormap`` in the PASCAL VOC development kit: bits 0, 1, 2 of the id become the
    highest free bits of red, green and blue, bits 3, 4, 5 the next lower ones, and so on.
    """
    ids = np.arange(256)
    colors = np.zeros((256, 3), np.uint8)
    for level in range(8):
        for channel in range(3):
            bit = (ids >> (3 * level + channel)) & 1
            colors[:, channel] |= (bit << (7 - level)).astype(np.uint8)
    colors.flags.writeable = False
    return colors


def color_of(object_id: int) -> tuple[int, int, int]:
    """RGB color of an object id of any size; ids above 255 take the colors 1 to 255 again, never the background's."""
    row = object_id if 0 <= object_id <= 255 else 1 + (object_id - 1) % 255
    red, green, blue = voc_palette()[row].tolist()
    return red, green, blue
