import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.errors import UsageError
from streamseg.masks.cleanup import CleanupRules, clean

NOTHING = CleanupRules(min_area_fraction=None, fill_holes_fraction=None)


def picture(*rows):
    """A label map drawn in digits; a dot is background."""
    return np.array([[0 if mark == "." else int(mark) for mark in row] for row in rows], np.uint16)


def show(labels):
    return ["".join("." if value == 0 else str(value) for value in row) for row in labels.tolist()]


def parts_of(mask, connectivity):
    count, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=connectivity)
    return [parts == part for part in range(1, count)]


def reference(labels, n, smallest_px, largest_hole_px, only_largest):
    """The same rules, the slow and plain way."""
    cleaned = labels.copy()
    for k in range(1, n + 1):
        parts = parts_of(labels == k, 8)
        best = max((part.sum() for part in parts), default=0)
        for part in parts:
            if part.sum() < smallest_px or (only_largest and part.sum() < best):
                cleaned[part] = 0
    filled = cleaned.copy()
    for k in range(1, n + 1):
        for part in parts_of(filled == k, 8):
            outside = np.pad(~part, 1, constant_values=True)
            for hole in parts_of(outside, 4):
                if not hole[0, 0] and hole.sum() <= largest_hole_px:
                    filled[hole[1:-1, 1:-1] & (filled == 0)] = k
    return filled


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    smallest=st.integers(0, 12),
    hole=st.integers(0, 12),
    blur=st.floats(0.3, 1.5),
)
def test_cleaning_equals_labeling_every_pixel(seed, smallest, hole, blur):
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=(3, 22, 26)).transpose(1, 2, 0), (0, 0), blur)
    labels = noise.argmax(2).astype(np.uint16)
    rules = CleanupRules(min_area_px=smallest, min_area_fraction=None, fill_holes_px=hole, fill_holes_fraction=None)
    assert show(clean(labels, 2, rules)) == show(reference(labels, 2, smallest, hole, only_largest=False))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_keeping_only_the_largest_part_keeps_one_of_that_size(seed):
    labels = (np.random.default_rng(seed).random((14, 15)) < 0.4).astype(np.uint16)
    kept = clean(labels, 1, CleanupRules(keep="largest", min_area_fraction=None, fill_holes_fraction=None))
    remaining = parts_of(kept == 1, 8)
    before = parts_of(labels == 1, 8)
    assert len(remaining) == min(len(before), 1)
    assert sum(part.sum() for part in remaining) == max((part.sum() for part in before), default=0)


def test_default_rules_leave_what_is_clean_alone():
    labels = np.zeros((120, 160), np.uint16)
    cv2.circle(labels, (50, 50), 30, (1,), -1)
    cv2.circle(labels, (90, 60), 30, (2,), -1)
    labels[100:110, 10:150] = 3
    cleaned = clean(labels, 3)
    assert np.array_equal(cleaned, labels)
    assert cleaned is not labels


def test_default_rules_take_specks_and_pinholes():
    labels = np.zeros((60, 60), np.uint16)
    labels[10:40, 10:40] = 1
    expected = labels.copy()
    labels[20, 20] = 0
    labels[50:52, 50:52] = 1
    assert np.array_equal(clean(labels, 1), expected)


def test_an_object_in_two_large_parts_keeps_both_unless_told_otherwise():
    labels = picture("111.11", "111.11")
    assert show(clean(labels, 1)) == ["111.11", "111.11"]
    assert show(clean(labels, 1, CleanupRules(keep="largest"))) == ["111...", "111..."]


def test_a_hole_is_never_filled_over_another_object():
    labels = picture(
        "1111111",
        "1.....1",
        "1..2..1",
        "1.....1",
        "1111111",
    )
    rules = CleanupRules(min_area_fraction=None, fill_holes_px=15)
    assert show(clean(labels, 2, rules)) == ["1111111", "1111111", "1112111", "1111111", "1111111"]
    assert show(clean(labels, 2, CleanupRules(fill_holes_px=14, fill_holes_fraction=None))) == show(labels)


def test_a_bay_at_the_edge_of_the_frame_is_no_hole():
    labels = picture("11.11", "11111")
    assert show(clean(labels, 1, CleanupRules(fill_holes_px=10))) == show(labels)


def test_another_objects_crumb_in_a_hole_does_not_stay():
    for crumb, host in ((1, 2), (2, 1)):
        labels = np.zeros((20, 30), np.uint16)
        labels[2:12, 2:12] = host
        labels[6, 6] = crumb
        labels[2:18, 18:28] = crumb
        rules = CleanupRules(min_area_px=2, fill_holes_px=2)
        assert clean(labels, 2, rules)[6, 6] == host


def test_a_mask_that_is_only_dirt_ends_up_empty():
    labels = picture("1....", "...1.", ".....")
    assert not clean(labels, 1, CleanupRules(min_area_px=2)).any()
    assert not clean(np.zeros((4, 4), np.uint16), 3).any()


def test_opening_takes_off_a_thin_arm():
    labels = np.zeros((40, 60), np.uint16)
    labels[5:30, 5:30] = 1
    labels[15, 30:55] = 1
    opened = clean(labels, 1, CleanupRules(open_radius_px=1))
    assert not opened[:, 31:].any() and opened[7:28, 7:28].all()


def test_closing_bridges_a_slit_but_not_over_another_object():
    labels = np.zeros((30, 40), np.uint16)
    labels[5:25, 5:18] = 1
    labels[5:25, 20:33] = 1
    labels[10, 18:20] = 2
    closed = clean(labels, 2, CleanupRules(min_area_fraction=None, fill_holes_fraction=None, close_radius_px=2))
    assert (closed[8:10, 18:20] == 1).all() and (closed[11:22, 18:20] == 1).all()
    assert (closed[10, 18:20] == 2).all()


def test_closing_does_not_reach_out_to_the_edge_of_the_frame():
    labels = np.zeros((30, 30), np.uint16)
    labels[2:20, 2:20] = 1
    assert np.array_equal(clean(labels, 1, CleanupRules(close_radius_px=4)), labels)


def test_smoothing_rounds_a_ragged_outline_and_spares_the_neighbor():
    labels = np.zeros((40, 40), np.uint16)
    labels[5:35, 5:20] = 1
    labels[5:35:4, 20] = 1
    labels[20:, 21:30] = 2
    smooth = clean(labels, 2, CleanupRules(smooth_radius_px=1))
    assert (smooth[6:20, 20] == 0).all()
    assert (smooth[20:, 21:30] == 2).sum() >= (labels == 2).sum() - 4


def test_growing_gives_background_to_the_nearest_object_and_reaches_no_further():
    labels = picture(
        "1......2.",
        ".........",
        ".........",
    )
    rules = CleanupRules(min_area_fraction=None, grow_radius_px=2)
    assert show(clean(labels, 2, rules)) == ["111..2222", "11....222", "1......2."]
    near = picture("1..2.")
    assert show(clean(near, 2, CleanupRules(min_area_fraction=None, grow_radius_px=9))) == ["11222"]
    only_dirt = picture("1...", "...1")
    assert not clean(only_dirt, 1, CleanupRules(min_area_px=2, grow_radius_px=9)).any()


@given(seed=st.integers(0, 2**32 - 1))
def test_no_rule_means_no_change(seed):
    labels = np.random.default_rng(seed).integers(0, 3, (9, 9)).astype(np.uint16)
    assert np.array_equal(clean(labels, 2, NOTHING), labels)


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ({"keep": "biggest"}, "biggest"),
        ({"min_area_px": -1}, "min_area_px"),
        ({"fill_holes_fraction": 2.0}, "fill_holes_fraction"),
    ],
)
def test_rules_that_make_no_sense_are_refused(rules, says):
    with pytest.raises(UsageError, match=says):
        CleanupRules(**rules)
