"""The models there are: what is known of each, and where its halves are. Imports nothing heavy.

Ours and those of other packages alike come from the entry-point group ``streamseg.models``: the name is the model's,
and what it points at is a `ModelInfo`.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from streamseg.errors import ModelError

GROUP = "streamseg.models"
FOCUS_STEP = 32
"""Sides of focus pictures smaller than `ModelInfo.focus_size` are multiples of this."""


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """A model: the facts of its checkpoint, how it looks at pictures, and what computes its two halves."""

    name: str
    description: str
    url: str | None = None
    """Where the checkpoint can be had; None: nowhere, it is brought along, or each user has one."""
    sha256: str | None = None
    """Of the checkpoint. Without it nothing is downloaded."""
    size_bytes: int | None = None
    file_name: str = ""
    """What the checkpoint is called; empty if each user has one of their own."""
    folder: Path | None = None
    """Where the package that brings the model has its checkpoint; None: that is no part of it."""
    on_request: bool = False
    """Whether the checkpoint is downloaded only by ``streamseg models --get``, not at its first use."""
    whole_size: int
    """Whole frame: long side in pixels of the picture the network sees."""
    focus_size: int
    """Focus: side in pixels of the square picture of one region."""
    least_focus_size: int
    """Focus: the smallest side the network takes, in steps of `FOCUS_STEP`; SAM's own take one size only."""
    closer_size: int | None = None
    """Focus: side of the larger picture of a region in which the first mask of an object is sought too; None if the
    network does not take one."""
    width: int
    """Channels of the features."""
    stride: int
    """Pixels per feature, in each direction; a mask has four values a feature in each direction."""
    stretches: bool = False
    """Whether a picture is stretched to the square it works in; if not, it keeps its shape and is padded."""
    matches: bool = False
    """Whether it can compare a view with earlier views of an object (`streamseg.sam.matching`)."""
    light: bool = False
    """Whether it is so small that several threads would wait for each other longer than they work."""
    encoder: str = "streamseg.sam.engines.torch_engine:TorchEncoder"
    """``package.module:callable`` that makes a `streamseg.sam.engines.EncoderEngine` of (this, the checkpoint's path,
    a device as torch names it). It is imported when it is needed."""
    decoder: str = "streamseg.sam.engines.torch_engine:TorchDecoder"
    """The same for a `streamseg.sam.engines.DecoderEngine`."""
    needs: str | None = None
    """A module that must be installed for it."""
    install: str = ""
    """The command that installs that."""

    @property
    def bundled(self) -> bool:
        """Whether the weights come with a package."""
        return self.folder is not None

    @property
    def missing(self) -> bool:
        """Whether what it needs is not installed."""
        return self.needs is not None and importlib.util.find_spec(self.needs) is None

    def without_focus(self) -> ModelInfo:
        """The same, but no picture is a focus view: a small square one is enlarged like any other."""
        return replace(self, focus_size=self.whole_size, least_focus_size=self.whole_size, closer_size=None)


class Registered(MutableMapping[str, ModelInfo]):
    """Models by name, each imported when it is asked for. What is put in is there in this process alone."""

    def __init__(self) -> None:
        self._points: dict[str, metadata.EntryPoint] | None = None
        self._loaded: dict[str, ModelInfo] = {}

    def __getitem__(self, name: str) -> ModelInfo:
        """The model of that name.

        Raises:
            KeyError: there is none.
            ModelError: its package is broken.
        """
        if name not in self._loaded:
            self._loaded[name] = _load(self.points[name])
        return self._loaded[name]

    def __setitem__(self, name: str, info: ModelInfo) -> None:
        self._loaded[name] = info

    def __delitem__(self, name: str) -> None:
        """Take out what was put in; one that a package declares stays."""
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        """All names; nothing is imported for them."""
        return iter(dict.fromkeys([*self.points, *self._loaded]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    @property
    def points(self) -> dict[str, metadata.EntryPoint]:
        """Where each is declared."""
        if self._points is None:
            self._points = {point.name: point for point in metadata.entry_points(group=GROUP)}
        return self._points


MODELS = Registered()


def find(name: str) -> ModelInfo:
    """The model of that name.

    Raises:
        ModelError: there is none, the message has the nearest valid name; or its package is broken.
    """
    if name in list(MODELS):
        return MODELS[name]
    if not MODELS:
        raise ModelError(f"expected models in the entry points {GROUP!r}, got none; install streamseg again")
    near = difflib.get_close_matches(name, MODELS, n=1, cutoff=0.4)
    guess = f"did you mean {near[0]!r}? " if near else ""
    raise ModelError(f"there is no model {name!r}; {guess}the models are {', '.join(MODELS)}")


def brought_by(name: str) -> str:
    """Name and version of the package that declares a model; empty if that cannot be told."""
    point = MODELS.points.get(name)
    dist = None if point is None else point.dist
    return "" if dist is None else f"{dist.name} {dist.version}"


def check_installed(info: ModelInfo) -> None:
    """See whether the model can be used here.

    Raises:
        ModelError: a package is missing; says how to install it.
    """
    if info.missing:
        raise ModelError(
            f"model {info.name!r} needs the package {info.needs!r}, which is not installed: {info.install} installs it"
        )


def half(info: ModelInfo, path: str) -> Callable[..., Any]:
    """What `ModelInfo.encoder` or `ModelInfo.decoder` names.

    Raises:
        ModelError: it cannot be imported.
    """
    module_name, _, attribute = path.partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise ModelError(f"model {info.name!r}: {path} cannot be imported: {error}; update its package") from error
    return found


def _load(point: metadata.EntryPoint) -> ModelInfo:
    try:
        found = point.load()
    except (Exception, SystemExit) as error:
        said = f"{type(error).__name__}: {error}"
        raise ModelError(
            f"model {point.name!r} ({point.value}) cannot be imported: {said}; update or remove its package"
        ) from error
    if not isinstance(found, ModelInfo) or found.name != point.name:
        raise ModelError(
            f"model {point.name!r}: expected {point.value} to be a streamseg.sam.models.ModelInfo of that name, got "
            f"{getattr(found, 'name', type(found).__name__)!r}; update or remove its package"
        )
    return found
