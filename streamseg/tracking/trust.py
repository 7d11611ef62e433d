"""Trust: how likely a mask is right, by all that speaks for it together, in one number.

The model's own estimate of the IoU is about the view it is given: of a mask that has gone over to a neighbor, it says
that the outline is good. Whether it is still the object, the first view says; and nothing that agrees with a first mask
is surer than that mask was. What each signal is worth was fitted to films with true masks, so that the number is a
probability (`benchmarks/calibrate.py` fits it again).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from streamseg.tracking.appearance import Template, likeness
from streamseg.tracking.candidate import Candidate
from streamseg.tracking.state import Track

_LEAST = 1e-4
"""Of a sum that something is divided by."""


class Signals(NamedTuple):
    """What speaks for a mask."""

    score: float
    """The model's estimate of its IoU."""
    stability: float
    """Area at logit +1 over that at -1."""
    agreement: float
    """With the first view, 0 to 1: the IoU of the mask and of what looks like the object there."""
    change: float
    """Of its area against the usual one, either way: a logarithm, 2 at most."""


WEIGHTS = Signals(score=2.82, stability=5.10, agreement=4.78, change=-1.84)
OFFSET = -4.37
FIRST_WEIGHT, FIRST_OFFSET = 10.58, -4.58
"""What the score of a first mask says of it; fitted to photos, of which there are many more than films."""
_LARGEST_CHANGE = 2.0


def signals_of(track: Track, candidate: Candidate) -> Signals | None:
    """What speaks for a mask; None where it cannot be compared with the object's first view.

    Args:
        track: the object as it was in the frame before.
        candidate: the mask.
    """
    if track.first_view is None or candidate.template is None:
        return None
    usual_px = max(track.usual_px or track.area_px, 1.0)
    change = min(abs(math.log(max(candidate.area_px, 1.0) / usual_px)), _LARGEST_CHANGE)
    return Signals(candidate.score, candidate.stability, agreement(track.first_view, candidate.template), change)


def trust(signals: Signals) -> float:
    """How likely the mask has an IoU of at least 0.5, 0 to 1."""
    total = OFFSET + sum(weight * signal for weight, signal in zip(WEIGHTS, signals, strict=True))
    return 1 / (1 + math.exp(-total))


def first_trust(track: Track) -> float:
    """How likely the mask that an object began with has an IoU of at least 0.5; 1 where nothing is known of that."""
    if track.first_score is None:
        return 1.0
    return 1 / (1 + math.exp(-(FIRST_WEIGHT * track.first_score + FIRST_OFFSET)))


def agreement(first: Template, now: Template) -> float:
    """How well the mask of a view agrees with where, by an earlier view of the object, the object is, 0 to 1."""
    likely, shares = likeness(first, now.key_matrix), now.shares
    return float(np.minimum(likely, shares).sum() / max(float(np.maximum(likely, shares).sum()), _LEAST))
