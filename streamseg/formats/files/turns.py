"""How threads of Python that write files share it with the one that draws."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

_TURN_S = 0.0003


@contextlib.contextmanager
def short_turns() -> Iterator[None]:
    """Let threads take turns in Python sooner than every 5 ms, for as long as the block lasts.

    A thread that packs a picture is back in Python for some microseconds after each piece. While another one computes
    there it would wait a whole turn each time, longer than the packing takes.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, _TURN_S))
    try:
        yield
    finally:
        sys.setswitchinterval(before)
