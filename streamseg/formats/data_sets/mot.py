"""MOTChallenge text: a line with a box for each object in each frame."""

from __future__ import annotations

import configparser
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Literal

from streamseg.errors import MediaError, UsageError
from streamseg.formats.clip import Clip, ReadClip, with_images
from streamseg.formats.files.images import write_file, write_jpeg
from streamseg.formats.files.json_file import writing
from streamseg.formats.format import Format, FormatConfig, Images, Option, Quality
from streamseg.formats.shape import Shape

_LABELS = "labels.txt"


class Mot(Format):
    """MOTChallenge text (NAME/gt/gt.txt, seqinfo.ini): boxes, counted from 1."""

    class Config(FormatConfig, frozen=True):
        """Options of MOT."""

        scores: Annotated[
            bool, Option("write det/det.txt, with scores, rather than gt/gt.txt with class and visibility")
        ] = False
        origin: Annotated[
            Literal[0, 1],
            Option("what the top left pixel is: 1 as the benchmark says, 0 as CVAT and many trackers have it"),
        ] = 1
        images: Images = False
        jpeg_quality: Quality = 95

    holds = "boxes, tracks, classes or scores; no masks"
    read_by = "TrackEval, py-motmetrics, CVAT"

    def write(self, clip: Clip, folder: Path) -> None:
        """Write ``NAME/seqinfo.ini``, ``NAME/gt/gt.txt``, and ``NAME/img1/`` if asked for."""
        config, height, width = self.config, *clip.size
        root = folder / clip.name
        write_file(
            root / "seqinfo.ini",
            f"[Sequence]\nname={clip.name}\nimDir=img1\nframeRate={clip.fps:g}\nseqLength={clip.length}\n"
            f"imWidth={width}\nimHeight={height}\nimExt=.jpg\n",
        )
        path = root / ("det/det.txt" if config.scores else "gt/gt.txt")
        write_file(path.with_name(_LABELS), "".join(f"{name}\n" for name in clip.categories))
        with writing(path), path.open("w", encoding="ascii") as file:
            for frame, image_rgb in with_images(clip, images=config.images):
                if image_rgb is not None:
                    write_jpeg(root / "img1" / f"{frame.position + 1:06d}.jpg", image_rgb, config.jpeg_quality)
                for shape in frame.shapes:
                    if shape.is_there and shape.box_xyxy is not None:
                        x0, y0, x1, y1 = shape.box_xyxy
                        box = f"{x0 + config.origin:g},{y0 + config.origin:g},{x1 - x0:g},{y1 - y0:g}"
                        score = 1.0 if shape.score is None else shape.score
                        rest = f"1,{clip.category(shape.id) + 1},1" if not config.scores else f"{score:g},-1,-1,-1"
                        file.write(f"{frame.position + 1},{shape.id},{box},{rest}\n")

    @classmethod
    def read(cls, path: Path, size: tuple[int, int] | None = None) -> Clip:
        """The boxes of a sequence's folder or text file, the top left pixel being 1."""
        found = sorted(path.rglob("gt.txt")) or sorted(path.rglob("det.txt")) if path.is_dir() else [path]
        if len(found) != 1:
            raise UsageError(f"expected one gt.txt or det.txt in {path}, got {len(found)}; name the file")
        info = _info(found[0])
        size = size or (int(info.get("imheight", 0)), int(info.get("imwidth", 0)))
        if not all(size):
            raise UsageError(f"expected to know how large the frames of {path} are; say --size, as in 1280x720")
        names = _names(found[0].with_name(_LABELS))
        shapes: dict[int, list[Shape]] = defaultdict(list)
        objects: dict[int, str] = {}
        try:
            lines = found[0].read_text(encoding="ascii").splitlines()
        except OSError as error:
            raise MediaError(f"{found[0]}: cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise UsageError(f"{found[0]}: expected MOT text, got: {error}") from error
        for number, line in enumerate(lines, 1):
            words = line.split(",")
            try:
                frame, object_id = int(words[0]), int(words[1])
                x, y, w, h = (float(word) for word in words[2:6])
                kind = int(float(words[7])) if len(words) > 7 else -1
            except (ValueError, IndexError) as error:
                raise UsageError(f"{found[0]}, line {number}: expected a line of MOT, got: {error}") from error
            label = names[kind - 1] if 0 < kind <= len(names) else ""
            box = (x - 1, y - 1, x - 1 + w, y - 1 + h)
            shapes[frame - 1].append(Shape(object_id, size, label=label, box_xyxy=box))
            objects[object_id] = label
        return ReadClip(
            info.get("name", found[0].stem),
            size,
            int(info.get("seqlength", 0)),
            shapes,
            objects,
            fps=float(info.get("framerate", 0)) or None,
        )


def _info(path: Path) -> dict[str, str]:
    """What ``seqinfo.ini`` says; nothing without it."""
    file = path.parent.parent / "seqinfo.ini"
    if not file.is_file():
        return {}
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(file.read_text(encoding="utf-8"))
        return dict(parser["Sequence"])
    except (OSError, UnicodeDecodeError, configparser.Error, KeyError) as error:
        raise UsageError(f"{file}: expected [Sequence] with its size, got: {error}") from error


def _names(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
