"""MOTS, MOT and DAVIS: what benchmarks of tracking read."""

from __future__ import annotations

from pathlib import Path

import cv2
import motmetrics
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from support.exported import assert_identical, truth
from support.media import decode_plainly
from support.strange_masks import HEIGHT, IDS, WIDTH, strange_ids

from streamseg.errors import UsageError
from streamseg.formats.clip import Clip
from streamseg.formats.convert import write_clip
from streamseg.formats.data_sets.davis import Davis
from streamseg.formats.data_sets.mot import Mot
from streamseg.formats.data_sets.mots import Mots
from streamseg.formats.runs.run import Run
from streamseg.masks.png import voc_palette

FRAMES = 9
SMALL = (1, 2, 3, 4, 5)

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def masks_of(clip: Clip) -> dict[tuple[int, int], np.ndarray]:
    return {(f.index, s.id): s.mask for f in clip for s in f.shapes if s.is_there}


def read_mots_text(path: Path) -> dict[tuple[int, int], np.ndarray]:
    """As the format is published: time_frame id class_id img_height img_width rle; id = class * 1000 + object."""
    found = {}
    for line in path.read_text().splitlines():
        frame, track, kind, height, width, rle = line.split(" ")
        assert int(track) // 1000 == int(kind)
        mask = coco_mask.decode({"size": [int(height), int(width)], "counts": rle.encode()})
        found[int(frame), int(track) % 1000] = mask.astype(bool)
    return found


@pytest.mark.parametrize("first", [0, 1])
def test_mots_text_and_pictures(small_ids: Run, tmp_path: Path, first: int) -> None:
    write_clip(small_ids, "mots", tmp_path, {"first_frame": first})
    text = read_mots_text(tmp_path / "clip.txt")
    assert_identical({(n - first, i): mask for (n, i), mask in text.items()}, FRAMES, SMALL)
    for n in range(FRAMES):
        values = cv2.imread(str(tmp_path / "instances" / "clip" / f"{n + first:06d}.png"), cv2.IMREAD_UNCHANGED)
        assert values.dtype == np.uint16
        classes = {1: 1, 2: 4, 3: 2, 4: 1}
        there = {i for at, i in truth(FRAMES, SMALL) if at == n}
        assert set(np.unique(values)) - {0} == {classes[i] * 1000 + i for i in there}
        for i in SMALL:
            assert np.array_equal((values % 1000 == i) & (values > 0), text.get((n + first, i), values < 0))
    assert_identical(masks_of(Mots.read(tmp_path / "clip.txt")), FRAMES, SMALL)
    clip = Mots.read(tmp_path / "instances" / "clip")
    assert_identical(masks_of(clip), FRAMES, SMALL)
    assert clip.objects == {1: "ball", 2: "object", 3: "cup & saucer", 4: "ball"}


def test_ids_that_do_not_fit_are_refused_or_numbered_anew(run: Run, tmp_path: Path) -> None:
    for name, largest in (("mots", 999), ("davis", 254)):
        with pytest.raises(UsageError, match=rf"ids up to {largest}.*object 1000; say --renumber"):
            write_clip(run, name, tmp_path / name, {"images": False})
        write_clip(run, name, tmp_path / name, {"images": False}, renumber=True)
        assert '"1000": 5' in (tmp_path / name / "ids.json").read_text().replace("\n", " ") or (
            '"5": 1000' in (tmp_path / name / "ids.json").read_text()
        )
    assert_identical(masks_of(Mots.read(tmp_path / "mots")), FRAMES, SMALL)
    assert_identical(masks_of(Davis.read(tmp_path / "davis")), FRAMES, SMALL)


def test_davis_2017(small_ids: Run, tmp_path: Path, video: Path) -> None:
    notes = write_clip(small_ids, "davis", tmp_path, {"jpeg_quality": 100})
    assert notes == ["DAVIS has no labels: they are left out"]
    assert (tmp_path / "ImageSets/2017/val.txt").read_text() == "clip\n"
    found = {}
    for n, image in enumerate(decode_plainly(video)):
        with Image.open(tmp_path / f"Annotations/480p/clip/{n:05d}.png") as picture:
            assert picture.mode == "P"
            assert picture.getpalette()[:12] == voc_palette()[:4].ravel().tolist()
            values = np.array(picture)
        found |= {(n, int(i)): values == i for i in np.unique(values) if i}
        jpeg = np.array(Image.open(tmp_path / f"JPEGImages/480p/clip/{n:05d}.jpg"))
        assert np.abs(jpeg.astype(int) - image).mean() < 4
    assert_identical(found, FRAMES, SMALL)
    assert_identical(masks_of(Davis.read(tmp_path)), FRAMES, SMALL)


def test_davis_is_what_eval_reads(small_ids: Run, tmp_path: Path) -> None:
    from streamseg.evaluation.sequences import find_sequences, read_ids

    write_clip(small_ids, "davis", tmp_path)
    (sequence,) = find_sequences(tmp_path)
    assert sequence.name == "clip"
    assert len(sequence.mask_files) == FRAMES
    expected = np.array([0, *SMALL], np.uint16)[np.searchsorted([0, *IDS], strange_ids(6))]
    assert np.array_equal(read_ids(sequence.mask_files[6]), expected)


def test_davis_2016_has_one_object(run: Run, tmp_path: Path) -> None:
    notes = write_clip(run, "davis", tmp_path, {"year": "2016", "images": "false"})
    assert any("the 5 of clip are one" in note for note in notes)
    lines = (tmp_path / "ImageSets/480p/val.txt").read_text().splitlines()
    assert lines[1] == "/JPEGImages/480p/clip/00001.jpg /Annotations/480p/clip/00001.png"
    for n, line in enumerate(lines):
        values = np.array(Image.open(tmp_path / line.split()[1][1:]))
        assert np.array_equal(values == 255, strange_ids(n) > 0)
        assert set(np.unique(values)) == {0, 255}


# motmetrics 1.4.0 uses what pandas 4 will have no longer.
@pytest.mark.filterwarnings("ignore:Operation with tuple is deprecated")
@pytest.mark.parametrize("kind", ["gt", "det"])
def test_mot_boxes(run: Run, tmp_path: Path, kind: str) -> None:
    write_clip(run, "mot", tmp_path, {"scores": kind == "det", "images": True})
    table = motmetrics.io.loadtxt(tmp_path / f"clip/{kind}/{kind}.txt", fmt="mot15-2D")
    expected = truth(FRAMES)
    assert {(n - 1, i) for n, i in table.index} == set(expected)
    for (n, i), row in table.iterrows():
        y, x = np.nonzero(expected[n - 1, i])
        box = (x.min(), y.min(), x.max() + 1 - x.min(), y.max() + 1 - y.min())
        assert (row["X"], row["Y"], row["Width"], row["Height"]) == box
        assert row["Confidence"] == (1 if kind == "gt" else 0.9)
    info = (tmp_path / "clip/seqinfo.ini").read_text()
    assert f"imWidth={WIDTH}\nimHeight={HEIGHT}" in info
    assert f"seqLength={FRAMES}" in info
    assert len(list((tmp_path / "clip/img1").glob("*.jpg"))) == FRAMES
    clip = Mot.read(tmp_path)
    found = {(f.index, s.id): s.box_xyxy for f in clip for s in f.shapes}
    assert found == {(f.index, s.id): s.box_xyxy for f in run for s in f.shapes if s.is_there}
    assert clip.objects[70] == ("cup & saucer" if kind == "gt" else "")


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (Mots, "1 2 3\n", "line 1: expected frame, id"),
        (Mots, "0 1001 1 4 4 zz\n", "line 1"),
        (Mots, "", "there are none"),
        (Mot, "1,2,x,3,4,5\n", "line 1: expected a line of MOT"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, kind: type[Mots] | type[Mot], text: str, said: str) -> None:
    path = tmp_path / "gt.txt"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        kind.read(path, (20, 20))
