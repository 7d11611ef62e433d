from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image
from support.training_data import HEIGHT, WIDTH, painted, shape, write_film, write_photos

from streamseg.masks.boxes import box_of_mask
from streamseg.masks.roi import FILL_RGB
from streamseg.training import executors
from streamseg.training.data import datasets
from streamseg.training.data.composites import CompositeScene, Cutout
from streamseg.training.data.drawn_things import drawn_background, drawn_cutout
from streamseg.training.data.scenes import VideoScene
from streamseg.training.data.transforms import reflection, region_to_picture, rotation_scaling, transform_point, warp
from streamseg.training.recipe import parse
from streamseg.training.tasks.prompt_noise import corrupt_mask, jitter_box, mask_to_logits

SIZE = (128, 128)
REGION = (-10.0, -20.0, 120.0, 110.0)


def generator(number):
    return np.random.default_rng(number)


def cutout(number=0):
    return Cutout(painted(shape(number), number), shape(number).view(np.uint8))


def background():
    return painted(np.zeros((HEIGHT, WIDTH), bool), 3)


def video(tmp_path):
    write_film(tmp_path / "films" / "car", 6)
    data = parse({"data": {"films": [{"path": str(tmp_path / "films")}]}}).data
    return datasets.read(data, executors.make_executor(0)).videos[0]


def agree(scene, moment, region=REGION):
    """Whether what is bright in the picture is what the mask says; blur and noise are allowed for."""
    mask = scene.coverage(moment, region, SIZE) > 127
    gray = scene.render(moment, region, SIZE, generator(9)).mean(2)
    kernel = np.ones((9, 9))
    inside = cv2.erode(mask.view(np.uint8), kernel) > 0
    outside = cv2.dilate(mask.view(np.uint8), kernel) == 0
    within = np.zeros(SIZE, bool)
    within[22:112, 12:] = True
    assert inside.sum() > 30
    return np.median(gray[inside & within]) > np.percentile(gray[outside & within], 90)


@pytest.mark.parametrize("seed", range(8))
def test_a_photo_and_its_mask_move_together(seed):
    scene = CompositeScene(cutout(seed), 3, generator(seed))
    agreeing = [agree(scene, m) for m in range(3) if (scene.coverage(m, REGION, SIZE) > 127).sum() > 600]
    assert all(agreeing)


def test_an_object_pasted_onto_a_photo_can_be_left_out():
    seen = 0
    for seed in range(12):
        scene = CompositeScene(cutout(seed), 2, generator(seed), background=background())
        mask = scene.coverage(1, scene.whole, SIZE) > 127
        if mask.sum() < 600:
            continue
        seen += 1
        with_it = scene.render(1, scene.whole, SIZE, generator(1)).astype(int)
        without = scene.render(1, scene.whole, SIZE, generator(1), without_object=True).astype(int)
        changed = np.abs(with_it - without).max(2) > 12
        grown = cv2.dilate(mask.view(np.uint8), np.ones((25, 25))) > 0
        assert changed[mask].mean() > 0.6
        assert changed[~grown].mean() < 0.05
    assert seen >= 4


def test_what_lies_in_front_takes_away_from_the_object():
    bare = [CompositeScene(cutout(), 1, generator(s)).half_size_mask(0).sum() for s in range(10)]
    # The same draws come first, so the object lies where it lay.
    covered = [CompositeScene(cutout(), 1, generator(s), occluder=cutout(1)).half_size_mask(0).sum() for s in range(10)]
    assert all(c <= b for b, c in zip(bare, covered, strict=True))
    assert sum(covered) < 0.9 * sum(bare)


def test_distractors_are_what_neither_the_object_nor_each_other_hides():
    seen = 0
    for seed in range(20):
        scene = CompositeScene(
            cutout(0), 2, generator(seed), background=background(), distractor=cutout(0), occluder=cutout(1)
        )
        distractors = scene.distractors(1)
        assert len(distractors) == 2
        # Edges are rounded to pixels, so they may touch.
        assert (np.sum([scene.half_size_mask(1), *distractors], axis=0) > 1).mean() < 0.01
        for distractor in distractors:
            seen += distractor.any()
            painted_there = scene.render(
                1, scene.whole, (2 * distractor.shape[0], 2 * distractor.shape[1]), generator(9)
            ).mean(2)
            inside = cv2.erode(distractor, np.ones((5, 5))).repeat(2, 0).repeat(2, 1) > 0
            if inside.sum() > 600:
                assert np.median(painted_there[inside]) > np.percentile(painted_there, 40)
    assert seen > 20
    assert CompositeScene(cutout(0), 2, generator(0)).distractors(0) == []


@pytest.mark.parametrize("seed", range(6))
def test_video_and_mask_agree_mirrored_or_not(tmp_path, seed):
    scene = VideoScene(video(tmp_path), 0, [0, 2, 4], generator(seed))
    assert agree(scene, 0)
    assert agree(scene, 2)
    np.testing.assert_array_equal(scene.half_size_mask(1), scene.half_size_mask(1))


def test_beyond_the_scene_is_nothing(tmp_path):
    scene = VideoScene(video(tmp_path), 0, [0], generator(1))
    picture = scene.render(0, (-128.0, -96.0, 128.0, 96.0), SIZE, generator(2))
    assert (picture[:64] == FILL_RGB).all()
    assert (picture[:, :64] == FILL_RGB).all()
    assert not (picture[64:, 64:] == FILL_RGB).all()
    assert not scene.coverage(0, (-300.0, 0.0, -100.0, 200.0), SIZE).any()


def test_transforms_have_their_edges_where_pixels_have_them():
    assert transform_point(region_to_picture((10, 20, 30, 60), (80, 40)), (20, 40)) == (20, 40)
    assert transform_point(reflection(10), (2.5, 1)) == (7.5, 1)
    assert transform_point(rotation_scaling((5, 5), 2, 90), (6, 5)) == pytest.approx((5, 7))
    picture = generator(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    np.testing.assert_array_equal(warp(picture, np.eye(3), (20, 30), cv2.BORDER_CONSTANT), picture)
    np.testing.assert_array_equal(warp(picture, reflection(30), (20, 30), cv2.BORDER_CONSTANT), picture[:, ::-1])


def test_noise_stays_near_the_truth():
    mask = np.zeros((128, 128), np.uint8)
    cv2.circle(mask, (60, 70), 25, (1,), -1)
    ious = []
    for seed in range(60):
        worse = corrupt_mask(mask, generator(seed))
        ious.append(np.count_nonzero(worse & mask) / np.count_nonzero(worse | mask))
        x0, _, x1, y1 = jitter_box((10, 20, 50, 100), 0.3, generator(seed))
        assert x1 - x0 >= 2
        assert abs(x0 - 10) <= 12
        assert abs(y1 - 100) <= 24
    assert 0.5 < np.median(ious) < 0.95
    logits = mask_to_logits(mask, generator(0))
    assert logits.dtype == np.float32
    assert logits[70, 60] > 0 > logits[0, 0]
    assert np.abs(logits).max() < 12
    assert not corrupt_mask(np.zeros_like(mask), generator(0)).any()


def test_data_of_a_set_can_be_cleaned_of_noise(tmp_path):
    folder = write_photos(tmp_path / "set", 2)
    path = folder / "masks" / "001.png"
    mask = np.array(Image.open(path))
    mask[generator(0).random(mask.shape) < 0.05] ^= 255
    Image.fromarray(mask).save(path)
    sources = [{"path": str(folder), "median_px": px} for px in (0, 5)]
    data = parse({"data": {"photos": sources}}).data
    raw, clean = (each.training[0].mask(0) > 0 for each in datasets.read(data, executors.make_executor(0)).image_sets)
    assert np.count_nonzero(raw ^ shape(1)) > 200
    assert np.count_nonzero(clean ^ shape(1)) < 60


def test_drawn_things_often_fill_the_box_round_them_and_can_be_told_from_their_photo():
    filled = []
    for seed in range(60):
        drawn = drawn_cutout(background(), generator(seed))
        box = box_of_mask(drawn.mask)
        assert drawn.rgb.shape == (*drawn.mask.shape, 3)
        assert box is not None
        filled.append(drawn.mask.sum() / ((box[2] - box[0]) * (box[3] - box[1])))
    assert 0.4 < np.mean(np.array(filled) > 0.99) < 0.8
    assert min(filled) < 0.7


def test_what_stays_upright_keeps_its_edges_along_those_of_the_frame():
    square = np.zeros((96, 96), np.uint8)
    square[20:76, 20:76] = 1
    drawn = Cutout(painted(square > 0, 0), square)
    for seed in range(20):
        scene = CompositeScene(drawn, 3, generator(seed), background=background(), upright=True)
        for moment in range(3):
            mask = scene.coverage(moment, scene.whole, SIZE) > 127
            box = box_of_mask(mask.view(np.uint8))
            if box is not None:
                assert mask[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])].mean() > 0.97


def test_drawn_backgrounds_are_plain_or_fade():
    for seed in range(10):
        picture = drawn_background(90, 60, generator(seed)).astype(int)
        assert picture.shape == (60, 90, 3)
        smooth = cv2.blur(picture.astype(np.float32), (9, 9))
        assert np.abs(np.diff(smooth, axis=1)).mean() < 8
