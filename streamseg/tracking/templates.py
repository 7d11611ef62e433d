"""Earlier views of an object, small enough to be carried along: by these it is told from what looks otherwise."""

from __future__ import annotations

import msgspec
import numpy as np

from streamseg.errors import UsageError

_LONGEST_SIDE = 16
"""Cells of a template in each direction at most: half the resolution of a full focus view's features."""


class Template(msgspec.Struct, frozen=True):
    """What a view looked like, and where in it the object was."""

    keys: bytes
    """(K, M) int8, what each of M cells is compared by, in steps of `step`."""
    step: float
    covered: bytes
    """(M,) uint8: how much of each cell the object covers, 255 for all."""

    @staticmethod
    def of(keys: np.ndarray, logits: np.ndarray) -> Template:
        """Keep a view.

        Args:
            keys: (K, h, h) float32, h a multiple of 4 and 64 at most.
            logits: (4h, 4h) float32 over the same square; above 0 is the object.

        Raises:
            UsageError: the shapes do not fit.
        """
        k, h, w = keys.shape
        block = next((block for block in (1, 2, 4) if h <= block * _LONGEST_SIDE), 0)
        if not block or h % 4 or h != w or logits.shape != (4 * h, 4 * h):
            raise UsageError(
                f"expected keys (K, h, h), h a multiple of 4 and {4 * _LONGEST_SIDE} at most, and logits (4h, 4h), got "
                f"{keys.shape} and {logits.shape}"
            )
        side = h // block
        small = keys.reshape(k, side, block, side, block).mean(axis=(2, 4)).reshape(k, -1)
        step = max(float(np.abs(small).max()) / 127, 1e-6)
        inside = (logits > 0).reshape(side, 4 * block, side, 4 * block).mean(axis=(1, 3), dtype=np.float32)
        return Template(
            np.rint(small / step).astype(np.int8).tobytes(), step, np.rint(inside * 255).astype(np.uint8).tobytes()
        )

    @property
    def memory(self) -> np.ndarray:
        """(K, M) float32."""
        steps = np.frombuffer(self.keys, np.int8).reshape(-1, len(self.covered))
        return steps.astype(np.float32) * np.float32(self.step)

    @property
    def shares(self) -> np.ndarray:
        """(M,) float32, 0 to 1."""
        return np.frombuffer(self.covered, np.uint8).astype(np.float32) / 255


def together(templates: tuple[Template, ...]) -> tuple[np.ndarray, np.ndarray]:
    """All their cells in one: (K, M) float32 keys and (M,) float32 shares.

    Args:
        templates: at least one.
    """
    return (
        np.concatenate([template.memory for template in templates], axis=1),
        np.concatenate([template.shares for template in templates]),
    )
