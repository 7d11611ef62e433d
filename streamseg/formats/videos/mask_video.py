"""A video of the masks, lossless."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from streamseg.formats.clip import Clip, need_masks
from streamseg.formats.files.encoder import Encoder
from streamseg.formats.format import Format, FormatConfig, Option
from streamseg.masks.overlay import color_of


class MaskVideo(Format):
    """A lossless video of the masks (NAME-masks.mkv): ids, black and white, or colors."""

    class Config(FormatConfig, frozen=True):
        """Options of mask videos."""

        content: Annotated[
            Literal["ids", "matte", "colors"],
            Option(
                "ids: gray values are ids, 16 bits if they need them; matte: white on black; colors: as in overlays"
            ),
        ] = "ids"
        codec: Annotated[Literal["ffv1", "h264"], Option("ffv1; or h264, lossless too, which more players know")] = (
            "ffv1"
        )

    holds = "masks, tracks; no labels"
    read_by = "FFmpeg, OpenCV (8 bits), editors"

    @property
    def largest_id(self) -> int | None:
        """H.264 has no 16 bits."""
        return 255 if self.config.content == "ids" and self.config.codec == "h264" else None

    def write(self, clip: Clip, folder: Path) -> None:
        """Write ``NAME-masks.mkv``."""
        need_masks(clip, "a video of masks")
        content, codec = self.config.content, self.config.codec
        wide = content == "ids" and max(clip.objects, default=0) > 255
        pixels = "rgb24" if content == "colors" else "gray16le" if wide else "gray"
        stored = {"rgb24": "bgr0" if codec == "ffv1" else "rgb24"}.get(pixels, pixels)
        name = {"ffv1": "ffv1", "h264": "libx264rgb" if content == "colors" else "libx264"}[codec]
        options = {"qp": "0", "preset": "veryfast"} if codec == "h264" else {"level": "3", "slicecrc": "1"}
        colors = np.zeros((max(clip.objects, default=0) + 1, 3), np.uint8)
        for object_id in clip.objects if content == "colors" else ():
            colors[object_id] = color_of(object_id)
        path = folder / f"{clip.name}-masks.mkv"
        with Encoder(path, name, clip.size, clip.fps, pixels=pixels, stored=stored, options=options) as encoder:
            ids = np.zeros(clip.size, np.uint16 if max(clip.objects, default=0) > 255 else np.uint8)
            for frame in clip:
                ids.fill(0)
                frame.ids(clip.size, ids)
                if content == "colors":
                    image = colors[ids]
                elif content == "matte":
                    image = (ids > 0).astype(np.uint8) * 255
                else:
                    image = ids
                encoder.write(image, frame.pts_s)
