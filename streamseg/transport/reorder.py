"""Bringing messages of one stream back into order after several processes shared the work."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class ReorderBuffer(Generic[T]):
    """Takes items by sequence number and gives them in order, without holes.

    It never holds more than the frames in flight, which tickets bound.
    """

    def __init__(self, first: int = 0) -> None:
        self._next = first
        self._waiting: dict[int, T] = {}

    @property
    def waiting(self) -> int:
        """Items held back because an earlier one is missing."""
        return len(self._waiting)

    def is_over(self, seq: int) -> bool:
        """Whether an item of this number has been given out."""
        return seq < self._next

    def push(self, seq: int, item: T) -> list[T]:
        """Add an item. Returns those that are now in order; one that came before, in whatever form, is discarded."""
        if self.is_over(seq):
            return []
        self._waiting.setdefault(seq, item)
        ready = []
        while self._next in self._waiting:
            ready.append(self._waiting.pop(self._next))
            self._next += 1
        return ready
