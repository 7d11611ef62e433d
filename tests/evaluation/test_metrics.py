import math

import numpy as np
import pytest

from streamseg.errors import UsageError
from streamseg.evaluation import metrics


def square(x, side=20, shape=(100, 100)):
    mask = np.zeros(shape, bool)
    mask[40 : 40 + side, x : x + side] = True
    return mask


def test_region_similarity():
    assert metrics.region_similarity(square(40), square(40)) == 1
    assert metrics.region_similarity(square(40), square(50)) == pytest.approx(10 / 30)
    assert metrics.region_similarity(square(10), square(50)) == 0
    assert metrics.region_similarity(square(0, 0), square(0, 0)) == 1
    assert metrics.region_similarity(square(0, 0), square(40)) == 0


def test_an_outline_within_the_tolerance_is_perfect():
    # A picture of 100x100 has a diagonal of 141.4; 0.008 of it, rounded up, are 2 px.
    assert metrics.boundary_accuracy(square(40), square(42)) == 1
    assert metrics.boundary_accuracy(square(40), square(43)) < 1
    assert metrics.boundary_accuracy(square(40), square(43), tolerance=3) == 1


def test_the_boundary_of_a_shifted_square_counted_out():
    # An outline runs on the pixels that differ from a right, lower or lower right neighbor: the frame of the 21x21
    # square that begins one pixel up and left.
    truth, found = square(40), square(45)
    true_px = {(y, x) for y in range(39, 60) for x in range(39, 60) if y in (39, 59) or x in (39, 59)}
    found_px = {(y, x + 5) for y, x in true_px}

    def close(points, others):
        near = {(y + dy, x + dx) for y, x in others for dy, dx in [(0, 0), (0, 1), (1, 0), (0, -1), (-1, 0)]}
        return len(points & near) / len(points)

    precision, recall = close(found_px, true_px), close(true_px, found_px)
    expected = 2 * precision * recall / (precision + recall)
    assert 0.4 < expected < 0.6
    assert metrics.boundary_accuracy(truth, found, tolerance=1) == pytest.approx(expected)


def test_the_boundary_of_empty_masks():
    empty = square(0, 0)
    assert metrics.boundary_accuracy(empty, empty) == 1
    assert metrics.boundary_accuracy(empty, square(40)) == 0
    assert metrics.boundary_accuracy(square(40), empty) == 0
    assert metrics.boundary_accuracy(square(0), square(70)) == 0


def test_mean_recall_and_decay():
    summary = metrics.summarize([1.0] * 5 + [0.6] * 5 + [0.5] * 5 + [0.2] * 5)
    assert summary.mean == pytest.approx(0.575)
    assert summary.recall == 0.5
    # Quarters share their border frames: (5 * 1 + 0.6) / 6 at the beginning, (0.5 + 5 * 0.2) / 6 at the end.
    assert summary.decay == pytest.approx(5.6 / 6 - 1.5 / 6)
    assert metrics.summarize([0.7]) == (0.7, 1.0, 0.0)


def test_decay_over_more_frames_than_a_byte_counts():
    falling = metrics.summarize(list(np.linspace(1, 0, 1001)))
    assert math.isclose(falling.decay, 0.75, abs_tol=1e-9)


def test_bad_input_is_refused():
    with pytest.raises(UsageError, match="one shape"):
        metrics.region_similarity(square(0), square(0, shape=(100, 99)))
    with pytest.raises(UsageError, match="at least one frame"):
        metrics.summarize([])
