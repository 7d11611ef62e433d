"""What a video says of its pixels: what of it is used, and the sentences about what is not."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext

from streamseg.video.container import StreamFacts
from streamseg.video.orientation import Orientation
from streamseg.video.stills import note_on_transparency

# FFmpeg's numbers of transfer functions (ISO/IEC 23091-2).
_HDR = {16: "PQ", 18: "HLG"}
_DEEP_BITS = 16


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
    if frame.format.is_big_endian or not kinds or kinds[0].bits != _DEEP_BITS:
        return
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint16).reshape(plane.height, -1)
    bits = bits_in_use(int(rows[:, : plane.width * sum(kind.plane == 0 for kind in kinds)].max()))
    if bits < _DEEP_BITS:
        yield (
            f"{shown} has pixels of 16 bits, of which its first frame uses {bits}: pictures are dark; "
            f"scale them to 16 bits before"
        )


def bits_in_use(largest: int) -> int:
    """How many of 16 bits pixels use whose largest value is this: 8, 10, 12, 14 or 16."""
    return next(bits for bits in (8, 10, 12, 14, 16) if largest < 1 << bits)


def to_eight_bits(image: np.ndarray, bits: int) -> np.ndarray:
    """Pixels of so many bits as uint8: their upper 8 bits. Larger values are cut to white; uint8 is left alone."""
    if image.dtype == np.uint8:
        return image
    return np.asarray(np.minimum(image >> (bits - 8), 255), np.uint8)
