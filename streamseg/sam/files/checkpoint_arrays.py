"""Weights as numpy reads them, for what computes without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from streamseg import extras
from streamseg.errors import ModelError
from streamseg.sam.checkpoints import check_largest
from streamseg.sam.engines import packaged_graphs
from streamseg.sam.engines.packaged_graphs import Part
from streamseg.sam.models import ModelInfo

# As safetensors names what numpy can read.
_READABLE = ("F16", "F32", "F64", "I64")


def read_arrays(info: ModelInfo, path: Path, part: Part) -> dict[str, np.ndarray]:
    """The weights of one part from a checkpoint, by name, as float32.

    Args:
        info: the model.
        path: a ``.safetensors`` file, or one written by ``torch.save``.
        part: which.

    Raises:
        CheckpointError: the file is damaged, holds code, belongs to another network, or has numbers in it that no
            training gives.
        ModelError: the packaged graphs are missing, or are not those of the network; or the file takes torch to read,
            which is not installed.
    """
    graphs = packaged_graphs.find(info)
    if graphs is None:
        raise ModelError(f"the packaged ONNX graphs of {info.name!r} are missing; reinstall streamseg")
    names: list[str] = getattr(graphs, part)
    found = _read_safetensors(path, graphs.network, names)
    if found is None:
        # Torch can read more than numpy, and says what is wrong if it cannot.
        extras.check_torch(f"checkpoint {path}, not a plain safetensors file of {info.name!r},")
        from streamseg.sam.files.checkpoint_tensors import read_tensors

        tensors = read_tensors(info, path)
        if {name: tuple(value.shape) for name, value in tensors.items()} != graphs.network:
            raise ModelError(f"the packaged ONNX graphs of {info.name!r} are out of date; run 'make graphs'")
        found = {name: tensors[name].numpy() for name in names}
    for name, value in found.items():
        if value.size and value.dtype.kind == "f":
            check_largest(path, name, float(np.abs(value).max()))
    return {name: value.astype(np.float32, copy=False) for name, value in found.items()}


def _read_safetensors(
    path: Path, network: Mapping[str, tuple[int, ...]], names: list[str]
) -> dict[str, np.ndarray] | None:
    """None if the file is anything but a plain checkpoint of that network."""
    if path.suffix != ".safetensors":
        return None
    try:
        with safe_open(path, framework="np") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
            shapes = {name: tuple(each.get_shape()) for name, each in slices.items()}
            if shapes != network or any(each.get_dtype() not in _READABLE for each in slices.values()):
                return None
            return {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError):
        return None
