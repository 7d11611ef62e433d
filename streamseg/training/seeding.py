"""Where chance comes from: every draw is a function of the seed and of what it is for.

No generator lives on from one step to the next. So a resumed run needs none of their states, and what one thread
draws does not depend on what another has drawn before.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What is drawn. The numbers are part of every seed: another number is another run."""

    STEP = 0
    """What kind of step it is; (step)."""
    EPISODE = 1
    """A scene and how its episode begins; (episode)."""
    MOMENT = 2
    """One view of an episode; (episode, moment)."""
    WHOLE_IMAGE = 3
    """A whole image and its prompts; (step, image)."""
    REFINEMENT = 4
    """Second prompts; (step)."""


def generator(seed: int, purpose: Purpose, *numbers: int) -> np.random.Generator:
    """A generator of its own for a purpose and its numbers."""
    return np.random.default_rng([seed, int(purpose), *numbers])
