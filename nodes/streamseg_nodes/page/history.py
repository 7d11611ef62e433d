"""What has been found in the frames of a file so far: masks, states of the tracker, and which of it still holds."""

from __future__ import annotations

import zlib

import msgspec
import numpy as np

from streamseg.messages import Frame, ObjectResult, Segmented

_RECENT = 400
_EVERY = 16
"""Of states that are not among the last ones, so many are let go for one that is kept."""


class Found(msgspec.Struct):
    """In one frame."""

    objects: list[ObjectResult]
    packed: bytes
    """(H, W) uint16 labels, deflated."""
    shape: tuple[int, int]
    tracker: bytes | None
    """Its state after the frame; None where it was let go."""
    stale: bool = False
    """Whether something before it was changed since."""

    @property
    def labels(self) -> np.ndarray:
        """(H, W) uint16."""
        return np.frombuffer(zlib.decompress(self.packed), np.uint16).reshape(self.shape)


class History:
    """By number of the frame."""

    def __init__(self) -> None:
        self._found: dict[int, Found] = {}
        self._recent: list[int] = []

    def __len__(self) -> int:
        return len(self._found)

    def get(self, index: int) -> Found | None:
        """What was found in a frame, if it was looked at."""
        return self._found.get(index)

    def put(self, index: int, result: Segmented) -> Found:
        """Keep what was found in a frame."""
        height, width = result.labels.shape
        packed = zlib.compress(np.ascontiguousarray(result.labels).data, 1)
        found = Found(list(result.objects), packed, (height, width), bytes(result.tracker))
        self._found[index] = found
        self._recent.append(index)
        if len(self._recent) > _RECENT:
            old = self._recent.pop(0)
            if old % _EVERY and old in self._found and old not in self._recent:
                self._found[old].tracker = None
        return found

    def change(self, index: int) -> None:
        """What comes after a frame holds no longer."""
        for number, found in self._found.items():
            if number > index:
                found.stale = True

    def forget(self) -> None:
        """Nothing is known of any frame."""
        self._found.clear()
        self._recent.clear()

    def holds(self, index: int) -> bool:
        """Whether what was found in a frame is still true."""
        found = self._found.get(index)
        return found is not None and not found.stale

    def first_open(self, start: int) -> int:
        """The first frame from `start` on of which nothing that holds is known."""
        while self.holds(start):
            start += 1
        return start

    def state_before(self, index: int) -> tuple[int, bytes | None]:
        """The nearest state before a frame that follows on from there without a hole.

        Returns:
            The first frame that comes after that state, and the state; (index, None) if there is none.
        """
        before = self._found.get(index - 1)
        if before is not None and before.stale:
            # Not what it will be, but better than nothing at all.
            return index, before.tracker
        at = index - 1
        while self.holds(at):
            tracker = self._found[at].tracker
            if tracker is not None:
                return at + 1, tracker
            at -= 1
        return index, None

    def message(self, frame: Frame) -> Segmented:
        """What is known of a frame, as a node gives it: no objects if nothing is."""
        found = self._found.get(frame.stamp.index)
        if found is None:
            height, width = frame.image_rgb.shape[:2]
            return Segmented(frame, [], np.zeros((height, width), np.uint16))
        return Segmented(frame, found.objects, found.labels)

    def bands(self) -> list[tuple[int, list[tuple[int, int, str]]]]:
        """For each object its runs of one state: first frame, last frame, state; lower case if it holds no longer."""
        bands: dict[int, list[tuple[int, int, str]]] = {}
        for index in sorted(self._found):
            found = self._found[index]
            for each in found.objects:
                state = each.state.lower() if found.stale else each.state
                runs = bands.setdefault(each.id, [])
                if runs and runs[-1][1] == index - 1 and runs[-1][2] == state:
                    runs[-1] = (runs[-1][0], index, state)
                else:
                    runs.append((index, index, state))
        return sorted(bands.items())
