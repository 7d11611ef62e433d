"""Plain types that every room shares."""

from __future__ import annotations

from typing import Literal

import msgspec

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels, right and bottom edges exclusive."""

ObjectState = Literal["TRACKED", "UNCERTAIN", "LOST", "REACQUIRED"]
"""What is known of an object in a frame; LOST has an empty mask."""

SourceState = Literal["lost", "reconnecting", "back"]
"""What becomes of a live source."""

CaptureClock = Literal["arrival", "sender", "recording", "reading"]
"""Which clock says when a picture was taken.

``arrival``
    This machine's, when the picture came.
``sender``
    That of whoever sent it, who said so in a header: RTP's sender reports, a stamp in a message. It may be wrong.
``recording``
    Whichever clock a recording has its stamps from; when the picture came here says nothing then.
``reading``
    This machine's, when the picture was read from a file: it says nothing of when it was taken.
"""

MASK_URL = "data:image/png;base64,"
"""How a prompt has the picture of a mask in it, in the place of a path (RFC 2397)."""


class Region(msgspec.Struct, frozen=True):
    """Where to look for one object."""

    box_xyxy: Box
    object_id: int | None = None
    scales: tuple[float, ...] = ()
    """If any: look at squares of these fractions of the frame's longer side round the middle of the box instead, and
    at the whole frame for 1. For when nobody knows how large the object is (one click) or where it is (lost)."""
    from_s: float | None = None
    """Look only if the frame's presentation time is this or later; None for any frame."""
