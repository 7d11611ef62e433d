"""What depends on the number of the step alone."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from streamseg.training.recipe import Training
from streamseg.training.seeding import Purpose, generator

_LAST_SHARE = 0.01
"""Of the learning rates, at the end of the cosine."""


class Plan(NamedTuple):
    """What a step does."""

    kind: Literal["view", "whole"]
    refines: bool
    """Whether good masks are predicted a second time, with the first ones as prompts."""
    trains_encoder: bool
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
    rng = generator(seed, Purpose.STEP, step)
    whole, refines, trains_encoder = (float(chance) for chance in rng.random(3))
    kind: Literal["view", "whole"] = "whole" if whole < training.whole_share else "view"
    return Plan(kind, refines < training.again_share, trains_encoder < training.encoder_share)
