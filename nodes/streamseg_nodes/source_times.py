"""When a picture was taken, on the one clock that its source has."""

from __future__ import annotations

from streamseg.messages import Stamp

_USUAL_FPS = 25.0


def taken_ns(stamp: Stamp) -> int:
    """When a picture was taken, in nanoseconds since the epoch; of a file, since its beginning.

    A file without times counts as one of 25 frames a second. No time is before 0.
    """
    if stamp.captured_clock != "reading":
        return max(0, stamp.captured_ns)
    if stamp.pts is None:
        return round(stamp.index / _USUAL_FPS * 1e9)
    # In whole numbers: a float has not the digits.
    return max(0, stamp.pts * stamp.time_base[0] * 10**9 // stamp.time_base[1])
