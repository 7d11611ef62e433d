"""The clip that is made on the spot, and longer ones of the same packets."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av

from streamseg.benchmarking.clip import FPS, Box, make_clip

__all__ = ["FPS", "Box", "loop_clip", "make_clip"]


def loop_clip(clip: Path, looped: Path, times: int) -> None:
    """Write the same packets `times` over, one after the other; nothing is encoded again."""
    with av.open(str(looped), "w") as output:
        copy = None
        offset = 0
        for _ in range(times):
            with av.open(str(clip)) as source:
                video = source.streams.video[0]
                if copy is None:
                    copy = output.add_stream_from_template(video)
                length = video.duration or 0
                for packet in source.demux(video):
                    if packet.dts is None:
                        continue
                    packet.pts, packet.dts = (packet.pts or 0) + offset, packet.dts + offset
                    packet.stream = copy
                    output.mux(packet)
                offset += length or round(1 / (Fraction(FPS) * (video.time_base or 1)))
