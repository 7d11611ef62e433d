"""``tracks.jsonl``: what became of each object in each frame, one JSON object a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from streamseg.errors import UsageError
from streamseg.types import Box, CaptureClock

_LONGEST_LINE_BYTES = 1 << 20


class CocoMask(msgspec.Struct, frozen=True):
    """A mask as COCO writes it; ``pycocotools.mask.decode`` reads it, and `streamseg.masks.rle`."""

    size: tuple[int, int]
    """(height, width)"""
    counts: str
    """Run lengths, compressed."""


class TrackRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One object in one frame: one line. `label` and `reason` are left out where they are empty."""

    frame: int
    """Number of the frame in the source, from 0; the same as in the name of its mask."""
    pts_s: float | None
    """Presentation time in seconds; None if the source has none."""
    id: int
    box_xyxy: Box | None
    """Tight box round the mask in pixels, right and bottom edges exclusive; None if the mask is empty."""
    area_px: int
    score: float
    """The model's own estimate of the mask's IoU, 0 to 1."""
    state: Literal["TRACKED", "UNCERTAIN", "LOST", "REACQUIRED"]
    label: str = ""
    reason: str = ""
    mask: CocoMask | None = None
    """Only with ``mask_format: rle``; None if it is empty, too."""
    captured_ns: int | None = None
    """When the picture was taken, nanoseconds since the epoch by `captured_clock`; None for those of a file."""
    captured_clock: CaptureClock | None = None
    arrived_ns: int | None = None
    """When the picture came, by this machine's clock, if `captured_ns` is by that of a sender."""


def write_lines(tracks: list[TrackRecord]) -> bytes:
    """The lines of some tracks, each with its end; nothing for no tracks."""
    return msgspec.json.Encoder().encode_lines(tracks)


def read_tracks(path: Path) -> Iterator[TrackRecord]:
    """The tracks in a file, in its order, one line in memory at a time.

    Raises:
        UsageError: a line is not a track; says which.
        OSError: the file cannot be read.
    """
    decoder = msgspec.json.Decoder(TrackRecord)
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE_BYTES + 1), b""), start=1):
            if len(line) > _LONGEST_LINE_BYTES:
                raise UsageError(f"{path}, line {number}: expected a track as record writes it, got a line without end")
            try:
                yield decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise UsageError(f"{path}, line {number}: expected a track as record writes it, got: {error}") from None
