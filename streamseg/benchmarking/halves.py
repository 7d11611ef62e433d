"""A model's two halves by themselves: what embed and propagate do with one object in one frame."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from streamseg.benchmarking.figures import Figure, Measured, figures, in_turns
from streamseg.errors import UsageError
from streamseg.masks import roi
from streamseg.prompts.decoder import DecoderPrompt
from streamseg.sam import engines
from streamseg.sam.decoder import MaskDecoder
from streamseg.sam.encoder import ImageEncoder
from streamseg.sam.loading import load_decoder, load_encoder
from streamseg.sam.models import ModelInfo, find
from streamseg.tracking import EncodedView
from streamseg.types import Box


class Model(NamedTuple):
    """Which model is measured, and how."""

    name: str = "tiny"
    checkpoint: Path | None = None
    device: str = "auto"
    engines: Sequence[str] = ()
    """Those that take turns; empty: all that are installed and fit, but torch only where nothing else does."""
    threads: int | None = None


class OneObject:
    """One object in frames of one size, seen as embed and propagate see it.

    Args:
        info: the model.
        frame_size: (height, width) in pixels.
        box: round the object.
        focus: whether the view is the region round it; else it is the whole frame.
    """

    def __init__(self, info: ModelInfo, frame_size: tuple[int, int], box: Box, *, focus: bool) -> None:
        height, width = frame_size
        self.region = roi.focus_region(box) if focus else roi.whole(width, height)
        self.view_size = (info.focus_size,) * 2 if focus else roi.fit(width, height, info.whole_size)
        self._frame_size = frame_size
        corners = roi.to_view(np.array(box, float).reshape(2, 2), self.region, self.view_size)
        x0, y0, x1, y1 = corners.ravel().tolist()
        self._prompt = DecoderPrompt((x0, y0, x1, y1))

    def encode(self, encoder: ImageEncoder, image_rgb: np.ndarray) -> np.ndarray:
        """Cut the view out of an (H, W, 3) uint8 frame and encode it: (C, h, w) float32."""
        return encoder.encode([roi.sample(image_rgb, self.region, self.view_size)])[0]

    def decode(self, decoder: MaskDecoder, features: np.ndarray) -> np.ndarray:
        """Ask for the mask and bring it to the frame's resolution: (h, w) float32 logits of the part that was seen."""
        answer = decoder.decode(features, self.view_size, [self._prompt], multimask=False)
        square = EncodedView(self.region, self.view_size, features, None).square
        return roi.paste_logits(answer.logits[0, 0], square, self._frame_size)[0]


def measure_encoder(
    model: Model, images_rgb: Sequence[np.ndarray], box: Box, *, rounds: int, calls: int, warm_up: int
) -> Measured:
    """Milliseconds to cut out and encode the region of an object, and the whole frame.

    Args:
        model: which, and the engines that take turns.
        images_rgb: (H, W, 3) uint8 frames of one size, taken in turn.
        box: round the object.
        rounds: how often each engine has its turn.
        calls: in one turn.
        warm_up: calls before them that are not counted.

    Raises:
        StreamsegError: an engine or the weights cannot be had.
    """
    encoders = {engine: load_encoder(model.name, **_options(model, engine)) for engine in engines_of(model)}
    size = (images_rgb[0].shape[0], images_rgb[0].shape[1])
    told: list[Figure] = []
    for focus in (True, False):
        ways: dict[str, Callable[[], object]] = {}
        for encoder in encoders.values():
            seen = OneObject(encoder.info, size, box, focus=focus)
            # Round and round.
            images = itertools.cycle(images_rgb)
            ways[_title(encoder, seen)] = partial(_encode_next, seen, encoder, images)
        told += figures(in_turns(ways, rounds=rounds, calls=calls, warm_up=warm_up), "ms")
    return Measured(benchmark="encoder", settings=_settings(model, size, encoders), figures=told)


def measure_decoder(
    model: Model, images_rgb: Sequence[np.ndarray], box: Box, *, rounds: int, calls: int, warm_up: int
) -> Measured:
    """Milliseconds from features to one mask of the frame's size; arguments and errors as of `measure_encoder`."""
    halves = {
        engine: (
            load_encoder(model.name, **_options(model, engine)),
            load_decoder(model.name, **_options(model, engine)),
        )
        for engine in engines_of(model)
    }
    size = (images_rgb[0].shape[0], images_rgb[0].shape[1])
    told: list[Figure] = []
    for focus in (True, False):
        ways: dict[str, Callable[[], object]] = {}
        for encoder, decoder in halves.values():
            seen = OneObject(decoder.info, size, box, focus=focus)
            ways[_title(decoder, seen)] = partial(seen.decode, decoder, seen.encode(encoder, images_rgb[0]))
        told += figures(in_turns(ways, rounds=rounds, calls=calls, warm_up=warm_up), "ms")
    decoders = {engine: decoder for engine, (_, decoder) in halves.items()}
    return Measured(benchmark="decoder", settings=_settings(model, size, decoders), figures=told)


def engines_of(model: Model) -> list[str]:
    """The engines that take turns, the one that is compared with first.

    Raises:
        UsageError: one is given twice.
        ModelError: no such model.
    """
    if model.engines:
        if len(set(model.engines)) < len(model.engines):
            raise UsageError(f"expected each engine once, got {', '.join(model.engines)}")
        return list(model.engines)
    info, on_cpu = find(model.name), model.device in ("auto", "cpu")
    light = [name for name in reversed(engines.LIGHT) if engines.is_installed(name)]
    chosen = engines.choose(info, "auto", model.device)[0]
    return light if on_cpu and chosen in light else [chosen]


def _options(model: Model, engine: str) -> dict[str, Any]:
    return {"checkpoint": model.checkpoint, "device": model.device, "engine": engine, "threads": model.threads}


def _encode_next(seen: OneObject, encoder: ImageEncoder, images_rgb: Iterator[np.ndarray]) -> None:
    seen.encode(encoder, next(images_rgb))


def _title(half: ImageEncoder | MaskDecoder, seen: OneObject) -> str:
    height, width = seen.view_size
    return f"{half.engine} {half.precision}, view {width}x{height}"


def _settings(
    model: Model, frame_size: tuple[int, int], halves: Mapping[str, ImageEncoder | MaskDecoder]
) -> dict[str, Any]:
    height, width = frame_size
    return {
        "model": model.name,
        "sha256": next(iter(halves.values())).sha256,
        "device": {engine: half.device for engine, half in halves.items()},
        "engines": list(halves),
        "threads": engines.default_threads() if model.threads is None else model.threads,
        "frame": f"{width}x{height}",
    }
