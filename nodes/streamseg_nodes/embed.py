"""embed: the image encoder. Features of the whole frame, or of the regions where the objects were last."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import numpy as np

from streamseg.errors import GraphError
from streamseg.masks import roi
from streamseg.masks.boxes import clip, from_center_size
from streamseg.messages import Crops, Detected, Embedded, Frame, Regions, View
from streamseg.node import Node, Option
from streamseg.sam.automatic_masks import generate_crops
from streamseg.sam.checkpoints import weights_of
from streamseg.sam.embedding_cache import CachedEncoder, EmbeddingCache
from streamseg.sam.engines import LIGHT, Precision
from streamseg.sam.models import FOCUS_STEP, find
from streamseg.types import Box, Region
from streamseg_nodes.model_config import ModelConfig
from streamseg_nodes.propagate.admission import new_in

_SAME_TIME_S = 0.0005
"""Half of the last digit that times are written with."""


class Picture(NamedTuple):
    """A part of the frame to encode."""

    region: Box
    size: tuple[int, int]
    """(height, width) of the picture made of it."""
    object_id: int | None
    detection: int | None = None
    crop_layer: int = 0

    def of(self, frame: Frame) -> np.ndarray:
        """(height, width, 3) uint8 RGB, ready for the encoder."""
        return roi.sample(frame.image_rgb, self.region, self.size)


class Early(NamedTuple):
    """What was encoded of a frame before it was known where to look in it."""

    seq: int
    features: dict[tuple[Box, tuple[int, int]], np.ndarray]
    """By region and size of the picture."""


_NOTHING_EARLY = Early(-1, {})


class Embed(Node[Frame, Embedded]):
    """Run a model's image encoder over frames.

    Without *focus* every frame is encoded as a whole, in batches. With it, each object's surroundings are encoded at
    the model's full resolution, in one batch a frame, once `Regions` of the frame before have come.
    """

    class Config(ModelConfig, frozen=True):
        """Options of embed."""

        focus: Annotated[
            Literal["auto", "on", "off"],
            Option("look closely where objects were; auto: if a back-edge of the graph says where", flag="--focus"),
        ] = "auto"
        batch: Annotated[
            int,
            msgspec.Meta(ge=1, le=1024),
            Option("frames encoded together; only without focus", flag="--batch", metavar="N", rare=True),
        ] = 1
        crop: Annotated[
            float,
            msgspec.Meta(ge=1, le=16),
            Option("focus: side of the square that is encoded, in longer sides of the object's box"),
        ] = 1.4
        views: Annotated[
            int,
            msgspec.Meta(ge=1),
            Option(
                "focus: pixels encoded a frame, in views of full size; of more objects each is encoded at a lower "
                "resolution, if the model can: more is sharper and slower",
                flag="--views",
                metavar="N",
                rare=True,
            ),
        ] = 3
        precision: Annotated[
            Precision,
            Option(
                "what torch computes the encoder in; auto: bf16 on CUDA, f32 elsewhere; bf16 on a CPU is for SAM's own "
                "models, where the processor has bfloat16: quicker, and a little less exact",
                flag="--precision",
                rare=True,
            ),
        ] = "auto"
        cache: Annotated[
            str | None,
            Option(
                "a folder that keeps embeddings, so that a later run encodes the same pictures no second time; most is "
                "gained with focus off, where every frame is seen as a whole",
                flag="--cache",
                metavar="DIR",
                rare=True,
            ),
        ] = None
        cache_mb: Annotated[int, msgspec.Meta(ge=1), Option("most that the folder may hold, in MiB")] = 4096
        cache_memory_mb: Annotated[
            int, msgspec.Meta(ge=0), Option("most embeddings that are kept in memory as well, in MiB")
        ] = 0

    takes_feedback = Regions
    replicable = True
    keeps_frames = True

    @classmethod
    def depends_on(cls, config: Config) -> dict[str, Any]:
        """The weights."""
        return {"weights": weights_of(config.model, config.checkpoint)}

    @property
    def batch(self) -> int:
        """How many frames are encoded together."""
        return 1 if self._focus else int(self.config.batch)

    @classmethod
    def threads_wanted(cls, config: Config) -> Literal["one", "all"]:
        """The bundled model is so light that threads wait for each other longer than they work (benchmarks/), and while
        one frame is encoded propagate is at work on the one before."""
        return "one" if find(config.model).light else "all"

    def setup(self) -> None:
        """Load the encoder."""
        from streamseg.sam.loading import load_encoder

        self._focus = self.config.focus == "on" or (self.config.focus == "auto" and self.context.has_feedback)
        if self._focus and not self.context.has_feedback:
            raise GraphError(
                f"node {self.context.name!r} has focus: on, but no back-edge tells it where the objects are; add "
                f"'feedback: [propagate -> {self.context.name}]' to the graph, or use focus: off"
            )
        checkpoint = None if self.config.checkpoint is None else Path(self.config.checkpoint)
        encoder = load_encoder(
            self.config.model,
            checkpoint=checkpoint,
            device=self.config.device,
            engine=self.config.engine,
            threads=self.context.threads,
            precision=self.config.precision,
        )
        self._cache: EmbeddingCache | None = None
        if self.config.cache is not None or self.config.cache_memory_mb:
            folder = None if self.config.cache is None else Path(self.config.cache).expanduser()
            self._cache = EmbeddingCache(self.config.cache_memory_mb << 20, folder, self.config.cache_mb << 20)
        self._encoder = encoder if self._cache is None else CachedEncoder(encoder, self._cache)
        self._last: dict[str, Regions] = {}
        self._early: dict[str, Early] = {}
        self._closest_px: dict[str, int] = {}
        """Stream -> side of the pictures of its objects in its last frame."""

    def describe(self) -> dict[str, Any]:
        """The model, its checksum, where and in what it runs, and how it looks."""
        return {
            "model": self._encoder.info.name,
            "sha256": self._encoder.sha256,
            "device": self._encoder.device,
            "engine": self._encoder.engine,
            "precision": self._encoder.precision,
            "focus": self._focus,
            **({} if self._cache is None else {"cached": self._cache.hits, "encoded": self._cache.misses}),
        }

    def on_feedback(self, message: Regions) -> None:
        """Where the objects were in some frame."""
        self._last[message.stream] = message

    def ready(self, message: Frame) -> bool:
        """With focus, only once it is known where the objects were in the frame before."""
        last = self._last.get(message.stamp.stream)
        return not self._focus or (last is not None and last.seq >= message.stamp.seq - 1)

    def process(self, message: Frame) -> Embedded:
        """Encode one frame."""
        return self.process_batch([message])[0]

    def process_batch(self, messages: Sequence[Frame]) -> list[Embedded]:
        """Encode several frames in one go."""
        pictures = [self._pictures(message) for message in messages]
        known = [self._encoded_early(message) for message in messages]
        missing = [
            part.of(message)
            for message, parts, early in zip(messages, pictures, known, strict=True)
            for part in parts
            if (part.region, part.size) not in early
        ]
        made = iter(self._encoder.encode(missing))
        embedded = []
        for message, parts, early in zip(messages, pictures, known, strict=True):
            found = [early.get((part.region, part.size)) for part in parts]
            views = [
                self._view(message, part, next(made) if features is None else features)
                for part, features in zip(parts, found, strict=True)
            ]
            embedded.append(Embedded(message, views, self._encoder.info.name))
        return embedded

    def work_ahead(self, message: Frame) -> bool:
        """Encode what propagate will probably want, while it is still busy with the frame before.

        If it then wants something else, that is encoded as if there had been nothing: it alone says where to look.
        """
        stream, seq = message.stamp.stream, message.stamp.seq
        last = self._last.get(stream)
        # Of other engines it is not known that a picture is encoded alike whatever is encoded with it.
        if self._encoder.engine not in LIGHT or last is None or last.seq != seq - 2:
            return False
        if self._early.get(stream, _NOTHING_EARLY).seq == seq:
            return False
        height, width = message.image_rgb.shape[:2]
        side_px = self._closest_px.get(stream, self._encoder.info.focus_size)
        squares = {square for region in last.ahead for square in self._squares(region, width, height)}
        pictures = [Picture(square, (side_px, side_px), None) for square in squares if square is not None]
        features = self._encoder.encode([picture.of(message) for picture in pictures])
        made = {(picture.region, picture.size): each for picture, each in zip(pictures, features, strict=True)}
        self._early[stream] = Early(seq, made)
        return bool(pictures)

    def _encoded_early(self, frame: Frame) -> dict[tuple[Box, tuple[int, int]], np.ndarray]:
        early = self._early.pop(frame.stamp.stream, _NOTHING_EARLY)
        return early.features if early.seq == frame.stamp.seq else {}

    def prepare(self, frame: Frame) -> None:
        """Encode a frame as a whole, and as `overview` does, for the cache: somebody may point at something in it."""
        self._encoder.encode([self._whole(frame, side).of(frame) for side in self._whole_sides])

    def overview(self, frame: Frame) -> Embedded | None:
        """The whole frame in one view that is answered quickest; None if the model has no smaller ones."""
        if len(self._whole_sides) == 1:
            return None
        picture = self._whole(frame, self._whole_sides[-1])
        (features,) = self._encoder.encode([picture.of(frame)])
        return Embedded(frame, [self._view(frame, picture, features)], self._encoder.info.name)

    def finish(self, stream: str) -> None:
        """Forget the stream."""
        self._last.pop(stream, None)
        self._early.pop(stream, None)
        self._closest_px.pop(stream, None)

    def _view(self, frame: Frame, picture: Picture, features: np.ndarray) -> View:
        kept = self.context.empty(frame.stamp, features.shape, features.dtype)
        np.copyto(kept, features)
        return View(picture.region, picture.size, kept, picture.object_id, picture.detection, picture.crop_layer)

    def _pictures(self, frame: Frame) -> list[Picture]:
        """What to encode of a frame: the parts asked for; the whole, once, where a part will not do."""
        last = self._last.get(frame.stamp.stream) if self._focus else None
        height, width = frame.image_rgb.shape[:2]
        asked = [] if last is None else last.regions
        regions = [region for region in asked if _is_due(region.from_s, frame.stamp.pts_s)]
        squares: list[tuple[Box | None, int | None, int | None]] = [
            (square, region.object_id, None) for region in regions for square in self._squares(region, width, height)
        ]
        squares += [(square, None, number) for number, square in self._detected(frame, last, width, height)]
        # Those for which the whole frame is seen count, too, so that the others keep their size from frame to frame.
        things = {(object_id, number) for _, object_id, number in squares}
        side_px = self._closest_px[frame.stamp.stream] = self._side_px(len(things))
        parts = [
            Picture(square, (side_px, side_px), object_id, number)
            for square, object_id, number in squares
            if square is not None
        ]
        if len(parts) < len(squares) or not parts:
            parts.append(self._whole(frame, self._encoder.info.whole_size))
        return parts + self._crops(frame, None if last is None else last.crops)

    @property
    def _whole_sides(self) -> list[int]:
        """In which sizes the whole frame can be seen, the usual one first."""
        info = self._encoder.info
        return [info.whole_size] if info.focus_size >= info.whole_size else [info.whole_size, info.focus_size]

    @staticmethod
    def _whole(frame: Frame, side_px: int) -> Picture:
        height, width = frame.image_rgb.shape[:2]
        region = roi.whole(width, height)
        return Picture(region, roi.fit(width, height, side_px), None)

    def _crops(self, frame: Frame, crops: Crops | None) -> list[Picture]:
        """The crops of a frame that are asked for, each at the resolution of one object's view."""
        if crops is None or not _is_due(crops.from_s, frame.stamp.pts_s):
            return []
        height, width = frame.image_rgb.shape[:2]
        parts = []
        for crop in generate_crops(width, height, crops.layers, crops.overlap_ratio):
            x0, y0, x1, y1 = crop.box_xyxy
            size = roi.fit(x1 - x0, y1 - y0, self._encoder.info.focus_size)
            square = (float(x0), float(y0), float(x1), float(y1))
            parts.append(Picture(square, size, None, crop_layer=crop.layer))
        return parts

    def _side_px(self, count: int) -> int:
        """Side of the picture of each of so many objects: smaller if there are more than the budget is for."""
        info = self._encoder.info
        if info.least_focus_size == info.focus_size or count <= self.config.views:
            return info.focus_size
        side_px = int(info.focus_size * (self.config.views / count) ** 0.5)
        return max(info.least_focus_size, side_px - side_px % FOCUS_STEP)

    def _detected(self, frame: Frame, last: Regions | None, width: int, height: int) -> list[tuple[int, Box]]:
        """Squares to encode for what a detector found and propagate will want, with the number of each detection."""
        if last is None or last.wanted is None or not isinstance(frame, Detected):
            return []
        found = frame.detections or []
        boxes = [(number, clip(found[number].box_xyxy, width, height)) for number in new_in(frame, last.wanted)]
        return [(number, roi.focus_region(box, self.config.crop)) for number, box in boxes if box is not None]

    def _squares(self, region: Region, width: int, height: int) -> list[Box | None]:
        """Squares of a frame of `width` x `height` to encode for a region; None is the whole frame."""
        if region.scales:
            return [_scaled(region.box_xyxy, scale, width, height) for scale in region.scales]
        inside = clip(region.box_xyxy, width, height)
        if inside is None:
            return [None]
        square = roi.focus_region(inside, self.config.crop)
        # Of a square twice as large as the frame most would be filling.
        return [None if square[2] - square[0] > 2 * max(width, height) else square]


def _is_due(from_s: float | None, pts_s: float | None) -> bool:
    return from_s is None or (pts_s is not None and from_s <= pts_s + _SAME_TIME_S)


def _scaled(box: Box, scale: float, width: int, height: int) -> Box | None:
    """A square of `scale` times the frame's longer side round the middle of `box`, moved into the frame."""
    side = round(scale * max(width, height))
    middle_x, middle_y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    if scale >= 1 or side < 1 or not (0 <= middle_x <= width and 0 <= middle_y <= height):
        return None
    x0, y0, _, _ = from_center_size(middle_x, middle_y, side, side)
    left = float(round(min(max(x0, 0), max(width - side, 0))))
    top = float(round(min(max(y0, 0), max(height - side, 0))))
    return (left, top, left + side, top + side)
