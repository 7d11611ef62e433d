"""Packages that only some doors need: which extra of streamseg has them, and what to say where one is missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from streamseg.errors import UsageError

EXTRAS: dict[str, tuple[str, ...]] = {
    "page": ("starlette", "uvicorn", "websockets"),
    "bags": ("lz4", "mcap", "mcap_protobuf", "rosbags", "zstandard"),
    "rerun": ("rerun",),
    "dora": ("dora", "pyarrow"),
    "ros2": ("cyclonedds", "rosbags"),
    "metrics": ("prometheus_client", "rich"),
    "export": ("onnx",),
    "openvino": ("openvino",),
    "ray": ("ray",),
    "cloud": ("fsspec",),
    "formats": ("matplotlib", "pyarrow", "supervision"),
}
"""Extra -> what it brings, by the names of the modules."""


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
    """What installs an extra."""
    return f"pip install 'streamseg[{extra}]'"
