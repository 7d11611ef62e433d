"""All of a run in one file, from which it goes on as if it had never stopped.

It is a safetensors file: weights, their running mean and the optimizer's state as tensors, the beliefs of the episodes
in progress too; the rest as JSON in its metadata. It holds no code, and appears under its name only once complete.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from streamseg.errors import CheckpointError, OutputError
from streamseg.regular_files import open_own
from streamseg.training.recipe import Recipe
from streamseg.training.tasks.episodes import Belief, EpisodeState
from streamseg.training.tasks.task import Template

_KEY, _FORMAT = "streamseg", 2
_LOGITS, _FEATURES, _COVERED = "episode.{}.logits", "episode.{}.features.{}", "episode.{}.covered.{}"


@dataclass(frozen=True, eq=False)
class RunState:
    """Where a run is."""

    recipe: Recipe
    step: int
    """Steps that are done."""
    tensors: dict[str, torch.Tensor]
    """On the CPU."""
    episodes: list[list[EpisodeState]]
    """For each group of slots."""


class _Belief(msgspec.Struct, frozen=True):
    box: tuple[float, float, float, float]
    point_xy: tuple[float, float]
    region: tuple[float, float, float, float]
    templates: int


class _Episode(msgspec.Struct, frozen=True):
    number: int
    moment: int
    gone_from: int | None
    belief: _Belief | None


class _Head(msgspec.Struct, frozen=True):
    format: int
    recipe: Recipe
    step: int
    episodes: list[list[_Episode]]


def write(path: Path, state: RunState) -> None:
    """Write a checkpoint.

    Raises:
        OutputError: it cannot be written.
    """
    flat = [episode for group in state.episodes for episode in group]
    tensors = dict(state.tensors)
    for number, episode in enumerate(flat):
        if episode.belief is not None:
            tensors[_LOGITS.format(number)] = torch.from_numpy(episode.belief.logits)
            for k, template in enumerate(episode.belief.templates):
                tensors[_FEATURES.format(number, k)] = torch.from_numpy(template.features)
                tensors[_COVERED.format(number, k)] = torch.from_numpy(template.covered)
    episodes = [[_head_of(episode) for episode in group] for group in state.episodes]
    head = _Head(_FORMAT, state.recipe, state.step, episodes)
    write_tensors(path, tensors, {_KEY: msgspec.json.encode(head).decode()})


def read(path: Path) -> RunState:
    """Read a checkpoint.

    Raises:
        CheckpointError: it is not there, damaged, or of another version of streamseg.
    """
    if not path.is_file():
        raise CheckpointError(f"nothing to resume: expected {path}; leave out --resume to begin anew")
    try:
        with safe_open(path, framework="pt") as file:
            head = msgspec.json.decode((file.metadata() or {}).get(_KEY, ""), type=_Head)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
    except (SafetensorError, OSError, msgspec.DecodeError) as error:
        raise CheckpointError(f"{path} is damaged or no checkpoint of a training run: {error}") from error
    if head.format != _FORMAT:
        raise CheckpointError(f"{path} has format {head.format}, this streamseg reads {_FORMAT}; resume with the other")
    numbers = iter(range(sum(map(len, head.episodes))))
    try:
        episodes = [[_episode_of(each, tensors, next(numbers)) for each in group] for group in head.episodes]
    except KeyError as error:
        raise CheckpointError(f"{path} is damaged: it lacks {error}") from error
    return RunState(head.recipe, head.step, tensors, episodes)


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file at once or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with os.fdopen(open_own(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
            file.write(save({name: value.contiguous() for name, value in tensors.items()}, dict(metadata)))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(
            f"expected to write {path}, got: {error.strerror or error}; free space or choose another folder"
        ) from error


def _head_of(episode: EpisodeState) -> _Episode:
    belief = episode.belief
    kept = None if belief is None else _Belief(belief.box, belief.point_xy, belief.region, len(belief.templates))
    return _Episode(episode.number, episode.moment, episode.gone_from, kept)


def _episode_of(head: _Episode, tensors: dict[str, torch.Tensor], number: int) -> EpisodeState:
    belief = None
    if head.belief is not None:
        logits = tensors.pop(_LOGITS.format(number)).numpy()
        templates = tuple(
            Template(tensors.pop(_FEATURES.format(number, k)).numpy(), tensors.pop(_COVERED.format(number, k)).numpy())
            for k in range(head.belief.templates)
        )
        belief = Belief(head.belief.box, head.belief.point_xy, logits, head.belief.region, templates)
    return EpisodeState(head.number, head.moment, head.gone_from, belief)
