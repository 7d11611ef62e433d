"""DAVIS 2016 and 2017: JPEGs, and PNGs whose values are the ids of the objects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from streamseg.errors import MediaError, UsageError
from streamseg.formats.clip import Clip, files_of, need_masks, with_images
from streamseg.formats.files.id_pictures import VOID, clip_of_pictures, read_ids
from streamseg.formats.files.id_writer import IdWriter
from streamseg.formats.files.images import encode_png, write_file, write_jpeg
from streamseg.formats.format import Format, FormatConfig, Option, Quality

_SIZE = "480p"
"""What the folder of a resolution is called, whatever it is: readers ask for this one."""


class Davis(Format):
    """DAVIS 2017 (ids, palette PNG) or 2016 (one object, 0 and 255), with its lists of sequences."""

    class Config(FormatConfig, frozen=True):
        """Options of DAVIS."""

        year: Annotated[Literal[2017, 2016], Option("2016 has one object: all of them together")] = 2017
        subset: Annotated[Literal["val", "train"], Option("which list the sequence stands in")] = "val"
        images: Annotated[bool, Option("write the pictures of the frames too, from the source")] = True
        jpeg_quality: Quality = 95

    holds = "masks, tracks; ids up to 254, no labels"
    read_by = "davis2017-evaluation, most code for video segmentation, 'streamseg eval', 'streamseg train'"

    @property
    def largest_id(self) -> int | None:
        """255 counts for nothing."""
        return VOID - 1 if self.config.year == 2017 else None

    def write(self, clip: Clip, folder: Path) -> None:
        """Write ``JPEGImages/``, ``Annotations/`` and ``ImageSets/``."""
        need_masks(clip, "DAVIS")
        config = self.config
        if config.year == 2016 and len(clip.objects) > 1:
            self.note(f"DAVIS 2016 has one object in a sequence: the {len(clip.objects)} of {clip.name} are one in it")
        if any(clip.objects.values()):
            self.note("DAVIS has no labels: they are left out")
        lines = []
        # Of 16 bits for 2016: there ids of any size become one object.
        with IdWriter(clip.size, np.uint16 if config.year == 2016 else np.uint8) as pictures:
            for frame, image_rgb in with_images(clip, images=config.images):
                image = Path("JPEGImages", _SIZE, clip.name, f"{frame.position:05d}.jpg")
                mask = Path("Annotations", _SIZE, clip.name, f"{frame.position:05d}.png")
                if image_rgb is not None:
                    write_jpeg(folder / image, image_rgb, config.jpeg_quality)
                ids = frame.ids(clip.size, pictures.blank())
                if config.year == 2016:
                    pictures.write(folder / mask, ids, lambda ids: encode_png((ids > 0).astype(np.uint8) * 255))
                    lines.append(f"/{image} /{mask}\n")
                else:
                    pictures.write(folder / mask, ids)
        if config.year == 2016:
            write_file(folder / "ImageSets" / _SIZE / f"{config.subset}.txt", "".join(lines))
        else:
            write_file(folder / "ImageSets" / "2017" / f"{config.subset}.txt", f"{clip.name}\n")

    @classmethod
    def read(cls, path: Path, size: tuple[int, int] | None = None) -> Clip:
        """The masks of a sequence: of a data set that has only one, or of the folder of its PNGs."""
        folder = _sequence(path)
        return clip_of_pictures(folder.name, _pictures(folder))


def _pictures(folder: Path) -> Iterator[tuple[Path, np.ndarray]]:
    for path in files_of(folder, ".png"):
        ids = read_ids(path)
        one = set(np.unique(ids).tolist()) <= {0, VOID}
        yield path, (ids == VOID).astype(np.uint8) if one else np.where(ids == VOID, 0, ids)


def _sequence(path: Path) -> Path:
    if not path.is_dir():
        raise MediaError(f"expected a folder of DAVIS, but {path} is none; name the data set or a folder of PNGs")
    if files_of(path, ".png"):
        return path
    found = sorted({png.parent for png in (path / "Annotations").rglob("*.png")})
    if len(found) != 1:
        names = ", ".join(each.name for each in found) or "none"
        raise UsageError(f"expected one sequence in {path}, got {names}; name the folder of its PNGs")
    return found[0]
