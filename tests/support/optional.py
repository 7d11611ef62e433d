"""A node with an option that no other has, put in the place of one that comes with streamseg."""

from __future__ import annotations

from importlib import metadata
from typing import Annotated

import msgspec
import pytest
from streamseg_nodes.cleanup import Cleanup

from streamseg.graph import registry
from streamseg.node import Option


class Brushed(Cleanup):
    """Cleanup with a brush."""

    class Config(Cleanup.Config, frozen=True):
        """One option more."""

        bristles: Annotated[
            int, msgspec.Meta(ge=1, le=9), Option("hairs of the brush", flag="--bristles", metavar="N")
        ] = 3


class Clashing(Cleanup):
    """Cleanup with a flag that decode has for something else."""

    class Config(Cleanup.Config, frozen=True):
        """One option more."""

        most: Annotated[int, Option("frames to clean", flag="--max-frames")] = 1


def use_as_cleanup(kind: type[Cleanup], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the registry give a node of this module where it is asked for cleanup."""
    points = registry.entry_points()
    mine = metadata.EntryPoint("cleanup", f"{kind.__module__}:{kind.__name__}", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda: {**points, "cleanup": mine})
