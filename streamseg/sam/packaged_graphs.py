"""ONNX graphs that come with the package: what a model computes, without its weights. No torch here.

The weights are bound to a graph when it is opened, from the same checkpoint that torch reads; so there is one file of
weights, and a user's own works too. `streamseg.sam.exporting` makes the graphs.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from safetensors import SafetensorError, safe_open

from streamseg.errors import ModelError
from streamseg.sam.checkpoints import check_largest
from streamseg.sam.models import ModelInfo

FOLDER = Path(__file__).parent / "graphs"
WEIGHTS_LOCATION = "weights"
"""Where the graphs say their weights are. There is no such file."""

Half = Literal["encoder", "decoder"]
Part = Literal["encoder", "decoder", "matcher"]

# As safetensors names what numpy can read.
_READABLE = ("F16", "F32", "F64", "I64")


class PackagedGraphs(msgspec.Struct, frozen=True):
    """What is written beside the two graphs of a model."""

    network: dict[str, tuple[int, ...]]
    """Name and shape of every weight in a checkpoint of the model."""
    encoder: list[str]
    """Those that the encoder's graph uses, which names them so too."""
    decoder: list[str]
    matcher: list[str]
    """Those of the part that needs no graph, see `streamseg.sam.matching`; none if the model has no such part."""


def graph_path(name: str, half: Half, folder: Path = FOLDER) -> Path:
    """The file with one half of a model."""
    return folder / f"{name}-{half}.onnx"


def facts_path(name: str, folder: Path = FOLDER) -> Path:
    """The file with the `PackagedGraphs` of a model."""
    return folder / f"{name}.json"


@lru_cache(maxsize=8)
def find(info: ModelInfo) -> PackagedGraphs | None:
    """The graphs of a model; None if it has none."""
    try:
        content = facts_path(info.name).read_bytes()
    except FileNotFoundError:
        return None
    return msgspec.json.decode(content, type=PackagedGraphs)


def read_weights(info: ModelInfo, path: Path, graphs: PackagedGraphs, part: Part) -> dict[str, np.ndarray]:
    """The weights of one part from a checkpoint, as float32.

    Raises:
        CheckpointError: the file is damaged, holds code, belongs to another network, or has numbers in it that no
            training gives.
        ModelError: the graphs are not those of the network.
    """
    names = getattr(graphs, part)
    found = _read_safetensors(path, graphs.network, names)
    if found is None:
        # Torch can read more than numpy, and says what is wrong if it cannot.
        from streamseg.sam.loading import read_arrays

        everything = read_arrays(info, path)
        if {name: value.shape for name, value in everything.items()} != graphs.network:
            raise ModelError(f"the packaged ONNX graphs of {info.name!r} are out of date; run 'make graphs'")
        found = {name: everything[name] for name in names}
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
