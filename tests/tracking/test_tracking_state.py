"""What a tracker keeps between two frames."""

from __future__ import annotations

import zlib

import numpy as np

from streamseg.tracking.appearance import Appearance
from streamseg.tracking.predict import initial_motion, update_motion
from streamseg.tracking.state import LOGIT_LIMIT, Memory, Track, TrackerState, from_bytes, to_bytes

RNG = np.random.default_rng(3)


def square(side: int, box: tuple[int, int, int, int], value: float = 6.0) -> np.ndarray:
    """(side, side) logits: `value` in the box, its negative elsewhere."""
    logits = np.full((side, side), -value, np.float32)
    logits[box[1] : box[3], box[0] : box[2]] = value
    return logits


def test_memory_keeps_logits_to_within_a_twentieth() -> None:
    logits = RNG.normal(0, 8, (64, 64)).astype(np.float32)
    kept = Memory.of(logits, (0, 0, 9, 9)).logits
    np.testing.assert_allclose(kept, np.clip(logits, -LOGIT_LIMIT, LOGIT_LIMIT), atol=0.05)
    again = Memory.of(kept, (0, 0, 9, 9)).logits
    np.testing.assert_array_equal(again, kept)


def test_a_state_survives_being_written_down() -> None:
    track = Track(
        id=300,
        label="Hund",
        state="LOST",
        reason="gone",
        score=0.1,
        box=(1 / 3, 2, 3, 4),
        area_px=7.7,
        usual_px=8.1,
        usual_size=(1 / 3, 4.5),
        motion=update_motion(initial_motion((1 / 3, 2, 3, 4)), (0.1, -1 / 7, 4, 4)),
        first_appearance=Appearance.of(np.ones(4) / 2, np.zeros(216)),
        memory=Memory.of(square(16, (2, 2, 9, 9)), (0, 0, 5, 5)),
        appearance=Appearance.of(np.ones(4) / 2, np.ones(216) / 216**0.5),
        unseen=3,
        hint=(5, 5, 6, 6),
    )
    state = TrackerState(tracks=[track], prompts_done=2, scene=b"abc")
    assert from_bytes(to_bytes(state)) == state


def test_a_memory_of_a_whole_mask_is_small() -> None:
    assert len(Memory.of(square(128, (30, 30, 90, 100)), (0, 0, 1, 1)).packed) < 500


def test_a_memory_unpacks_to_what_it_says_and_no_more() -> None:
    packed = zlib.compress(bytes(50_000_000))
    assert Memory(region=(0, 0, 8, 8), side=8, packed=packed).logits.shape == (8, 8)
