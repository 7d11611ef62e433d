"""Parts of the tracker: memory, appearance, scene cuts, specks."""

from __future__ import annotations

import numpy as np
import pytest

from streamseg.tracking.appearance import Appearance, appearance_under, mean_feature
from streamseg.tracking.candidate import without_specks
from streamseg.tracking.colors import scene_of, scene_similarity
from streamseg.tracking.motion import seen, standing
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
        motion=seen(standing((1 / 3, 2, 3, 4)), (0.1, -1 / 7, 4, 4)),
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


def test_mean_feature_is_that_of_the_cells_under_the_mask() -> None:
    features = np.zeros((3, 4, 4), np.float32)
    features[0] = 1
    features[:, 1, 2] = (0, 3, 4)
    np.testing.assert_allclose(mean_feature(features, square(16, (8, 4, 12, 8))), [0, 0.6, 0.8], atol=1e-6)
    assert not mean_feature(features, np.full((16, 16), -1.0, np.float32)).any()


def test_appearance_tells_colors_apart() -> None:
    features = np.ones((3, 4, 4), np.float32)
    logits = square(16, (4, 4, 12, 12))
    inside = np.zeros((16, 16), bool)
    inside[4:12, 4:12] = True

    def seen(color: tuple[int, int, int]) -> Appearance:
        image = np.zeros((16, 16, 3), np.uint8)
        image[inside] = color
        return appearance_under(features, logits, image, logits, (0, 0, 16, 16))

    red, blue = seen((200, 20, 20)), seen((20, 20, 200))
    assert red.color_similarity(red) == pytest.approx(1, abs=1e-3)
    assert red.color_similarity(blue) == 0
    assert red.similarity(blue) == pytest.approx(1, abs=1e-3)
    halfway = red.towards(blue, 0.5)
    assert halfway.color_similarity(red) == pytest.approx(halfway.color_similarity(blue), abs=1e-3)
    assert np.linalg.norm(halfway.color_vector) == pytest.approx(1, abs=1e-3)


def test_scenes_are_told_apart_by_their_colors_not_by_their_motion() -> None:
    y, x = np.mgrid[:90, :160]
    scene = np.stack([x, y * 2, 255 - x], 2).astype(np.uint8)
    other = np.stack([255 - y, x // 4, x // 3], 2).astype(np.uint8)
    assert scene_similarity(scene_of(scene), scene_of(np.roll(scene, 12, 1))) > 0.98
    assert scene_similarity(scene_of(scene), scene_of(other)) < 0.9


def test_specks_go_unless_they_are_large_or_lie_on_the_last_mask() -> None:
    logits = square(32, (4, 4, 14, 14))
    logits[20:22, 20:22] = 5
    logits[25:27, 4:6] = 5
    last = np.zeros((32, 32), bool)
    last[24:28, 3:8] = True
    cleaned = without_specks(logits, last, 0.05)
    assert (cleaned[4:14, 4:14] > 0).all()
    assert (cleaned[20:22, 20:22] < 0).all()
    assert (cleaned[25:27, 4:6] > 0).all()
    np.testing.assert_array_equal(without_specks(logits, None, 0.01), logits)
