"""On the path of a process before all else: nothing of torch is installed there, nor in processes that it starts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

_MODULES = ("torch", "torchvision", "segment_anything")
_PACKAGES = ("torch", "torchvision", "segment-anything")


class Finder(PathFinder):
    """Finds what is on the path, but these."""

    @classmethod
    def find_spec(cls, fullname: str, *args: Any, **settings: Any) -> ModuleSpec | None:
        """The module; None for those that are hidden."""
        return None if fullname.partition(".")[0] in _MODULES else super().find_spec(fullname, *args, **settings)

    @classmethod
    def find_distributions(cls, *args: Any, **settings: Any) -> Iterator[metadata.Distribution]:
        """The packages without those that are hidden."""
        found = super().find_distributions(*args, **settings)
        return (each for each in found if each.metadata["Name"] not in _PACKAGES)


sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
