"""What a video says of its pixels: what of it is used, and the sentences about what is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext

from streamseg.video.container import StreamFacts
from streamseg.video.files.stills import note_on_transparency
from streamseg.video.orientation import Orientation

# FFmpeg's numbers of transfer functions (ISO/IEC 23091-2).
_HDR = {16: "PQ", 18: "HLG"}
_DEEP_BITS = 16
_DEEP_FORMATS = frozenset({"gray16le", "rgb48le", "bgr48le", "gbrp16le"})
"""Of these the bits that are in use are taken. Others have colors that scaling by bits would change."""


def pixel_aspect(facts: StreamFacts, codec: VideoCodecContext, orientation: Orientation) -> Fraction:
    """Width of a pixel of the upright pictures by its height; 1 if neither the container nor the codec says it."""
    said = facts.pixel_aspect or codec.sample_aspect_ratio
    if not said or said <= 0:
        return Fraction(1)
    return 1 / Fraction(said) if orientation.transpose else Fraction(said)


def notes_on_pixels(frame: av.VideoFrame, shown: str) -> Iterator[str]:
    """What the first frame says that is not used, one sentence each."""
    hdr = _HDR.get(int(frame.color_trc))
    if hdr is not None:
        yield f"{shown} is HDR ({hdr}): its colors are taken without tone mapping, so pictures look flat"
    kinds = frame.format.components
    if any(kind.is_alpha for kind in kinds) and frame.to_ndarray(format="rgba")[..., 3].min() < 255:
        yield note_on_transparency(shown)
    if frame.format.name not in _DEEP_FORMATS and (largest := _largest(frame, only_first=True)) is not None:
        bits = bits_in_use(largest)
        if bits < _DEEP_BITS:
            yield (
                f"{shown} has pixels of 16 bits, of which its first frame uses {bits}: pictures are dark; "
                f"scale them to 16 bits before"
            )


class Depth:
    """How many bits of the 16 of gray and RGB pixels are in use: as many as any picture so far has used.

    Args:
        shown: the source.
        note: called with a sentence when that changes.
    """

    def __init__(self, shown: str, note: Callable[[str], None]) -> None:
        self._shown = shown
        self._note = note
        self._bits = 0

    def look(self, frame: av.VideoFrame, index: int) -> int:
        """Look at the next picture. Returns 8, 10, 12, 14 or 16; 16 also for pixels of other kinds."""
        if frame.format.name not in _DEEP_FORMATS or self._bits == _DEEP_BITS:
            return _DEEP_BITS
        largest = _largest(frame)
        bits = max(self._bits, bits_in_use(largest)) if largest else self._bits
        if bits != self._bits:
            if bits < _DEEP_BITS or self._bits:
                self._note(
                    f"{self._shown} has pixels of 16 bits and uses {bits} of them from picture {index} on: "
                    f"0 to {(1 << bits) - 1} is taken for black to white"
                )
            self._bits = bits
        # Of a black picture there is no telling.
        return self._bits or _DEEP_BITS


def _largest(frame: av.VideoFrame, *, only_first: bool = False) -> int | None:
    """The largest value in the planes of a picture of 16 bits; None for other pictures."""
    kinds = frame.format.components
    if frame.format.is_big_endian or not kinds or kinds[0].bits != _DEEP_BITS:
        return None
    largest = 0
    for number, plane in enumerate(frame.planes[: 1 if only_first else None]):
        rows = np.frombuffer(memoryview(plane), np.uint16).reshape(plane.height, -1)
        values = plane.width * sum(kind.plane == number for kind in kinds)
        largest = max(largest, int(rows[:, :values].max()))
    return largest


def bits_in_use(largest: int) -> int:
    """How many of 16 bits pixels use whose largest value is this: 8, 10, 12, 14 or 16."""
    return next(bits for bits in (8, 10, 12, 14, 16) if largest < 1 << bits)


def to_eight_bits(image: np.ndarray, bits: int) -> np.ndarray:
    """Pixels of so many bits as uint8: their upper 8 bits. Larger values are cut to white; uint8 is left alone."""
    if image.dtype == np.uint8:
        return image
    return np.asarray(np.minimum(image >> (bits - 8), 255), np.uint8)
