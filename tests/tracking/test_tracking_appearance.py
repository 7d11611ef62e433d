"""Features and colors of objects and frames."""

from __future__ import annotations

import numpy as np
import pytest
from support.looks import BLUE, RED, looks_of, paint

from streamseg.tracking.appearance import (
    Appearance,
    FrameColors,
    appearance_under,
    mean_feature,
    scene_histogram,
    scene_similarity,
)
from streamseg.types import Box

RNG = np.random.default_rng(5)


def square(side: int, box: tuple[int, int, int, int], value: float = 6.0) -> np.ndarray:
    """(side, side) logits: `value` in the box, its negative elsewhere."""
    logits = np.full((side, side), -value, np.float32)
    logits[box[1] : box[3], box[0] : box[2]] = value
    return logits


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

    def painted(color: tuple[int, int, int]) -> Appearance:
        image = np.zeros((16, 16, 3), np.uint8)
        image[inside] = color
        return appearance_under(features, logits, image, logits, (0, 0, 16, 16))

    red, blue = painted((200, 20, 20)), painted((20, 20, 200))
    assert red.color_similarity(red) == pytest.approx(1, abs=1e-3)
    assert red.color_similarity(blue) == 0
    assert red.similarity(blue) == pytest.approx(1, abs=1e-3)
    halfway = red.moved_towards(blue, 0.5)
    assert halfway.color_similarity(red) == pytest.approx(halfway.color_similarity(blue), abs=1e-3)
    assert np.linalg.norm(halfway.color_vector) == pytest.approx(1, abs=1e-3)


def test_scenes_are_told_apart_by_their_colors_not_by_their_motion() -> None:
    y, x = np.mgrid[:90, :160]
    scene = np.stack([x, y * 2, 255 - x], 2).astype(np.uint8)
    other = np.stack([255 - y, x // 4, x // 3], 2).astype(np.uint8)
    assert scene_similarity(scene_histogram(scene), scene_histogram(np.roll(scene, 12, 1))) > 0.98
    assert scene_similarity(scene_histogram(scene), scene_histogram(other)) < 0.9


def test_colors_are_seen_where_they_are_the_objects_rather_than_the_frames() -> None:
    image = np.full((96, 128, 3), BLUE, np.uint8)
    paint(image, (20, 30, 40, 50), RED)
    half_blue = image.copy()
    paint(half_blue, (20, 30, 40, 40), BLUE)
    red = np.zeros((96, 128), bool)
    red[30:50, 20:40] = True
    whole, half = (
        FrameColors.of(image).back_project(looks_of(its, (20, 30, 40, 50)).color_vector) for its in (image, half_blue)
    )
    assert whole.shape == red.shape
    assert whole[red].min() > 0.9
    assert whole[~red].max() == 0
    assert half[red].min() > 0.9
    assert 0 < half[~red].max() < 0.4
    nothing = FrameColors.of(image).back_project(np.zeros(216, np.float32))
    assert not nothing.any()


@pytest.mark.parametrize("step", [1, 2, 6])
@pytest.mark.parametrize("corner", [(16, 8), (-16, -8), (112, 80), (-20, 72), (200, 8)])
def test_a_cell_has_the_mean_of_its_pixels_and_nothing_beyond_the_frame(step: int, corner: tuple[int, int]) -> None:
    colors = FrameColors.of(np.zeros((96 * step, 128 * step, 3), np.uint8))
    assert colors.step == step
    where = RNG.random((96, 128)).astype(np.float32)
    x, y = corner
    cells = colors.cell_means(where, (x * step, y * step, (x + 32) * step, (y + 32) * step), 8)
    wanted = np.pad(where, 120)[y + 120 : y + 152, x + 120 : x + 152].reshape(8, 4, 8, 4).mean((1, 3))
    np.testing.assert_allclose(cells, wanted, atol=1e-5)


@pytest.mark.parametrize("square", [(10.5, 7.25, 71.3, 68.05), (30.2, 20.9, 48.7, 39.4), (-30.0, 3.0, 97.0, 130.0)])
def test_a_square_between_the_pixels_has_about_their_mean(square: Box) -> None:
    y, x = np.mgrid[:96, :128]
    colors = FrameColors.of(np.zeros((96, 128, 3), np.uint8))
    cells = colors.cell_means(((x + 0.5) / 128 + (y + 0.5) / 192).astype(np.float32), square, 8)
    x0, y0, x1, _ = square
    side = (x1 - x0) / 8
    an_eighth_of_a_cell = side / 8 * (1 / 128 + 1 / 192)
    middle_x, middle_y = np.meshgrid(x0 + side * (np.arange(8) + 0.5), y0 + side * (np.arange(8) + 0.5))
    whole = (np.abs(middle_x - 64) < 64 - side) & (np.abs(middle_y - 48) < 48 - side)
    np.testing.assert_allclose(cells[whole], (middle_x / 128 + middle_y / 192)[whole], atol=an_eighth_of_a_cell)
    assert whole.sum() > 8
