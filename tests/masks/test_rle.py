import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.errors import UsageError
from streamseg.masks import rle


def test_counts_run_down_the_columns():
    mask = np.array([[0, 1, 1], [0, 1, 0]], bool)
    assert rle.encode(mask) == [2, 3, 1]


def test_a_mask_that_begins_with_foreground_begins_with_a_run_of_none():
    assert rle.encode(np.array([[1, 0], [1, 1]], bool)) == [0, 2, 1, 1]
    assert rle.encode(np.ones((2, 3), bool)) == [0, 6]
    assert rle.encode(np.zeros((2, 3), bool)) == [6]


def test_the_compressed_form_worked_out_by_hand():
    # 2, 3, 1 are one group each, with 48 added: "2", "3", "1".
    assert rle.compress([2, 3, 1]) == "231"
    # 16 needs a second group, or its bit 5 would read as a sign: 16 + 32 + 48 = "`", then 0 + 48 = "0".
    assert rle.compress([16]) == "`0"
    # The fourth is 1 - 3 = -2: in five bits 11110 = 30, + 48 = "N".
    assert rle.compress([2, 3, 1, 1]) == "231N"
    # 100 = 3 * 32 + 4: groups 4 (+ 32 + 48 = "T") and 3 ("3").
    assert rle.compress([100]) == "T3"
    assert rle.decompress("231N") == [2, 3, 1, 1]
    assert rle.decompress(b"`0") == [16]


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.floats(0, 1))
def test_masks_come_back(seed, height, width, share):
    mask = np.random.default_rng(seed).random((height, width)) < share
    counts = rle.encode(mask)
    assert np.array_equal(rle.decode(counts, height, width), mask)
    assert rle.decompress(rle.compress(counts)) == counts


@given(st.lists(st.integers(0, 2**40), max_size=30))
def test_counts_of_any_size_come_back(counts):
    assert rle.decompress(rle.compress(counts)) == counts


def test_as_coco_writes_it():
    assert rle.to_coco(np.array([[0, 1, 1], [0, 1, 0]], bool)) == {"size": [2, 3], "counts": "231"}


def test_counts_that_do_not_fit_the_size_are_refused():
    with pytest.raises(UsageError, match="2 x 3 = 6"):
        rle.decode([2, 3, 2], 2, 3)
    with pytest.raises(UsageError, match="from 0"):
        rle.decode([7, -1], 2, 3)


@pytest.mark.parametrize("text", ["23`", "\x01", "é", "~", "o" * 20 + "0"])
def test_text_that_is_no_rle_is_refused(text):
    with pytest.raises(UsageError, match="compressed COCO"):
        rle.decompress(text)
