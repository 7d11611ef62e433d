"""Episodes side by side: one look of each makes up a batch, and a finished one is replaced by the next."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, Future

import numpy as np

from streamseg.training.episodes import Episode, EpisodeState
from streamseg.training.scene_sampler import World
from streamseg.training.tasks import Task


class Slots:
    """As many episodes as a batch is large.

    Slot i of n runs the episodes i, i + n, i + 2n, …, so what is in it does not depend on the other slots, nor on
    which thread gets there first.

    Args:
        world: draws the scenes.
        seed: of the run.
        numbers: of the first episode in each slot.
        stride: from a slot's episode to its next one.
        gone_share: of episodes whose object vanishes.
        executor: makes the pictures.
    """

    def __init__(
        self,
        world: World,
        seed: int,
        numbers: Sequence[int],
        stride: int,
        gone_share: float,
        executor: Executor,
    ) -> None:
        self._world, self._seed, self._stride, self._gone_share = world, seed, stride, gone_share
        self._executor = executor
        self._episodes: list[Episode | None] = [None] * len(numbers)
        self._states = [EpisodeState(number) for number in numbers]
        self._looks: list[Future[Task]] | None = None

    def prepare(self) -> None:
        """Begin to make the pictures of the next batch."""
        if self._looks is None:
            self._looks = [self._executor.submit(self._look, slot) for slot in range(len(self._states))]

    def tasks(self) -> list[Task]:
        """The next batch, the same until `learn`."""
        self.prepare()
        return [look.result() for look in self._looks or []]

    def learn(self, tasks: Sequence[Task], answers: Sequence[tuple[np.ndarray, float]], pooled: np.ndarray) -> None:
        """Take the model's answers.

        Args:
            tasks: what was asked.
            answers: (MASK_PX, MASK_PX) float32 logits and their IoU each.
            pooled: (N, C, T, T) float16, the features of the views at half their resolution.
        """
        self._looks = None
        for slot, (task, (logits, iou), features) in enumerate(zip(tasks, answers, pooled, strict=True)):
            episode = self._episodes[slot]
            if episode is not None:
                episode.learn(task, logits, iou, features)
                self._states[slot] = episode.state
                if episode.done:
                    self._states[slot] = EpisodeState(episode.state.number + self._stride)
                    self._episodes[slot] = None

    @property
    def states(self) -> list[EpisodeState]:
        """Of every slot. An episode that has not begun is at moment 0 without a belief, and begins in the same way."""
        return list(self._states)

    def restore(self, states: Sequence[EpisodeState]) -> None:
        """Go on from what `states` gave."""
        self._looks = None
        self._states = list(states)
        self._episodes = [None] * len(self._states)

    def moments(self) -> list[int]:
        """How far each slot's episode is."""
        return [state.moment for state in self._states]

    def _look(self, slot: int) -> Task:
        episode = self._episodes[slot]
        while episode is None:
            state = self._states[slot]
            begun = Episode(self._world, self._seed, state.number, self._gone_share)
            if begun.usable:
                if state.moment:
                    begun.state = state
                episode = self._episodes[slot] = begun
                self._states[slot] = begun.state
            else:
                self._states[slot] = EpisodeState(state.number + self._stride)
        return episode.look()
