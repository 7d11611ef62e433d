"""Which program computes a model's two halves, and what it has to offer for that. No torch here."""

from __future__ import annotations

import contextlib
import importlib
import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Literal, Protocol, get_args

import numpy as np

from streamseg import extras
from streamseg.errors import DeviceError, ModelError, UsageError, nearest
from streamseg.sam.engines import packaged_graphs
from streamseg.sam.engines.openvino_package import import_openvino
from streamseg.sam.models import ModelInfo, check_installed

Engine = Literal["auto", "openvino", "onnxruntime", "torch"]
"""auto: for a model with a packaged graph, on the CPU: OpenVINO if it is installed, else ONNX Runtime; all else runs
in torch."""

Precision = Literal["auto", "f32", "bf16"]
"""What torch computes an encoder in; auto: bfloat16 on CUDA, float32 elsewhere. Other engines choose by themselves."""

LIGHT = ("openvino", "onnxruntime")
"""Those that run packaged graphs, on the CPU and without torch; the quickest first."""

# Where it has been measured to be the quicker one.
_OPENVINO_MACHINES = ("x86_64", "amd64")

# What a Linux machine has if torch could find a GPU: NVIDIA's driver (also in a container, in WSL, on a Jetson), AMD's.
_GPU_FILES = ("/dev/nvidiactl", "/dev/dxg", "/dev/nvmap", "/dev/kfd")


class EncoderEngine(Protocol):
    """Runs an image encoder."""

    name: str
    """``torch``, ``onnxruntime`` or ``openvino``; an engine of others may have another."""
    precision: str
    """What it computes in: ``f32`` or ``bf16``."""
    device: str
    """As torch names it: ``cpu``, ``cuda:N`` or ``mps``."""

    def guard(self, advice: str) -> contextlib.AbstractContextManager[None]:
        """Turn running out of memory inside the block into a `DeviceError` that ends with `advice`."""

    def encode(self, images_rgb: np.ndarray) -> np.ndarray:
        """(B, h, w, 3) uint8 of the size the network wants -> (B, C, grid, grid) float32."""


class DecoderEngine(Protocol):
    """Runs a prompt encoder and mask decoder."""

    name: str
    precision: str
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
    """The engine (not ``auto``) and the device, as torch names it, for what was asked for.

    Raises:
        UsageError: no such engine.
        ModelError: the engine, or what the model needs, is not installed; or the engine cannot run this model.
        DeviceError: no such device, or not one that the engine can use.
    """
    check_installed(info)
    if engine in LIGHT:
        _check_light(info, engine, device)
        return engine, "cpu"
    if engine not in ("auto", "torch"):
        raise UsageError(f"there is no engine {engine!r}; {nearest(engine, get_args(Engine))}")
    light = quickest() if engine == "auto" and packaged_graphs.find(info) is not None else None
    if light is not None and (device == "cpu" or (device == "auto" and not may_have_gpu())):
        return light, "cpu"
    what = "engine 'torch'" if engine == "torch" else f"model {info.name!r}"
    extras.check_torch(what if light is None else f"device {device!r}")
    from streamseg.sam import devices

    chosen = devices.resolve(device)
    return (light if light is not None and chosen == "cpu" else "torch"), chosen


def quickest() -> str | None:
    """Which of `LIGHT` runs packaged graphs if nobody says which; None if none is installed."""
    fit = [name for name in LIGHT if name != "openvino" or platform.machine().lower() in _OPENVINO_MACHINES]
    return next((name for name in fit if is_installed(name)), None)


def is_installed(engine: str) -> bool:
    """Whether an engine of `LIGHT` can be imported."""
    try:
        if engine == "openvino":
            import_openvino()
        else:
            importlib.import_module(engine)
    except ImportError:
        return False
    return True


def default_threads() -> int:
    """As many threads as torch would take: what the environment says, or the cores that may be used."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    if said.isdecimal() and int(said) > 0:
        return int(said)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def may_have_gpu() -> bool:
    """Whether it is worth asking torch, which takes seconds to import, for a GPU."""
    if extras.missing_for_torch():
        return False
    if sys.platform != "linux":
        return True
    with contextlib.suppress(metadata.PackageNotFoundError):
        if metadata.version("torch").endswith("+cpu"):
            return False
    return any(Path(name).exists() for name in _GPU_FILES)


def has_bfloat16() -> bool:
    """Whether this processor says that it computes in bfloat16 and is one that OpenVINO is chosen for; Linux only."""
    if platform.machine().lower() not in _OPENVINO_MACHINES:
        return False
    with contextlib.suppress(OSError):
        words = Path("/proc/cpuinfo").read_text(errors="replace").split()
        return "avx512_bf16" in words or "amx_bf16" in words
    return False


def _check_light(info: ModelInfo, engine: str, device: str) -> None:
    if device not in ("auto", "cpu"):
        raise DeviceError(f"engine {engine!r} runs on the CPU, not on {device!r}; use engine torch, or device cpu")
    if packaged_graphs.find(info) is None:
        able = ", ".join(packaged_graphs.names())
        raise ModelError(f"engine {engine!r} runs {able}, not {info.name!r}; use engine auto or torch")
    if not is_installed(engine):
        command = extras.command("openvino") if engine == "openvino" else "pip install onnxruntime"
        raise ModelError(f"engine {engine!r} needs the package {engine}: {command!r} installs it; or use engine auto")
