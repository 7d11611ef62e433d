import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.errors import UsageError
from streamseg.masks import roi


def bilinear(picture, x, y):
    """The value of a picture at (x, y) in pixels, centers at +0.5, nearest value beyond the outermost centers."""
    height, width = picture.shape[:2]
    u, v = min(max(x - 0.5, 0), width - 1), min(max(y - 0.5, 0), height - 1)
    left, top = min(int(u), max(width - 2, 0)), min(int(v), max(height - 2, 0))
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    fx, fy = u - left, v - top
    upper = picture[top, left] * (1 - fx) + picture[top, right] * fx
    lower = picture[bottom, left] * (1 - fx) + picture[bottom, right] * fx
    return upper * (1 - fy) + lower * fy


def smooth_picture(height, width, seed=0):
    noise = np.random.default_rng(seed).integers(0, 256, (max(height // 12, 2), max(width // 12, 2), 3), dtype=np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def test_the_whole_frame_and_its_picture_size():
    assert roi.whole(640, 360) == (0, 0, 640, 360)
    assert roi.fit(640, 360, 1024) == (576, 1024)
    assert roi.fit(360, 640, 256) == (256, 144)


def test_a_focus_region_is_a_square_on_whole_pixels_round_the_box():
    region = roi.focus_region((100, 50, 200, 80), factor=1.8)
    assert region == (60, -25, 240, 155)
    assert roi.focus_region((10, 10, 12, 12), min_side_px=48) == (-13, -13, 35, 35)


def test_sampling_the_whole_frame_at_its_own_size_changes_nothing():
    image = smooth_picture(40, 60)
    assert np.array_equal(roi.sample(image, roi.whole(60, 40), (40, 60)), image)


def test_sampling_whole_pixels_is_a_crop():
    image = smooth_picture(64, 64)
    assert np.array_equal(roi.sample(image, (8, 16, 40, 48), 32), image[16:48, 8:40])


def test_outside_the_frame_is_the_mean_color():
    image = smooth_picture(64, 64)
    picture = roi.sample(image, (-32, 0, 32, 64), 64)
    assert np.array_equal(picture[:, 32:], image[:, :32])
    assert (picture[:, :32] == roi.FILL_RGB).all()
    assert (roi.sample(image, (100, 100, 120, 120), 8) == roi.FILL_RGB).all()


def test_shrinking_averages_areas():
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::2] = 200
    for region in ((0, 0, 400, 400), (10.3, 0.6, 395.7, 390.2), (0, 0, 240, 240)):
        picture = roi.sample(stripes, region, 64)
        assert abs(picture.astype(int) - 100).max() <= 30, "the stripes alias into bands"


@pytest.mark.parametrize("region", [(3.4, 5.7, 40.1, 44.9), (10, 10, 30, 30), (-6.5, 20.2, 30.5, 58.8)])
def test_enlarging_is_bilinear_and_half_pixel_exact(region):
    image = smooth_picture(64, 64, seed=3)
    size = 96
    picture = roi.sample(image, region, size)
    for row, column in [(5, 70), (48, 48), (90, 60), (60, 91)]:
        x, y = roi.to_frame(np.array([column + 0.5, row + 0.5]), region, size)
        assert np.abs(picture[row, column] - bilinear(image.astype(float), x, y)).max() <= 1.5


@pytest.mark.parametrize("region", [(20.4, 11.2, 420.9, 411.7), (0, 0, 401, 401), (3, 5, 300, 302)])
def test_a_shrunk_picture_stays_in_place(region):
    image = np.zeros((420, 440, 3), np.uint8)
    cv2.circle(image, (200, 180), 60, (255, 255, 255), -1)
    size = 128
    picture = roi.sample(image, region, size)[..., 0].astype(float)
    ys, xs = np.mgrid[0:size, 0:size] + 0.5
    middle = np.array([(picture * xs).sum(), (picture * ys).sum()]) / picture.sum()
    found = roi.to_frame(middle, region, size)
    assert np.abs(found - (200.5, 180.5)).max() < 0.15


def test_a_region_without_area_is_refused():
    with pytest.raises(UsageError, match="region"):
        roi.sample(smooth_picture(8, 8), (3, 3, 3, 9), 16)


def test_points_and_boxes_go_to_the_view_and_back():
    region, size = (100.0, 50.0, 300.0, 150.0), (64, 128)
    assert np.allclose(roi.to_view(np.array([200.0, 75.0]), region, size), [64, 16])
    assert np.allclose(roi.to_view(np.array([100.0, 50.0, 300.0, 150.0]), region, size), [0, 0, 128, 64])
    several = np.random.default_rng(0).uniform(-50, 400, (5, 4))
    assert np.allclose(roi.to_frame(roi.to_view(several, region, size), region, size), several)


@settings(max_examples=30, deadline=None)
@given(
    x=st.floats(-20, 30),
    y=st.floats(-20, 30),
    width=st.floats(4, 60),
    height=st.floats(4, 60),
    grid=st.integers(2, 16),
)
def test_pasted_logits_equal_the_reference(x, y, width, height, grid):
    region = (x, y, x + width, y + height)
    logits = np.random.default_rng(grid).normal(size=(grid, grid + 1)).astype(np.float32)
    pasted, (x0, y0, x1, y1) = roi.paste_logits(logits, region, (32, 40))
    inside = [
        (row, column)
        for row in range(32)
        for column in range(40)
        if region[0] <= column + 0.5 < region[2] and region[1] <= row + 0.5 < region[3]
    ]
    assert inside == [(row, column) for row in range(y0, y1) for column in range(x0, x1)]
    assert pasted.shape == (y1 - y0, x1 - x0) and pasted.dtype == np.float32
    # OpenCV 4 rounds positions to 1/32 of a source pixel, OpenCV 5 does not round.
    tolerance = float(np.ptp(logits)) / 32 + 1e-4
    for row, column in inside[:: max(1, len(inside) // 40)]:
        u = (column + 0.5 - region[0]) * (grid + 1) / width
        v = (row + 0.5 - region[1]) * grid / height
        assert pasted[row - y0, column - x0] == pytest.approx(bilinear(logits, u, v), abs=tolerance)


@pytest.mark.parametrize("factor", [1.3, 1.8, 2.4])
def test_a_mask_survives_the_way_through_a_view(factor):
    mask = np.zeros((360, 640), np.uint8)
    cv2.ellipse(mask, (330, 190), (90, 55), 25, 0, 360, 1, -1)
    cv2.circle(mask, (250, 150), 30, 1, -1)
    x, y, width, height = cv2.boundingRect(mask)
    region = roi.focus_region((x, y, x + width, y + height), factor)
    picture = roi.sample(np.repeat(mask[..., None] * 255, 3, 2), region, 128)[..., 0]
    # The color outside the frame is no object.
    logits = picture.astype(np.float32) - 127.5
    pasted, (x0, y0, x1, y1) = roi.paste_logits(logits, region, mask.shape)
    found = np.zeros(mask.shape, bool)
    found[y0:y1, x0:x1] = pasted > 0
    truth = mask.astype(bool)
    assert (found & truth).sum() / (found | truth).sum() > 0.97


def test_logits_of_one_view_seen_from_another():
    logits = np.random.default_rng(1).normal(size=(16, 16)).astype(np.float32)
    same = roi.resample_logits(logits, (10, 20, 50, 60), (10, 20, 50, 60), 16)
    assert np.allclose(same, logits, atol=1e-5)
    moved = roi.resample_logits(logits, (10, 20, 50, 60), (30, 20, 70, 60), 16, fill=-7)
    assert np.allclose(moved[:, :8], logits[:, 8:], atol=1e-5)
    assert (moved[:, 8:] == -7).all()
    away = roi.resample_logits(logits, (10, 20, 50, 60), (300, 20, 340, 60), (8, 12))
    assert away.shape == (8, 12) and (away == roi.NOTHING_LOGIT).all()


def test_nothing_is_pasted_from_a_view_outside_the_frame():
    pasted, (x0, y0, x1, y1) = roi.paste_logits(np.ones((8, 8), np.float32), (-30, 0, -5, 25), (32, 40))
    assert pasted.size == 0 and (x1 - x0) * (y1 - y0) == 0


def test_shrinking_by_sixteen_averages_every_pixel():
    image = smooth_picture(64, 96, seed=5)
    picture = roi.sample(image, (0, 0, 96, 64), (4, 6))
    expected = image.reshape(4, 16, 6, 16, 3).mean((1, 3))
    assert np.abs(picture - expected).max() <= 3
