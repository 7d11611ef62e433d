"""ONNX graphs that come with the package: what a model computes, without its weights. No torch here.

The weights are bound to a graph when it is opened, from the same checkpoint that torch reads; so there is one file of
weights, and a user's own works too. `streamseg.sam.exporting` makes the graphs.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

import msgspec

from streamseg.sam.models import ModelInfo

FOLDER = Path(__file__).parents[1] / "graphs"
WEIGHTS_LOCATION = "weights"
"""Where the graphs say their weights are. There is no such file."""

Half = Literal["encoder", "decoder"]
Part = Literal["encoder", "decoder", "matcher"]


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


def names(folder: Path = FOLDER) -> list[str]:
    """The models that have graphs."""
    return sorted(path.stem for path in folder.glob("*.json"))


@lru_cache(maxsize=8)
def find(info: ModelInfo) -> PackagedGraphs | None:
    """The graphs of a model; None if it has none."""
    try:
        content = facts_path(info.name).read_bytes()
    except FileNotFoundError:
        return None
    return msgspec.json.decode(content, type=PackagedGraphs)
