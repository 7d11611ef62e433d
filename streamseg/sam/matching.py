"""Comparing a view with earlier views of an object: what the bundled model has beside SAM's two halves.

The outcome is added to a view's features, like SAM's own dense prompts (`streamseg.sam.tiny.Matcher` says how and why).
It is so little work that it is done in numpy, whatever computes the rest. No torch here.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from streamseg.errors import UsageError

MIN_COVERED = 1e-4
"""Of a cell, however little or much the object covers of it; keeps logarithms finite."""
MATCHER = "match"
"""Name of the matcher in the weights."""


class Matching:
    """A model's matcher with its weights. See `loading.load_matching`.

    Args:
        weights: of a `streamseg.sam.tiny.Matcher`, by name.
    """

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        self._key = _matrix(weights["key.weight"])
        self._first, self._bias = _matrix(weights["out.0.weight"]), weights["out.0.bias"].astype(np.float32)
        self._second = _matrix(weights["out.2.weight"])

    def keys(self, features: np.ndarray) -> np.ndarray:
        """(C, h, w) features -> (K, h, w) float32: what cells are compared by."""
        c, h, w = features.shape
        keys: np.ndarray = self._key @ features.reshape(c, -1).astype(np.float32, copy=False)
        return keys.reshape(-1, h, w)

    def added(self, keys: np.ndarray, memory: np.ndarray, covered: np.ndarray) -> np.ndarray:
        """What earlier views add to the features of this one.

        Args:
            keys: (K, h, w) of this view.
            memory: (K, M) keys of M cells of earlier views.
            covered: (M,) float32, 0 to 1: how much of each of those cells the object covers.

        Returns:
            (C, h, w) float32.

        Raises:
            UsageError: the memory is of another model, or is empty.
        """
        k, h, w = keys.shape
        if memory.shape != (k, len(covered)) or not len(covered):
            raise UsageError(f"expected a memory ({k}, {len(covered)}) of at least one cell, got {memory.shape}")
        flat = keys.reshape(k, -1)
        root = np.float32(k**0.5)
        # In place: two megabytes that are made anew cost more than what is computed in them.
        closeness = (flat * (2 / root)).T @ memory
        closeness -= np.square(memory).sum(0) / root
        nearest = closeness.max(axis=1, keepdims=True)
        closeness -= nearest
        np.exp(closeness, out=closeness)
        shares = np.stack([covered, 1 - covered], axis=1).clip(MIN_COVERED).astype(np.float32)
        sums = np.log(closeness @ shares) + nearest
        own = np.square(flat).sum(0) / root
        inside, outside = sums[:, 0], sums[:, 1]
        found = np.stack([np.tanh((inside - outside) / 2), (inside - own) / 8, (outside - own) / 8])
        hidden = np.maximum(self._first @ found + self._bias[:, None], 0)
        added: np.ndarray = self._second @ hidden
        return added.reshape(-1, h, w)


def _matrix(weight: np.ndarray) -> np.ndarray:
    """A (given, taken, 1, 1) kernel as (given, taken) float32."""
    return weight.astype(np.float32).reshape(weight.shape[0], -1)
