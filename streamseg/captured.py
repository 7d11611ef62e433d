"""A frame that a source has and that nobody has been sent yet."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

from streamseg.messages import Stamp
from streamseg.types import CaptureClock

Out = TypeVar("Out")


class Captured(Generic[Out]):
    """A frame that a source has but that has not entered the graph yet."""

    __slots__ = (
        "arrived_monotonic_ns",
        "arrived_ns",
        "captured_clock",
        "captured_ns",
        "damaged",
        "frame_id",
        "good_until_monotonic_ns",
        "index",
        "make",
        "pixel_aspect",
        "pts",
        "scaled_from",
        "time_base",
    )

    def __init__(
        self,
        index: int,
        pts: int | None,
        time_base: tuple[int, int],
        captured_ns: int,
        make: Callable[[Stamp], Out],
        *,
        captured_clock: CaptureClock = "arrival",
        arrived_ns: int | None = None,
        arrived_monotonic_ns: int | None = None,
        good_until_monotonic_ns: int | None = None,
        damaged: bool = False,
        pixel_aspect: tuple[int, int] = (1, 1),
        scaled_from: tuple[int, int] | None = None,
        frame_id: str = "",
    ) -> None:
        self.index = index
        self.pts = pts
        self.time_base = time_base
        self.captured_ns = captured_ns
        self.captured_clock = captured_clock
        """As in the `Stamp` that it will get, like `captured_ns`."""
        elsewhere = captured_clock in ("sender", "recording")
        self.arrived_ns = time.time_ns() if arrived_ns is None and elsewhere else arrived_ns
        """As in the `Stamp`; now, if nothing is said and `captured_ns` is by another's clock."""
        self.arrived_monotonic_ns = time.monotonic_ns() if arrived_monotonic_ns is None else arrived_monotonic_ns
        """The same by the monotonic clock, which nobody can set; now, if nothing is said."""
        self.make = make
        """Turns it into a message, once it holds a ticket; it may run in another thread than `produce`."""
        self.good_until_monotonic_ns = good_until_monotonic_ns
        """After this time, in nanoseconds of the monotonic clock, it is too old to enter; None if it does not age."""
        self.damaged = damaged
        """As in the `Stamp` that it will get."""
        self.pixel_aspect = pixel_aspect
        self.scaled_from = scaled_from
        self.frame_id = frame_id
