"""Where chance comes from: every draw is a function of the seed and of what it is for.

No generator lives on from one step to the next. So a resumed run needs none of their states, and what one thread
draws does not depend on what another has drawn before.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class For(IntEnum):
    """What is drawn."""

    STEP = 0
    """What kind of step it is; (step)."""
    EPISODE = 1
    """A scene and how its episode begins; (episode)."""
    MOMENT = 2
    """One look of an episode; (episode, moment)."""
    WHOLE = 3
    """A whole photo and its prompts; (step, photo)."""
    AGAIN = 4
    """Second questions; (step)."""


def generator(seed: int, purpose: For, *numbers: int) -> np.random.Generator:
    """A generator of its own for a purpose and its numbers."""
    return np.random.default_rng([seed, int(purpose), *numbers])
