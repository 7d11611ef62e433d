"""A wide validation: many short films followed from boxes; means over groups of them, with intervals, and honesty.

The figures of one film are those of DAVIS: J and F over all frames but the first, which was given. How far a mean may
be off is found by drawing films anew with replacement (the bootstrap, Efron 1979), all films of one origin together,
since a sequence and the same one backward are not two experiences.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from streamseg.evaluation.films import Film
from streamseg.evaluation.metrics import boundary_accuracy, region_similarity
from streamseg.graph import config, registry
from streamseg.masks.boxes import box_of_mask
from streamseg.messages import Frame, Segmented, Stamp
from streamseg.node import NodeContext
from streamseg.prompts.model import ObjectPrompt

BAD, GOOD = 0.5, 0.7
"""IoU below which a mask should be doubted, and from which on it should not."""
_LEAST_PX = 150
"""Objects of which less is to be seen in the first frame are not followed."""
_DRAWS = 2000


class FollowedObject(msgspec.Struct, frozen=True):
    """One object of one film, a value for each frame after the first."""

    film: str
    group: str
    origin: str
    object_id: int
    j: list[float]
    f: list[float]
    states: str
    """A letter a frame, as the states begin: T, U, L, R."""
    visible: list[bool]
    """Whether there was anything of it to be seen."""

    @property
    def key(self) -> str:
        """Film and object, in one."""
        return f"{self.film}.{self.object_id}"

    @property
    def j_and_f(self) -> float:
        """The mean of J and F."""
        return float(np.mean([self.j, self.f]))

    @property
    def bad(self) -> np.ndarray:
        """(frames,) bool: the mask is wrong, or there is none although the object is there, or the other way round."""
        return np.asarray(self.j) < BAD

    @property
    def good(self) -> np.ndarray:
        """(frames,) bool: the object is there, and the mask right."""
        return np.asarray((np.asarray(self.j) >= GOOD) & np.asarray(self.visible))

    @property
    def believed(self) -> np.ndarray:
        """(frames,) bool: the state is TRACKED or REACQUIRED."""
        return np.asarray(np.isin(list(self.states), ["T", "R"]))


class Estimate(NamedTuple):
    """A figure, and between what it lies in 95 of 100 drawings of the films."""

    value: float
    low: float
    high: float

    def text(self, factor: float = 100.0, *, signed: bool = False) -> str:
        """As in "70.8 (68.1 to 73.2)"."""
        form = "{:+.1f}" if signed else "{:.1f}"
        value, low, high = (form.format(factor * each) for each in self)
        return f"{value} ({low} to {high})"


class FilmFollower:
    """The embed, propagate and cleanup nodes on one film after the other, with the model loaded once.

    Args:
        embed: options of the embed node.
        propagate: options of the propagate node, without prompts.
    """

    def __init__(self, embed: dict[str, Any], propagate: dict[str, Any]) -> None:
        self._embed = _node("embed", embed, NodeContext("embed", streams=["film"], has_feedback=True))
        context = NodeContext("propagate", streams=["film"], feedback=self._embed.on_feedback, has_feedback=True)
        self._propagate = _node("propagate", {**propagate, "prompts": []}, context)
        self._cleanup = _node("cleanup", {}, NodeContext("cleanup", streams=["film"]))

    def follow(self, film: Film, watch: Callable[[int, Segmented], None] | None = None) -> list[FollowedObject]:
        """Follow the objects of a film from their boxes in the first frame; none if too little is to be seen of them.

        Args:
            film: the film.
            watch: told the number of each frame, and what was found in it.
        """
        masks = {i: mask for i, mask in film.masks(0).items() if np.count_nonzero(mask) >= _LEAST_PX}
        prompts = [{"id": i, "box": list(box_of_mask(mask) or ())} for i, mask in masks.items()]
        if not prompts:
            return []
        self._propagate.begin([msgspec.convert(prompt, ObjectPrompt) for prompt in prompts])
        found = {i: FollowedObject(film.name, film.group, film.origin, i, [], [], "", []) for i in masks}
        for index in range(film.frames):
            frame = Frame(Stamp("film", index, index, None, (1, 25), 0, 0, 1), film.picture(index))
            segmented = self._cleanup.process(self._propagate.process(self._embed.process(frame)))
            if watch is not None:
                watch(index, segmented)
            if index:
                truth = film.masks(index)
                for position, its in enumerate(segmented.objects):
                    found[its.id] = _with_frame(found[its.id], truth[its.id], segmented.mask(position), its.state)
        return list(found.values())

    def close(self) -> None:
        """Let go of the nodes."""
        for node in (self._cleanup, self._propagate, self._embed):
            node.close()


def _with_frame(found: FollowedObject, truth: np.ndarray, mask: np.ndarray, state: str) -> FollowedObject:
    return msgspec.structs.replace(
        found,
        j=[*found.j, region_similarity(truth, mask)],
        f=[*found.f, float(boundary_accuracy(truth, mask))],
        states=found.states + state[0],
        visible=[*found.visible, bool(truth.any())],
    )


def _node(use: str, options: dict[str, Any], context: NodeContext) -> Any:
    kind = registry.load(use)
    node = kind(config.options_of(kind.Config, options, use), context)
    node.setup()
    return node


def mean_j_and_f(followed: Sequence[FollowedObject]) -> Estimate:
    """J&F, each object counting the same."""
    values = np.array([each.j_and_f for each in followed])
    return _ratio(followed, values, np.ones(len(values)))


def mean_gain(followed: Sequence[FollowedObject], others: Sequence[FollowedObject]) -> Estimate:
    """How much better J&F is than in another run over the same films; objects that only one has are left out."""
    by_key = {each.key: each.j_and_f for each in others}
    both = [each for each in followed if each.key in by_key]
    return _ratio(both, np.array([each.j_and_f - by_key[each.key] for each in both]), np.ones(len(both)))


def share_believed(followed: Sequence[FollowedObject]) -> Estimate:
    """Of the frames whose mask has an IoU below 0.5, how many are called TRACKED or REACQUIRED: better few."""
    bad = np.array([np.count_nonzero(each.bad) for each in followed], float)
    believed = np.array([np.count_nonzero(each.bad & each.believed) for each in followed], float)
    return _ratio(followed, believed, bad)


def share_doubted(followed: Sequence[FollowedObject]) -> Estimate:
    """Of the frames whose mask has an IoU of at least 0.7, how many are doubted: better few."""
    good = np.array([np.count_nonzero(each.good) for each in followed], float)
    doubted = np.array([np.count_nonzero(each.good & ~each.believed) for each in followed], float)
    return _ratio(followed, doubted, good)


def groups(followed: Sequence[FollowedObject]) -> Iterator[tuple[str, list[FollowedObject]]]:
    """By group, and then all of them."""
    names = sorted({each.group for each in followed})
    for name in names:
        yield name, [each for each in followed if each.group == name]
    if len(names) > 1:
        yield "all", list(followed)


def _ratio(followed: Sequence[FollowedObject], numerators: np.ndarray, denominators: np.ndarray) -> Estimate:
    """The sum of the numerators by that of the denominators, with its interval; nan where there is nothing."""
    origins = sorted({each.origin for each in followed})
    if not origins or not denominators.sum():
        return Estimate(float("nan"), float("nan"), float("nan"))
    position = {origin: k for k, origin in enumerate(origins)}
    which = np.array([position[each.origin] for each in followed])
    above = np.bincount(which, numerators, len(origins))
    below = np.bincount(which, denominators, len(origins))
    drawn = np.random.default_rng(0).integers(len(origins), size=(_DRAWS, len(origins)))
    sums = below[drawn].sum(1)
    ratios = above[drawn].sum(1)[sums > 0] / sums[sums > 0]
    low, high = np.percentile(ratios, (2.5, 97.5))
    return Estimate(float(above.sum() / below.sum()), float(low), float(high))
