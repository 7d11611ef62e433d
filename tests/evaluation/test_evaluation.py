from __future__ import annotations

import json

import av
import numpy as np
import pytest
from PIL import Image
from support.command import streamseg

from streamseg.errors import MediaError
from streamseg.evaluation import photo_files, photos, sequences, videos
from streamseg.stills import model

HEIGHT, WIDTH, FRAMES = 96, 128, 6


def scene(index):
    """A bright disc moving over dark noise, and its mask."""
    rng = np.random.default_rng(7)
    image = rng.integers(20, 60, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    mask = (x - 40 - 4 * index) ** 2 + (y - 48) ** 2 < 22**2
    image[mask] = (230, 120, 40)
    return image, mask


@pytest.fixture
def dataset(tmp_path):
    for name in ("ball", "disc"):
        folder = tmp_path / name
        (folder / "masks").mkdir(parents=True)
        (folder / "frames").mkdir()
        for index in range(FRAMES):
            image, mask = scene(index)
            Image.fromarray(image).save(folder / "frames" / f"{index:05d}.png")
            Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "masks" / f"{index:05d}.png")
    return tmp_path


def write_video(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", 25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "bgr0"
        for index in range(FRAMES):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(scene(index)[0], "rgb24")))
        container.mux(stream.encode())


def test_both_layouts_are_found(dataset, tmp_path):
    assert [s.name for s in sequences.find_sequences(dataset)] == ["ball", "disc"]
    official = tmp_path / "official"
    for kind, source in (("JPEGImages", "frames"), ("Annotations", "masks")):
        (official / kind / "480p").mkdir(parents=True)
        (dataset / "ball" / source).rename(official / kind / "480p" / "ball")
    (found,) = sequences.find_sequences(official)
    assert (found.name, len(found.mask_files), found.source.name) == ("ball", FRAMES, "ball")


def test_a_missing_sequence_is_named(dataset):
    with pytest.raises(MediaError, match="no sequence 'cube'; there are ball, disc"):
        sequences.find_sequences(dataset, ["cube"])
    with pytest.raises(MediaError, match="no sequences found"):
        sequences.find_sequences(dataset / "ball" / "masks")


def test_ids_void_and_binary_masks(tmp_path):
    Image.fromarray(np.array([[0, 255]], np.uint8)).save(tmp_path / "binary.png")
    Image.fromarray(np.array([[2, 255, 1]], np.uint8)).save(tmp_path / "ids.png")
    assert sequences.read_ids(tmp_path / "binary.png").tolist() == [[0, 1]]
    assert sequences.read_ids(tmp_path / "ids.png").tolist() == [[2, 0, 1]]


@pytest.mark.parametrize("init", ["box", "mask"])
def test_an_easy_object_is_followed_and_measured(dataset, init):
    sequence = sequences.find_sequences(dataset, ["ball"])[0]
    (measured,) = videos.evaluate_sequence(sequence, init=init, embed={}, propagate={})
    assert measured.name == "ball"
    assert measured.j.mean > 0.8
    assert measured.j_and_f == pytest.approx((measured.j.mean + measured.f.mean) / 2)
    average = videos.mean([measured, measured])
    assert average.j == pytest.approx(measured.j)


def test_a_video_file_and_masks_that_do_not_fit(dataset):
    folder = dataset / "ball"
    write_video(folder / "video.mkv")
    (folder / "masks" / "00005.png").unlink()
    sequence = sequences.find_sequences(dataset, ["ball"])[0]
    assert sequence.source.name == "video.mkv"
    with pytest.raises(MediaError, match="6 frames but 5 mask files"):
        videos.evaluate_sequence(sequence, init="box", embed={}, propagate={})


@pytest.fixture
def album(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for index in range(4):
        image, mask = scene(index)
        Image.fromarray(image).save(tmp_path / "images" / f"{index}.png")
        Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / "masks" / f"{index}.png")
    return tmp_path


def test_photos_by_folder_and_by_index(album):
    assert [p.image.name for p in photo_files.find_photos(album, (1, 2))] == ["1.png", "3.png"]
    entries = [{"set": "toys", "image": "images/2.png", "mask": "masks/2.png"}]
    (album / "index.json").write_text(json.dumps(entries))
    (photo,) = photo_files.find_photos(album)
    assert (photo.kind, photo.mask) == ("toys", album / "masks" / "2.png")


@pytest.mark.parametrize(
    ("index", "words"),
    [('{"a": 1}', "expected a list"), ('[{}]', "expected a list"), ("[", "expected a list"),
     ('[{"image": "x.png", "mask": "y.png"}]', "neither in")],
)  # fmt: skip
def test_a_wrong_index_is_explained(album, index, words):
    (album / "index.json").write_text(index)
    with pytest.raises(MediaError, match=words):
        photo_files.find_photos(album)


def test_a_photo_without_a_mask_is_named(album):
    (album / "masks" / "1.png").unlink()
    with pytest.raises(MediaError, match=r"1\.png has no mask"):
        photo_files.find_photos(album)


def test_undecided_pixels_do_not_count(tmp_path):
    Image.fromarray(np.array([[0, 128, 255, 255]], np.uint8)).save(tmp_path / "m.png")
    (truth,) = photo_files.read_masks(tmp_path / "m.png", 0.0)
    assert truth.iou(np.array([[False, True, True, False]])) == 0.5


def test_instances_are_separate_and_small_ones_are_left_out(tmp_path):
    values = np.zeros((10, 10), np.uint8)
    values[:5], values[9, 9] = 3, 7
    Image.fromarray(values).save(tmp_path / "m.png")
    assert len(photo_files.read_masks(tmp_path / "m.png", 0.0)) == 2
    assert len(photo_files.read_masks(tmp_path / "m.png", 0.02)) == 1


def test_box_and_click_beside_what_is_free(album):
    segmenter = photos.PhotoSegmenter(device="cpu")
    rated = list(photos.rate(photo_files.find_photos(album, (0, 2)), segmenter, min_area=0.01, compare=True))
    table = photos.means(rated)
    assert len(rated) == 2
    assert table["mean"]["box"] > 0.8
    assert table["mean"]["grabcut"] > 0.8
    assert table["mean"]["box itself"] == pytest.approx(np.pi / 4, abs=0.05)
    assert set(table["mean"]) == {"box", "click", "grabcut", "box itself"}


def test_photos_are_segmented_with_one_decoder_and_know_nothing_of_each_other(album, monkeypatch):
    loaded = []
    load_decoder = model.load_decoder

    def counted(*args, **options):
        loaded.append(args)
        return load_decoder(*args, **options)

    monkeypatch.setattr(model, "load_decoder", counted)
    first, second, *_ = (photo_files.read_rgb(photo.image) for photo in photo_files.find_photos(album))
    segmenter = photos.PhotoSegmenter(device="cpu")
    prompts = [{"box": [20, 20, 60, 60]}, {"points": [[30, 30]]}]
    masks = [segmenter.segment(image, prompt) for image in (first, second, first) for prompt in prompts]
    assert len(loaded) == 1
    assert all((masks[number] == masks[number + 4]).all() for number in (0, 1))


def test_the_command_prints_a_table_and_writes_every_figure(dataset, tmp_path):
    done = streamseg("eval", dataset, "--sequence", "ball", "--init", "mask", "--json", tmp_path / "figures.json")
    assert done.returncode == 0, done.stderr
    header, ball, average = done.stdout.splitlines()
    assert header.split()[:2] == ["SEQUENCE", "J&F"]
    assert ball.split()[0] == "ball"
    assert average.split()[1:] == ball.split()[1:]
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["mean"]["j_and_f"] > 0.7
    assert f"{100 * figures['sequences'][0]['j_and_f']:.1f}" == ball.split()[1]


def test_the_command_for_photos(album):
    done = streamseg("eval-images", album, "--every", "4", "--json", "-")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert len(figures["objects"]) == 1
    assert figures["mean_iou"]["mean"]["box"] > 0.8


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("eval", "nowhere"), 3, "no sequences found"),
        (("eval-images", "nowhere"), 3, "no photos with masks"),
        (("eval", "nowhere", "--init", "point"), 2, "--init"),
    ],
)
def test_the_commands_explain_what_is_wrong(words, code, said):
    done = streamseg(*words)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
