"""Pictures in memory: what is plainly meant is taken, the rest is refused in one sentence."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from support.disks import picture

from streamseg.errors import UsageError
from streamseg.runtime.library.given_images import GivenImages

RGB = picture(0)
GRAY = cv2.cvtColor(RGB, cv2.COLOR_RGB2GRAY)


class Arrayed:
    """Something of another library that numpy takes for an array."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return RGB


@pytest.mark.parametrize(
    "image",
    [RGB, RGB[:, ::-1][:, ::-1], np.asfortranarray(RGB), torch.from_numpy(RGB), Image.fromarray(RGB), Arrayed()],
    ids=["array", "view", "other order", "tensor", "PIL", "of another library"],
)
def test_pictures_of_any_kind_are_the_same_picture(image: Any) -> None:
    taken = GivenImages().take(image)
    assert np.array_equal(taken.image_rgb, RGB)
    assert taken.image_rgb.flags.c_contiguous
    assert taken.scaled_from is None


def test_other_orders_of_colors_and_gray_are_said_by_name() -> None:
    bgr = np.ascontiguousarray(RGB[..., ::-1])
    assert np.array_equal(GivenImages().take(bgr, bgr=True).image_rgb, RGB)
    assert np.array_equal(GivenImages().take(RGB[..., ::-1], bgr=True).image_rgb, RGB)
    for gray in (GRAY, GRAY[..., None], torch.from_numpy(GRAY)):
        assert np.array_equal(GivenImages().take(gray, gray=True).image_rgb, np.dstack([GRAY] * 3))
    # What says itself that it is gray needs no option.
    assert np.array_equal(GivenImages().take(Image.fromarray(GRAY)).image_rgb, np.dstack([GRAY] * 3))


@pytest.mark.parametrize(
    ("image", "options", "said"),
    [
        (RGB / np.float32(255), {}, r"got float32 with values from 0\.\d+ to 0\.\d+; multiply by 255"),
        (RGB.astype(float), {}, r"got float64 with values from \d+ to \d+; convert it: \(image\).astype\('uint8'\)"),
        (RGB.astype(np.uint16) * 16, {}, r"got uint16 with values .*the upper 8 of the bits"),
        (RGB.astype(np.int64), {}, r"got int64 .*image.astype\('uint8'\)"),
        (RGB > 100, {}, r"got bool with values from False to True; convert it: image.astype\('uint8'\) \* 255"),
        (GRAY, {}, r"got \(180, 240\); it has no colors: if it is gray, say gray=True"),
        (GRAY[..., None], {}, "if it is gray, say gray=True"),
        (RGB, {"gray": True}, r"got \(180, 240, 3\); give it as it is meant, or leave out gray=True"),
        (RGB, {"gray": True, "bgr": True}, "expected bgr=True or gray=True, got both"),
        (RGB.transpose(2, 0, 1), {}, r"its colors come first: give image.transpose\(1, 2, 0\)"),
        (np.dstack([RGB, GRAY]), {}, r"it has a fourth channel: leave it out, image\[..., :3\]"),
        (RGB[None], {}, "those are several: give one after the other"),
        (RGB[:0], {}, "which is empty"),
        (np.array(["a"]), {}, "got .* of <U1"),
        (torch.zeros(4, 4, 3, dtype=torch.bfloat16), {}, "got a tensor of torch.bfloat16; convert it to uint8"),
        (Image.new("RGBA", (4, 4)), {}, r"got RGBA; convert it: image.convert\('RGB'\)"),
        (Image.fromarray(RGB), {"bgr": True}, "which is RGB; leave out bgr=True"),
        ("picture.png", {}, "got a str"),
        ([[1, 2]], {}, "got a list"),
        (None, {}, "got None"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else None,
)
def test_other_things_are_refused_in_a_sentence(image: Any, options: dict[str, bool], said: str) -> None:
    with pytest.raises(UsageError, match=said) as refusal:
        GivenImages().take(image, **options)
    assert len(str(refusal.value)) < 200


def test_pictures_get_the_size_of_the_first() -> None:
    images = GivenImages()
    images.take(RGB)
    assert images.size == (240, 180)
    large = images.take(cv2.resize(RGB, (480, 360)))
    assert large.image_rgb.shape == RGB.shape
    assert large.scaled_from == (480, 360)
    assert np.abs(large.image_rgb.astype(int) - RGB).mean() < 3
    assert images.take(RGB).scaled_from is None


@pytest.mark.parametrize("own", [True, False])
def test_pixels_are_copied_where_that_is_asked_for(own: bool) -> None:
    image = RGB.copy()
    taken = GivenImages().take(image, own=own)
    assert np.may_share_memory(taken.image_rgb, image) is not own
    tensor = torch.from_numpy(image)
    assert np.may_share_memory(GivenImages().take(tensor, own=own).image_rgb, image) is not own
