"""Small pictures of a whole run: an animation, or a contact sheet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import cv2
import msgspec
import numpy as np
from PIL import Image

from streamseg.formats.clip import Clip, ClipFrame, need_masks
from streamseg.formats.files.images import write_png
from streamseg.formats.files.json_file import writing
from streamseg.formats.format import Format, FormatConfig, Option
from streamseg.masks.contact_sheet import contact_sheet
from streamseg.masks.overlay import draw

Alpha = Annotated[
    float, msgspec.Meta(ge=0, le=1), Option("how much of an object's color covers the picture", metavar="F")
]
Width = Annotated[int, msgspec.Meta(ge=16, le=16384), Option("in pixels", metavar="PX")]


def drawn(clip: Clip, frame: ClipFrame, image_rgb: np.ndarray, alpha: float) -> np.ndarray:
    """(H, W, 3) uint8, RGB: the picture of a frame with its masks over it."""
    labels = np.zeros(clip.size, np.uint16)
    for number, shape in enumerate(frame.shapes, 1):
        if shape.is_there:
            shape.paint(labels, number)
    ids = [shape.id for shape in frame.shapes]
    names, states = [clip.objects[each] for each in ids], [shape.state for shape in frame.shapes]
    return draw(image_rgb, labels, ids, names, states, alpha)


def spread(clip: Clip, count: int) -> set[int]:
    """So many positions of frames, evenly over a clip, first and last included."""
    return set(np.linspace(0, clip.length - 1, min(count, clip.length)).round().astype(int).tolist())


class Preview(Format):
    """An animation with the masks over the pictures (NAME.gif or NAME.webp)."""

    class Config(FormatConfig, frozen=True):
        """Options of previews."""

        animation: Annotated[Literal["webp", "gif"], Option("webp has more colors, gif is shown everywhere")] = "webp"
        width: Width = 480
        preview_fps: Annotated[
            float, msgspec.Meta(gt=0, le=50), Option("frames a second of the animation", metavar="N")
        ] = 10.0
        most_frames: Annotated[
            int, msgspec.Meta(ge=1, le=2000), Option("a longer clip is shown faster", metavar="N")
        ] = 200
        alpha: Alpha = 0.5

    holds = "pictures with masks drawn in"
    read_by = "browsers, chats, README files"

    def write(self, clip: Clip, folder: Path) -> None:
        """Write ``NAME.webp`` or ``NAME.gif``."""
        need_masks(clip, "a preview")
        config = self.config
        step = max(1, round(clip.fps / config.preview_fps), -(-clip.length // config.most_frames))
        if clip.length > step * config.most_frames or step > max(1, round(clip.fps / config.preview_fps)):
            self.note(f"the preview shows every {step}th frame at {config.preview_fps:g} frames a second: it is faster")
        images = self._images(clip, step)
        path = folder / f"{clip.name}.{config.animation}"
        settings = {"quality": 80} if config.animation == "webp" else {"optimize": False}
        with writing(path):
            next(images).save(
                path,
                save_all=True,
                append_images=images,
                duration=round(1000 / config.preview_fps),
                loop=0,
                **settings,
            )

    def _images(self, clip: Clip, step: int) -> Iterator[Image.Image]:
        height, width = clip.size
        size = (self.config.width, max(1, round(height * self.config.width / width)))
        for frame, image_rgb in clip.with_pictures():
            if frame.position % step == 0:
                small = cv2.resize(drawn(clip, frame, image_rgb, self.config.alpha), size, interpolation=cv2.INTER_AREA)
                yield Image.fromarray(small)


class ContactSheet(Format):
    """Pictures from all over the clip on one sheet, with the masks over them (NAME.png)."""

    class Config(FormatConfig, frozen=True):
        """Options of contact sheets."""

        count: Annotated[int, msgspec.Meta(ge=1, le=400), Option("how many pictures", metavar="N")] = 12
        columns: Annotated[int, msgspec.Meta(ge=1, le=40), Option("how many in a row", metavar="N")] = 4
        width: Width = 1600
        alpha: Alpha = 0.5

    holds = "pictures with masks drawn in"
    read_by = "people"

    def write(self, clip: Clip, folder: Path) -> None:
        """Write ``NAME.png``."""
        need_masks(clip, "a contact sheet")
        config, wanted = self.config, spread(clip, self.config.count)
        cell = -(-config.width // config.columns)
        images = []
        for frame, image_rgb in clip.with_pictures():
            if frame.position in wanted:
                image = drawn(clip, frame, image_rgb, config.alpha)
                height = max(1, round(image.shape[0] * cell / image.shape[1]))
                # Small at once: the sheet may be of many.
                small = cell < image.shape[1]
                images.append(
                    np.asarray(cv2.resize(image, (cell, height), interpolation=cv2.INTER_AREA)) if small else image
                )
        write_png(folder / f"{clip.name}.png", contact_sheet(images, config.columns, config.width))
