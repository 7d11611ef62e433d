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


def plain_counts(mask):
    """As COCO says it, pixel by pixel."""
    counts, last = [0], 0
    for pixel in mask.T.ravel().astype(int).tolist():
        if pixel != last:
            counts, last = [*counts, 0], pixel
        counts[-1] += 1
    return counts


@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_rectangles_at_any_place_are_encoded_as_pixel_by_pixel(height, width, data):
    mask = np.zeros((height, width), bool)
    for _ in range(data.draw(st.integers(0, 2))):
        top, left = data.draw(st.integers(0, height)), data.draw(st.integers(0, width))
        mask[top : top + data.draw(st.integers(1, 9)), left : left + data.draw(st.integers(1, 9))] = True
    counts = rle.encode(mask)
    assert counts == plain_counts(mask)
    assert np.array_equal(rle.decode(counts, height, width), mask)


def test_runs_without_length_say_nothing():
    mask = np.array([[0, 0, 1, 0], [0, 1, 1, 0]], bool)
    for counts in ([3, 3, 2], [0, 0, 3, 1, 0, 2, 2], [3, 3, 2, 0], [3, 3, 0, 0, 2], [1, 0, 2, 3, 1, 0, 1]):
        assert np.array_equal(rle.decode(counts, 2, 4), mask)
    assert not rle.decode([0, 0, 8, 0], 2, 4).any()


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


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 30), st.integers(1, 40))
def test_any_mask_is_within_the_letters_that_are_read(seed, height, width, run_px):
    pixels = np.repeat(np.random.default_rng(seed).random(-(-height * width // run_px)) < 0.5, run_px)
    mask = pixels[: height * width].reshape(height, width)
    text = rle.compress(rle.encode(mask))
    assert np.array_equal(rle.decode_compressed(text, height, width), mask)


@pytest.mark.parametrize(
    "counts", [[1 << 62] * 4, [(1 << 63) - 1, (1 << 63) - 1, 8], [1 << 64, 6], [10**5000, 6], [-(10**30), 6 + 10**30]]
)
def test_run_lengths_that_wrap_round_to_the_right_sum_are_refused(counts):
    with pytest.raises(UsageError, match="2 x 3 = 6"):
        rle.decode(counts, 2, 3)


def test_numbers_of_many_groups_do_not_wrap_round():
    # Twelve groups without a sign: 2^60 - 1 once more for every second run, which passes 2^63 after a few.
    with pytest.raises(UsageError):
        rle.decompress("0" + ("o" * 11 + "?") * 40)
    # Ten groups each are read, but what they add up to is no run of a picture.
    with pytest.raises(UsageError, match="pixels of a picture"):
        rle.decompress("000" + ("o" * 9 + "?") * 1000)


def test_a_mask_larger_than_any_picture_is_not_made():
    with pytest.raises(UsageError, match="at most 268435456 pixels"):
        rle.decode([1 << 40], 1 << 20, 1 << 20)
    for height, width in ((-2, -3), (0, 1 << 70)):
        with pytest.raises(UsageError, match="at most"):
            rle.decode([6] if height else [], height, width)


def test_more_letters_than_the_mask_can_have_are_not_read():
    with pytest.raises(UsageError, match="2 x 3 pixels, got 1000 letters"):
        rle.decode_compressed("0" * 1000, 2, 3)


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ([float("nan"), 6], "got a float among them"),
        ([5.4, 0.6], "got a float among them"),
        ([None, 6], "got a NoneType among them"),
        (["3", "3"], "got a str among them"),
        ([[3], [3]], "got a list among them"),
        ("33", "got a str"),
        (None, "got a NoneType"),
        ([0] * 14 + [6], "got 15 of them"),
    ],
)
def test_what_is_no_list_of_whole_numbers_is_refused(counts, said):
    with pytest.raises(UsageError, match=said):
        rle.decode(counts, 2, 3)


def test_sizes_and_texts_of_other_types_are_refused():
    for height in (2.0, None, "2"):
        with pytest.raises(UsageError, match="size of a mask as whole numbers"):
            rle.decode([6], height, 3)
    with pytest.raises(UsageError, match="as text, got a list"):
        rle.decode_compressed([6], 2, 3)
    np.testing.assert_array_equal(rle.decode(np.array([2, 4]), np.int64(2), 3), rle.decode([2, 4], 2, 3))


@given(st.integers(0, 2**12 - 1), st.integers(0, 4), st.integers(0, 3))
def test_a_crop_has_the_counts_of_the_whole_mask(bits: int, left: int, top: int):
    crop = (bits >> np.arange(12) & 1).reshape(4, 3) > 0
    mask = np.zeros((4 + 3, 3 + 4), bool)
    mask[top : top + 4, left : left + 3] = crop
    assert rle.encode_crop(crop, left, top, mask.shape) == rle.encode(mask)
    assert np.array_equal(rle.decode(rle.encode_crop(crop, left, top, mask.shape), *mask.shape), mask)
