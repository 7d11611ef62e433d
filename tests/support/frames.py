"""Frames for tests of nodes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from streamseg.messages import Frame, Stamp


def frames(count: int) -> Iterator[Frame]:
    """Frames of 2 x 2 pixels, each filled with its number."""
    for seq in range(count):
        yield Frame(Stamp("s", seq, seq, None, (1, 25), 0, 0, seq + 1), np.full((2, 2, 3), seq, np.uint8))
