"""Which program computes a model's two halves, and what it has to offer for that. No torch here."""

from __future__ import annotations

import contextlib
import importlib
import sys
from importlib import metadata
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from streamseg.errors import DeviceError, ModelError, UsageError, nearest
from streamseg.sam import packaged_graphs
from streamseg.sam.models import MODELS, ModelInfo

Engine = Literal["auto", "torch", "onnxruntime"]
"""auto: ONNX Runtime for a model that has a packaged graph, on the CPU; else torch."""

# What a Linux machine has if torch could find a GPU: NVIDIA's driver (also in a container, in WSL, on a Jetson), AMD's.
_GPU_FILES = ("/dev/nvidiactl", "/dev/dxg", "/dev/nvmap", "/dev/kfd")


class EncoderEngine(Protocol):
    """Runs an image encoder."""

    name: str
    """``torch`` or ``onnxruntime``."""
    device: str
    """As torch names it: ``cpu``, ``cuda:N`` or ``mps``."""

    def guard(self, advice: str) -> contextlib.AbstractContextManager[None]:
        """Turn running out of memory inside the block into a `DeviceError` that ends with `advice`."""

    def encode(self, images_rgb: np.ndarray) -> np.ndarray:
        """(B, h, w, 3) uint8 of the size the network wants -> (B, C, grid, grid) float32."""


class DecoderEngine(Protocol):
    """Runs a prompt encoder and mask decoder."""

    name: str
    device: str

    def guard(self, advice: str) -> contextlib.AbstractContextManager[None]:
        """Turn running out of memory inside the block into a `DeviceError` that ends with `advice`."""

    def prompts_per_call(self, grid: int) -> int:
        """How many prompts to ask at once at most, where features are (C, grid, grid)."""

    def decode(
        self,
        features: np.ndarray,
        points_xy: np.ndarray,
        point_labels: np.ndarray,
        mask_input: np.ndarray | None,
        wanted: slice,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Masks for N prompts of one shape.

        Args:
            features: (1, C, h, w) for all prompts, or (N, C, h, w); float32.
            points_xy: (N, K, 2) float32 in pixels of the resized picture.
            point_labels: (N, K) int64, see `streamseg.prompts.decoder`.
            mask_input: (N, 1, 4h, 4w) float32 logits, or None.
            wanted: which of the four masks.

        Returns:
            logits (N, M, 4h, 4w) float32, scores (N, M) float32.
        """


def choose(info: ModelInfo, engine: str, device: str) -> tuple[str, str]:
    """The engine (``torch`` or ``onnxruntime``) and the device, as torch names it, for what was asked for.

    Raises:
        UsageError: no such engine.
        ModelError: the engine is not installed, or cannot run this model.
        DeviceError: no such device, or not one that the engine can use.
    """
    if engine == "onnxruntime":
        _check_onnxruntime(info, device)
        return engine, "cpu"
    if engine not in ("auto", "torch"):
        raise UsageError(f"there is no engine {engine!r}; {nearest(engine, ('auto', 'torch', 'onnxruntime'))}")
    light = engine == "auto" and packaged_graphs.find(info) is not None and is_installed()
    if light and (device == "cpu" or (device == "auto" and not may_have_gpu())):
        return "onnxruntime", "cpu"
    from streamseg.sam import devices

    chosen = devices.resolve(device)
    return ("onnxruntime" if light and chosen == "cpu" else "torch"), chosen


def is_installed() -> bool:
    """Whether ONNX Runtime can be imported."""
    try:
        importlib.import_module("onnxruntime")
    except ImportError:
        return False
    return True


def may_have_gpu() -> bool:
    """Whether it is worth asking torch, which takes seconds to import, for a GPU."""
    if sys.platform != "linux":
        return True
    with contextlib.suppress(metadata.PackageNotFoundError):
        if metadata.version("torch").endswith("+cpu"):
            return False
    return any(Path(name).exists() for name in _GPU_FILES)


def _check_onnxruntime(info: ModelInfo, device: str) -> None:
    if device not in ("auto", "cpu"):
        raise DeviceError(f"engine 'onnxruntime' runs on the CPU, not on {device!r}; use engine torch, or device cpu")
    if packaged_graphs.find(info) is None:
        able = ", ".join(name for name, each in MODELS.items() if packaged_graphs.find(each) is not None)
        raise ModelError(f"engine 'onnxruntime' runs {able}, not {info.name!r}; use engine auto or torch")
    if not is_installed():
        raise ModelError(
            "engine 'onnxruntime' needs the package onnxruntime: 'pip install onnxruntime', or use engine torch"
        )
