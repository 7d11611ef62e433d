"""What depends on the number of the step alone."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from streamseg.training.randomness import For, generator
from streamseg.training.recipe import Training

_LAST_SHARE = 0.01
"""Of the learning rates, at the end of the cosine."""


class Plan(NamedTuple):
    """What a step does."""

    kind: Literal["view", "whole"]
    again: bool
    """Whether good answers are asked about a second time."""
    encoder: bool
    """Whether the image encoder is trained too."""


def rate(step: int, training: Training) -> float:
    """What the learning rates are multiplied by at a step, from 0: a linear warm-up times half a cosine."""
    warm = min(1.0, (step + 1) / (training.warmup_steps + 1))
    done = min(1.0, step / training.steps)
    falling = 0.5 * (1 + math.cos(math.pi * done))
    return warm * (_LAST_SHARE + (1 - _LAST_SHARE) * falling)


def average_decay(step: int, training: Training) -> float:
    """Decay of the running mean of the weights, lower at first, so that it is not ruled by the first weights."""
    return min(training.average, (2 + step) / (11 + step))


def plan(step: int, seed: int, training: Training) -> Plan:
    """What a step does."""
    rng = generator(seed, For.STEP, step)
    is_whole, again, encoder = (float(chance) for chance in rng.random(3))
    kind: Literal["view", "whole"] = "whole" if is_whole < training.whole_share else "view"
    return Plan(kind, again < training.again_share, encoder < training.encoder_share)
