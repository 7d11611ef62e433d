"""Prompts for a new run: the masks or boxes of objects, where they are seen first, or in every frame."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import cv2
import numpy as np
import yaml

from streamseg.errors import UsageError
from streamseg.formats.clip import Clip, ClipFrame
from streamseg.formats.files.images import write_file, write_png
from streamseg.formats.format import Format, FormatConfig, Option
from streamseg.formats.shape import Shape
from streamseg.masks.label_map import MAX_ID
from streamseg.types import MASK_URL

Frames = Literal["first", "all"]


class Prompts(Format):
    """Prompts for 'streamseg run --prompts' (prompts.yaml): masks or boxes, to follow objects anew."""

    class Config(FormatConfig, frozen=True):
        """Options of prompts."""

        frames: Annotated[
            Frames, Option("first: where an object is seen first; all: every frame, the later ones as corrections")
        ] = "first"
        prompt: Annotated[Literal["mask", "box"], Option("masks where they are known, or boxes alone")] = "mask"

    holds = "masks or boxes, labels, ids"
    read_by = "'streamseg run --prompts', segment_video"

    def write(self, clip: Clip, folder: Path) -> None:
        """Write ``prompts.yaml``, and ``masks/`` beside it."""
        entries = []
        for frame, shape, entry in pointed(clip, self.config.frames):
            if shape.has_mask and self.config.prompt == "mask":
                name = f"masks/{shape.id}-{frame.index:05d}.png"
                write_png(folder / name, shape.mask.astype(np.uint8) * 255)
                entries.append({**entry, "mask": name})
            else:
                entries.append({**entry, "box": list(shape.box_xyxy or ())})
        text = yaml.safe_dump(entries, sort_keys=False, allow_unicode=True, default_flow_style=None)
        write_file(folder / "prompts.yaml", text)


def pointed(clip: Clip, frames: Frames) -> Iterator[tuple[ClipFrame, Shape, dict[str, Any]]]:
    """Frame, object, and what of a prompt is the same for masks and boxes.

    Raises:
        UsageError: an id is none that an object can have.
    """
    seen: set[int] = set()
    for frame in clip:
        for shape in frame.shapes:
            if not shape.is_there or (frames == "first" and shape.id in seen):
                continue
            if not 1 <= shape.id <= MAX_ID:
                raise UsageError(f"expected ids from 1 to {MAX_ID}, got object {shape.id}; say --renumber")
            entry: dict[str, Any] = {"id": shape.id, "frame": frame.index}
            if shape.id not in seen and clip.objects.get(shape.id):
                entry["label"] = clip.objects[shape.id]
            seen.add(shape.id)
            yield frame, shape, entry


def plain_prompts(clip: Clip, frames: Frames = "first") -> list[dict[str, Any]]:
    """The same as plain data, as `streamseg.segment_video` takes it, with the masks in it.

    Raises:
        UsageError: there is no object, or an id is none that an object can have.
    """
    found = []
    for _, shape, entry in pointed(clip, frames):
        if shape.has_mask:
            png = cv2.imencode(".png", shape.mask.astype(np.uint8) * 255)[1].tobytes()
            found.append({**entry, "mask": MASK_URL + base64.b64encode(png).decode("ascii")})
        else:
            found.append({**entry, "box": list(shape.box_xyxy or ())})
    if not found:
        raise UsageError(f"expected objects in {clip.name}, there are none to be followed")
    return found
