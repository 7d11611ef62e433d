"""Packages that only some doors need: which extra of streamseg has them, and what to say where one is missing.

Torch is one of them, with what goes with it: it comes with streamseg, but robots and containers may leave it out.
"""

from __future__ import annotations

import importlib
import importlib.util
import shlex
from importlib import metadata
from types import ModuleType

from streamseg.errors import ModelError, UsageError

EXTRAS: dict[str, tuple[str, ...]] = {
    "page": ("starlette", "uvicorn", "websockets"),
    "bags": ("lz4", "mcap", "mcap_protobuf", "rosbags", "zstandard"),
    "rerun": ("rerun",),
    "dora": ("dora", "pyarrow"),
    "ros2": ("cyclonedds", "rosbags"),
    "metrics": ("prometheus_client", "rich"),
    "export": ("onnx",),
    "openvino": ("openvino",),
    "text": ("transformers",),
    "ray": ("ray",),
    "cloud": ("fsspec",),
    "formats": ("matplotlib", "pyarrow", "supervision"),
}
"""Extra -> what it brings, by the names of the modules."""

TORCH = {"torch": "torch", "torchvision": "torchvision", "segment_anything": "segment-anything"}
"""Module -> package: what SAM's own checkpoints, GPUs, training and exporting take, and `tiny` on a CPU does not."""

TORCH_COMMAND = f"pip install {' '.join(TORCH.values())}"
"""What installs these."""


def load(module: str, extra: str, purpose: str) -> ModuleType:
    """A module of a package that an extra brings.

    Args:
        module: its full name.
        extra: one of `EXTRAS`.
        purpose: what it is needed for, say ``to read bags``.

    Raises:
        UsageError: it is not installed, or does not load; says the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(
            f"expected the package {module.partition('.')[0]!r} {purpose}, got: {error}; {command(extra)} installs it"
        ) from error


def command(extra: str) -> str:
    """What installs an extra; where there is no torch, without bringing it."""
    if not missing_for_torch():
        return f"pip install 'streamseg[{extra}]'"
    needs = (each.partition(";") for each in metadata.requires("streamseg") or ())
    wanted = [need.strip() for need, _, marker in needs if f"extra == '{extra}'" in marker.replace('"', "'")]
    return f"pip install {shlex.join(wanted)}"


def missing_for_torch() -> list[str]:
    """The packages of `TORCH` that are not installed."""
    return [package for module, package in TORCH.items() if importlib.util.find_spec(module) is None]


def check_torch(purpose: str) -> None:
    """Nothing if all of `TORCH` is installed.

    Args:
        purpose: what it is needed for, as the beginning of a sentence, say ``model 'vit_b'``.

    Raises:
        ModelError: something is missing; says the command that installs it.
    """
    missing = missing_for_torch()
    if missing:
        raise ModelError(f"{purpose} needs {', '.join(missing)}, not installed here; {TORCH_COMMAND!r} installs it")
