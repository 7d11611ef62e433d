"""Results compared to the last bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from streamseg.runtime.library.frame_result import FrameResult


def facts(result: FrameResult) -> list[tuple[Any, ...]]:
    """All that is said of the objects of a frame but their masks."""
    return [(o.id, o.label, o.state, o.score, o.box_xyxy, o.area_px) for o in result.objects]


def assert_same(found: Sequence[FrameResult], expected: Sequence[FrameResult]) -> None:
    """The same frames with the same objects with the same masks."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.index == other.index
        assert facts(one) == facts(other), f"frame {one.index}"
        for mine, its in zip(one.objects, other.objects, strict=True):
            assert np.array_equal(mine.mask, its.mask), f"object {mine.id} in frame {one.index}"
