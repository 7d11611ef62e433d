"""Which device a network runs on, and what to say when it is missing or full."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from streamseg.errors import DeviceError


def resolve(device: str) -> str:
    """``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps`` -> the name torch knows: ``cpu``, ``cuda:N`` or ``mps``.

    Raises:
        DeviceError: the name is none of these, or this machine has no such device.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return "cuda:0"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    if device == "cpu":
        return device
    if device == "mps":
        if not torch.backends.mps.is_available():
            raise DeviceError("device 'mps' needs an Apple GPU and a torch built for it; use --device cpu or auto")
        return device
    match = re.fullmatch(r"cuda(?::(\d+))?", device)
    if match is None:
        raise DeviceError(f"unknown device {device!r}: expected auto, cpu, cuda, cuda:N or mps")
    return _cuda(device, int(match[1] or 0))


def _cuda(device: str, number: int) -> str:
    if torch.version.cuda is None and torch.version.hip is None:
        raise DeviceError(
            f"device {device!r}: torch {torch.__version__} is built for the CPU only; "
            "install a CUDA build of torch, or use --device cpu"
        )
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if number >= count:
        have = ", ".join(f"cuda:{i}" for i in range(count)) or "none (is the driver installed?)"
        raise DeviceError(f"device {device!r} is not there; CUDA devices here: {have}; --device cpu works everywhere")
    return f"cuda:{number}"


@contextmanager
def memory_guard(device: str, advice: str) -> Iterator[None]:
    """Turn running out of memory inside the block into a `DeviceError` that ends with `advice`."""
    try:
        yield
    except RuntimeError as error:
        if not _is_out_of_memory(error):
            raise
        raise DeviceError(f"out of memory on {device}: {advice}") from error


def _is_out_of_memory(error: RuntimeError) -> bool:
    # Only CUDA has an exception type of its own; MPS and the CPU allocator say it in words.
    text = str(error)
    return (
        isinstance(error, torch.cuda.OutOfMemoryError)
        or "out of memory" in text
        or "DefaultCPUAllocator: can't allocate memory" in text
    )
