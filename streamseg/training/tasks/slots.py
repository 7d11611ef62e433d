"""Episodes side by side: one view of each makes up a batch, and a finished one is replaced by the next."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, Future

import numpy as np

from streamseg.training.data.scene_sampler import SceneSampler
from streamseg.training.tasks.episodes import Episode, EpisodeState
from streamseg.training.tasks.task import ViewTask


class Slots:
    """As many episodes as a batch is large.

    Slot i of n runs the episodes i, i + n, i + 2n, …, so what is in it does not depend on the other slots, nor on
    which thread gets there first.

    Args:
        sampler: draws the scenes.
        seed: of the run.
        numbers: of the first episode in each slot.
        stride: from a slot's episode to its next one.
        gone_share: of episodes whose object vanishes.
        executor: makes the pictures.
    """

    def __init__(
        self,
        sampler: SceneSampler,
        seed: int,
        numbers: Sequence[int],
        stride: int,
        gone_share: float,
        executor: Executor,
    ) -> None:
        self._sampler, self._seed, self._stride, self._gone_share = sampler, seed, stride, gone_share
        self._executor = executor
        self._episodes: list[Episode | None] = [None] * len(numbers)
        self._states = [EpisodeState(number) for number in numbers]
        self._pending: list[Future[ViewTask]] | None = None

    def prepare(self) -> None:
        """Begin to make the pictures of the next batch."""
        if self._pending is None:
            self._pending = [self._executor.submit(self._next_task, slot) for slot in range(len(self._states))]

    def tasks(self) -> list[ViewTask]:
        """The next batch, the same until `update`."""
        self.prepare()
        return [task.result() for task in self._pending or []]

    def update(
        self, tasks: Sequence[ViewTask], predictions: Sequence[tuple[np.ndarray, float]], pooled: np.ndarray
    ) -> None:
        """Take the model's masks.

        Args:
            tasks: of `tasks`.
            predictions: (MASK_PX, MASK_PX) float32 logits and their IoU each.
            pooled: (N, C, T, T) float16, the features of the views at half their resolution.
        """
        self._pending = None
        for slot, (task, (logits, iou), features) in enumerate(zip(tasks, predictions, pooled, strict=True)):
            episode = self._episodes[slot]
            if episode is not None:
                episode.update(task, logits, iou, features)
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
        self._pending = None
        self._states = list(states)
        self._episodes = [None] * len(self._states)

    def moments(self) -> list[int]:
        """How far each slot's episode is."""
        return [state.moment for state in self._states]

    def _next_task(self, slot: int) -> ViewTask:
        episode = self._episodes[slot]
        while episode is None:
            state = self._states[slot]
            begun = Episode(self._sampler, self._seed, state.number, self._gone_share)
            if begun.usable:
                if state.moment:
                    begun.state = state
                episode = self._episodes[slot] = begun
                self._states[slot] = begun.state
            else:
                self._states[slot] = EpisodeState(state.number + self._stride)
        return episode.next_task()
