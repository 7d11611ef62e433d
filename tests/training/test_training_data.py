from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image
from support.training_data import HEIGHT, WIDTH, painted, shape, write_coco, write_film, write_photos

from streamseg.errors import MediaError, UsageError
from streamseg.masks import rle
from streamseg.training import executors
from streamseg.training.data import coco, datasets
from streamseg.training.data.annotated_images import decode_mask, encode_object
from streamseg.training.data.scene_sampler import SceneSampler
from streamseg.training.recipe import parse
from streamseg.training.seeding import Purpose, generator


def read(data):
    return datasets.read(parse({"data": data}).data, executors.make_executor(0))


def iou(a, b):
    return np.count_nonzero(a & b) / np.count_nonzero(a | b)


def test_every_tenth_photo_is_held_out(photos):
    (found,) = read({"photos": [{"path": str(photos)}]}).image_sets
    assert [photo.path.stem for photo in found.held_out] == ["000", "010"]
    assert [photo.path.stem for photo in found.training] == [f"{i:03d}" for i in range(12) if i % 10]
    (all_of_it,) = read({"photos": [{"path": str(photos)}], "hold_out_every": 0}).image_sets
    assert (len(all_of_it.training), len(all_of_it.held_out)) == (12, 0)


def test_masks_are_those_in_the_files(photos):
    (found,) = read({"photos": [{"path": str(photos)}]}).image_sets
    for photo in found.training:
        assert photo.size == (HEIGHT, WIDTH)
        np.testing.assert_array_equal(photo.mask(0), shape(int(photo.path.stem)))


def test_photos_are_reduced_with_their_masks(photos):
    (found,) = read({"photos": [{"path": str(photos)}], "longer_side_px": 64}).image_sets
    photo = found.training[0]
    assert photo.size == (48, 64)
    assert iou(cv2.resize(photo.mask(0), (WIDTH, HEIGHT)) > 0, shape(1)) > 0.9


def test_an_index_gives_its_sets_apart(photos, tmp_path):
    shutil.copytree(photos, tmp_path / "data")
    entries = [
        {"set": "even" if i % 2 == 0 else "odd", "image": f"images/{i:03d}.png", "mask": f"masks/{i:03d}.png"}
        for i in range(12)
    ]
    (tmp_path / "data" / "index.json").write_text(json.dumps(entries))
    (odd,) = read({"photos": [{"path": str(tmp_path / "data"), "set": "odd"}]}).image_sets
    assert [photo.path.stem for photo in odd.held_out] == ["001"]
    assert [photo.path.stem for photo in odd.training] == ["003", "005", "007", "009", "011"]
    with pytest.raises(UsageError, match="has no set 'evn'; did you mean 'even'"):
        read({"photos": [{"path": str(tmp_path / "data"), "set": "evn"}]})


def test_coco_files_in_all_their_forms(tmp_path):
    """Polygons, run lengths as numbers and as text; the file lies apart from its photos."""
    (tmp_path / "photos").mkdir()
    mask = shape(0)
    counts = rle.encode(mask)
    outline, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    polygon = (outline[0].reshape(-1) + 0.5).tolist()
    square = [40, 20, 80, 20, 80, 60, 40, 60]
    forms = [
        {"size": [HEIGHT, WIDTH], "counts": counts},
        {"size": [HEIGHT, WIDTH], "counts": rle.compress(counts)},
        [polygon],
        [square, [0, 0, 10, 0, 10, 20, 0, 20]],
    ]
    names = [f"{i}.png" for i in range(4)]
    for name in names:
        Image.fromarray(painted(mask, 0)).save(tmp_path / "photos" / name)
    path = write_coco(tmp_path / "coco.json", forms, names)
    (found,) = read(
        {"photos": [{"path": str(path), "images": str(tmp_path / "photos")}], "hold_out_every": 0}
    ).image_sets
    masks = [photo.mask(0) > 0 for photo in found.training]
    np.testing.assert_array_equal(masks[0], mask)
    np.testing.assert_array_equal(masks[1], mask)
    # Through the middles of the outermost pixels: half a pixel is lost all round.
    assert iou(masks[2], mask) > 0.93
    assert not np.any(masks[2] & ~mask)
    expected = np.zeros_like(mask)
    expected[20:60, 40:80] = expected[:20, :10] = True
    np.testing.assert_array_equal(masks[3], expected)


def test_crowds_are_left_out(tmp_path):
    Image.fromarray(painted(shape(0), 0)).save(tmp_path / "0.png")
    path = write_coco(tmp_path / "coco.json", [{"size": [HEIGHT, WIDTH], "counts": rle.encode(shape(0))}], ["0.png"])
    assert len(coco.read(path)) == 1
    path.write_text(path.read_text().replace('"iscrowd": 0', '"iscrowd": 1'))
    assert coco.read(path) == []


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        ([[1, 2, 3]], "a polygon of three corners"),
        ({"size": [5, 5], "counts": [25]}, r"run lengths of a photo of \(96, 128\), got size \(5, 5\)"),
        ({"size": [HEIGHT, WIDTH], "counts": [7]}, "add up to 96 x 128"),
        ("all of it", "expected COCO's 'images' and 'annotations'"),
    ],
)
def test_a_damaged_coco_file_is_refused(tmp_path, segmentation, words):
    Image.fromarray(painted(shape(0), 0)).save(tmp_path / "0.png")
    path = write_coco(tmp_path / "coco.json", [segmentation], ["0.png"])
    with pytest.raises(MediaError, match=words):
        read({"photos": [{"path": str(path)}], "hold_out_every": 0})


def test_a_coco_file_without_its_photos_says_what_to_give(tmp_path):
    path = write_coco(tmp_path / "coco.json", [[[0, 0, 9, 0, 9, 9]]], ["0.png"])
    with pytest.raises(MediaError, match="give 'images: FOLDER'"):
        read({"photos": [{"path": str(path)}]})


def test_missing_and_empty_data_are_named(photos, tmp_path):
    with pytest.raises(MediaError, match="nowhere is not a folder"):
        read({"photos": [{"path": str(tmp_path / "nowhere")}]})
    with pytest.raises(UsageError, match="no objects to train on"):
        read({"photos": [{"path": str(photos), "min_area": 0.9}]})
    with pytest.raises(UsageError, match="no objects to train on"):
        read({"photos": [{"path": str(write_photos(tmp_path / "one", 1))}]})
    with pytest.raises(UsageError, match="the recipe gives no scenes"):
        data = {"photos": [{"path": str(photos), "focus": 0}]}
        SceneSampler(read(data), parse({"data": data}))


def test_masks_of_another_size_are_refused(tmp_path):
    write_photos(tmp_path / "set", 3)
    Image.new("L", (50, 50), 255).save(tmp_path / "set" / "masks" / "001.png")
    with pytest.raises(MediaError, match=r"001\.png: expected masks of the photo's size \(96, 128\), got \(50, 50\)"):
        read({"photos": [{"path": str(tmp_path / "set")}]})


def test_videos_but_for_those_held_out(tmp_path):
    for name in ("car", "cow", "dog"):
        write_film(tmp_path / name, 5)
    found = read({"films": [{"path": str(tmp_path), "held_out": ["cow"]}]}).videos
    assert [video.name for video in found] == ["car", "dog"]
    np.testing.assert_array_equal(found[0].mask(0, 2), np.roll(shape(0), 4, axis=1))
    assert found[0].rgb(0).shape == (HEIGHT, WIDTH, 3)
    with pytest.raises(UsageError, match="no sequence 'cw' to hold out; did you mean 'cow'"):
        read({"films": [{"path": str(tmp_path), "held_out": ["cw"]}]})
    (tmp_path / "dog" / "masks" / "00000.png").unlink()
    with pytest.raises(MediaError, match="dog: 5 frames but 4 masks"):
        read({"films": [{"path": str(tmp_path)}]})


def test_what_is_held_out_is_never_drawn(tmp_path):
    """Held-out photos are deleted once the data are read: whoever wants one after that fails."""
    folder = write_photos(tmp_path / "set", 12)
    recipe = parse({"data": {"photos": [{"path": str(folder)}], "cache_mb": 0}})
    data = datasets.read(recipe.data, executors.make_executor(0))
    for photo in data.image_sets[0].held_out:
        photo.path.unlink()
    sampler = SceneSampler(data, recipe)

    def draw_all():
        for number in range(150):
            sampler.sample_scene(generator(1, Purpose.EPISODE, number), 3)
            sampler.sample_image(generator(1, Purpose.WHOLE_IMAGE, number), 3)

    draw_all()
    data.image_sets[0].training[4].path.unlink()
    with pytest.raises(MediaError):
        draw_all()


def test_objects_keep_their_masks():
    mask = shape(3)
    encoded = encode_object(mask)
    assert encoded.area_px == np.count_nonzero(mask)
    np.testing.assert_array_equal(decode_mask(encoded.counts, mask.shape), mask)


@pytest.mark.parametrize("counts", [[1 << 62] * 4, [1 << 70, 24], "o" * 500, "0" + ("o" * 11 + "?") * 4])
def test_run_lengths_of_a_stranger_are_one_sentence(counts):
    lengths = coco.RunLengths((4, 6), counts)
    with pytest.raises(MediaError, match="expected"):
        coco.rasterize(lengths, (4, 6), (4, 6))


@pytest.mark.parametrize("far", [float("nan"), float("inf"), -1e18, 1e300])
def test_a_polygon_that_leaves_every_picture_is_refused(far):
    with pytest.raises(MediaError, match="within 65536 pixels"):
        coco.rasterize([[1.0, 1.0, 4.0, far, 4.0, 3.0]], (4, 6), (4, 6))


@pytest.mark.parametrize("height", [0, -4, 1 << 40])
def test_a_photo_of_a_size_that_none_has_is_refused(tmp_path, height):
    photo = {"id": 1, "file_name": "a.png", "height": height, "width": 6}
    (tmp_path / "a.json").write_text(json.dumps({"images": [photo], "annotations": []}))
    with pytest.raises(MediaError, match="height"):
        coco.read(tmp_path / "a.json")
