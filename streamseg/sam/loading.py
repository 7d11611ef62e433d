"""A model's two halves, each by itself, and its matcher: the checkpoint found, the engine chosen, the weights read.

What is loaded is shared: who asks for the same while somebody has it gets that one. Nothing changes in it, so several
threads may use it at once; it is let go of with the last of them.
"""

from __future__ import annotations

import inspect
import os
import weakref
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from streamseg.errors import ModelError
from streamseg.sam import checkpoints, engines
from streamseg.sam.decoder import MaskDecoder
from streamseg.sam.encoder import ImageEncoder
from streamseg.sam.files.checkpoint_arrays import read_arrays
from streamseg.sam.matching import MATCHER, Matching
from streamseg.sam.models import ModelInfo, find, half

Half = TypeVar("Half", ImageEncoder, MaskDecoder, Matching)

_loaded: weakref.WeakValueDictionary[Hashable, Any] = weakref.WeakValueDictionary()


class _Source(NamedTuple):
    """Where a half comes from, and what computes it."""

    info: ModelInfo
    path: Path
    engine: str
    device: str


def load_encoder(
    name: str = "tiny",
    *,
    checkpoint: Path | None = None,
    device: str = "auto",
    engine: str = "auto",
    threads: int | None = None,
    precision: engines.Precision = "auto",
) -> ImageEncoder:
    """Load a model's image encoder, and only that half.

    Args:
        name: one of `streamseg.sam.models.MODELS`; most are downloaded if they are neither bundled nor in the cache.
        checkpoint: the user's own weights for that model.
        device: ``auto``, ``cpu``, ``cuda:N`` or ``mps``.
        engine: see `streamseg.sam.engines`.
        threads: of OpenVINO or ONNX Runtime; None: as many as torch would take. Torch's own are set for the whole
            process.
        precision: see `streamseg.sam.engines`.

    Raises:
        UsageError: no such engine.
        ModelError: no such model, or the engine cannot run it, or not in that precision.
        CheckpointError: the weights cannot be had, are damaged, or do not fit.
        DeviceError: no such device, or out of memory.
    """
    info, path, kind, chosen = _find(name, checkpoint, device, engine)
    if precision != "auto" and kind != "torch":
        raise ModelError(f"engine {kind!r} chooses its precision by itself; leave out precision, or use engine torch")

    def load(sha256: str) -> ImageEncoder:
        loaded: engines.EncoderEngine
        # Only the one that computes is imported: torch takes seconds.
        if kind == "openvino":
            from streamseg.sam.engines.openvino_engine import OpenVinoEncoder

            loaded = OpenVinoEncoder(info, path, threads)
        elif kind == "onnxruntime":
            from streamseg.sam.engines.onnx_engine import OnnxEncoder

            loaded = OnnxEncoder(info, path, threads)
        else:
            make = half(info, info.encoder)
            if precision == "auto":
                loaded = make(info, path, chosen)
            elif "precision" in inspect.signature(make).parameters:
                loaded = make(info, path, chosen, precision=precision)
            else:
                raise ModelError(f"the model {info.name!r} chooses its precision by itself; leave out precision")
        return ImageEncoder(info, loaded, sha256)

    return _shared(load, path, info.name, "encoder", kind, chosen, threads, precision)


def load_decoder(
    name: str = "tiny",
    *,
    checkpoint: Path | None = None,
    device: str = "auto",
    engine: str = "auto",
    threads: int | None = None,
) -> MaskDecoder:
    """Load a model's prompt encoder and mask decoder, and only that half.

    Arguments and errors are those of `load_encoder`; in torch it is computed in float32.
    """
    info, path, kind, chosen = _find(name, checkpoint, device, engine)

    def load(sha256: str) -> MaskDecoder:
        loaded: engines.DecoderEngine
        if kind == "openvino":
            from streamseg.sam.engines.openvino_engine import OpenVinoDecoder

            loaded = OpenVinoDecoder(info, path, threads)
        elif kind == "onnxruntime":
            from streamseg.sam.engines.onnx_engine import OnnxDecoder

            loaded = OnnxDecoder(info, path, threads)
        else:
            loaded = half(info, info.decoder)(info, path, chosen)
        return MaskDecoder(info, loaded, sha256)

    return _shared(load, path, info.name, "decoder", kind, chosen, threads)


def load_matching(name: str = "tiny", *, checkpoint: Path | None = None) -> Matching | None:
    """Load a model's matcher; None for a model that has none, as SAM's own.

    Args:
        name: one of `streamseg.sam.models.MODELS`.
        checkpoint: the user's own weights for that model.

    Raises:
        ModelError: no such model, or the package is incomplete.
        CheckpointError: the weights cannot be had, are damaged, or do not fit.
    """
    info = find(name)
    if not info.matches:
        return None
    path = checkpoints.locate(info, checkpoint)

    def load(sha256: str) -> Matching:
        weights = read_arrays(info, path, "matcher")
        return Matching({key.removeprefix(f"{MATCHER}."): value for key, value in weights.items()})

    return _shared(load, path, info.name, "matcher")


def _shared(load: Callable[[str], Half], path: Path, *what: Hashable) -> Half:
    """What was loaded of these weights and is still in use somewhere in this process; else what is loaded now."""
    sha256 = checkpoints.fingerprint(path)
    # The threads of an engine do not come along into a process that is forked from the one that loaded it.
    key = (os.getpid(), sha256, *what)
    found: Half | None = _loaded.get(key)
    return _loaded.setdefault(key, load(sha256)) if found is None else found


def _find(name: str, checkpoint: Path | None, device: str, engine: str) -> _Source:
    info = find(name)
    kind, chosen = engines.choose(info, engine, device)
    return _Source(info, checkpoints.locate(info, checkpoint), kind, chosen)
