"""The objects alone, or their surroundings changed."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import cv2
import msgspec
import numpy as np

from streamseg.errors import UsageError
from streamseg.formats.clip import Clip, ClipFrame, need_masks
from streamseg.formats.files.encoder import Encoder
from streamseg.formats.files.images import write_png
from streamseg.formats.format import Format, FormatConfig, Option
from streamseg.video.writing.writer import VideoWriter

Soft = Annotated[
    float, msgspec.Meta(ge=0, le=50), Option("how soft the edge of the objects is, in pixels", metavar="PX")
]
_MOST_BLUR_PX = 500


def alpha_of(ids: np.ndarray, soften_px: float) -> np.ndarray:
    """(H, W) uint8: 255 where an object is, with a soft edge of about so many pixels.

    Args:
        ids: (H, W); 0 is background.
        soften_px: 0 for a hard edge.
    """
    alpha = (ids > 0).astype(np.uint8) * 255
    return np.asarray(cv2.GaussianBlur(alpha, (0, 0), soften_px / 2)) if soften_px else alpha


_PRORES_STEP_PX = 16
"""In pictures whose width is no multiple of this FFmpeg's encoder writes pieces of the alpha wrong."""


class Cutout(Format):
    """The objects on nothing: PNG, WebM (VP9) or ProRes 4444, with alpha."""

    class Config(FormatConfig, frozen=True):
        """Options of cut-outs."""

        container: Annotated[
            Literal["png", "webm", "mov"],
            Option("png: a picture a frame, exact; webm: VP9; mov: ProRes 4444, or QuickTime Animation"),
        ] = "png"
        objects: Annotated[
            Literal["together", "each"], Option("all in one, or each on its own, in files called by its id")
        ] = "together"
        soften_px: Soft = 0.0

    holds = "pictures and masks"
    read_by = "browsers (WebM), Final Cut, Premiere, DaVinci Resolve, Blender"

    def write(self, clip: Clip, folder: Path) -> None:
        """Write ``NAME/00000.png``, ``NAME.webm`` or ``NAME.mov``."""
        need_masks(clip, "cut-outs")
        each = self.config.objects == "each"
        with contextlib.ExitStack() as stack:
            writers = {
                object_id: self._writer(stack, clip, folder, f"{clip.name}-{object_id}" if each else clip.name)
                for object_id in (clip.objects if each else [0])
            }
            for frame, image_rgb in clip.with_pictures():
                ids = frame.ids(clip.size)
                for object_id, write in writers.items():
                    alpha = alpha_of(ids == object_id if each else ids, self.config.soften_px)
                    # What cannot be seen would cost space.
                    shown = np.where(alpha[..., None] > 0, image_rgb, 0)
                    write(frame, np.dstack([shown, alpha]).astype(np.uint8))

    def _writer(
        self, stack: contextlib.ExitStack, clip: Clip, folder: Path, name: str
    ) -> Callable[[ClipFrame, np.ndarray], None]:
        kind = self.config.container
        if kind == "png":
            return lambda frame, image: write_png(folder / name / f"{frame.position:05d}.png", image)
        codec, stored, options = {
            "webm": ("libvpx-vp9", "yuva420p", {"crf": "18", "b": "0", "auto-alt-ref": "0", "cpu-used": "4"}),
            "mov": ("prores_ks", "yuva444p10le", {"profile": "4444", "alpha_bits": "16"}),
        }[kind]
        if kind == "mov" and clip.size[1] % _PRORES_STEP_PX:
            codec, stored, options = "qtrle", "argb", {}
        path = folder / f"{name}.{kind}"
        encoder = stack.enter_context(
            Encoder(path, codec, clip.size, clip.fps, pixels="rgba", stored=stored, options=options)
        )
        return lambda frame, image: encoder.write(image, frame.pts_s)


class Background(Format):
    """The video with what is not an object blurred, gray, or of one color (NAME.mp4)."""

    class Config(FormatConfig, frozen=True):
        """Options of backgrounds."""

        effect: Annotated[Literal["blur", "gray", "color"], Option("what becomes of the background")] = "blur"
        invert: Annotated[bool, Option("the objects instead: to make faces or plates unrecognizable")] = False
        blur_px: Annotated[
            float, msgspec.Meta(gt=0, le=_MOST_BLUR_PX), Option("how far the blur reaches, in pixels", metavar="PX")
        ] = 20.0
        color: Annotated[str, Option("with the effect color: RRGGBB", metavar="RRGGBB")] = "000000"
        soften_px: Soft = 3.0

    holds = "pictures, with the masks at work in them"
    read_by = "every player"

    def write(self, clip: Clip, folder: Path) -> None:
        """Write ``NAME.mp4``."""
        need_masks(clip, "a background")
        config = self.config
        found = re.fullmatch(r"#?([0-9a-fA-F]{6})", config.color)
        if found is None:
            raise UsageError(f"expected a color as RRGGBB, such as 00ff00, got {config.color!r}")
        color = np.frombuffer(bytes.fromhex(found[1]), np.uint8)
        height, width = clip.size
        with VideoWriter(folder / f"{clip.name}.mp4", width, height, rate_hint=clip.fps, crf=18) as writer:
            for frame, image_rgb in clip.with_pictures():
                changed = self._changed(image_rgb, color)
                alpha = alpha_of(frame.ids(clip.size), config.soften_px)[..., None] / np.float32(255)
                if config.invert:
                    alpha = 1 - alpha
                mixed = image_rgb * alpha + changed * (1 - alpha)
                writer.write(np.rint(mixed).astype(np.uint8), frame.pts_s)

    def _changed(self, image_rgb: np.ndarray, color: np.ndarray) -> np.ndarray:
        if self.config.effect == "color":
            return np.broadcast_to(color, image_rgb.shape)
        if self.config.effect == "gray":
            return np.asarray(cv2.cvtColor(image_rgb, cv2.COLOR_RGB2GRAY))[..., None]
        return np.asarray(cv2.GaussianBlur(image_rgb, (0, 0), self.config.blur_px / 2))
