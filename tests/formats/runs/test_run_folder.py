"""What `streamseg.load_run` makes of a run's folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.exported import assert_identical
from support.media import decode_plainly
from support.recorded import record
from support.strange_masks import HEIGHT, IDS, LOST, WIDTH, strange_ids

import streamseg
from streamseg.errors import MediaError, UsageError
from streamseg.formats.runs.folder import stream_folders
from streamseg.formats.runs.run import Run
from streamseg.formats.shape import Shape
from streamseg.masks import rle

FRAMES = 9


def test_masks_are_read_by_frame_and_object(run: Run) -> None:
    assert run.frames.tolist() == list(range(FRAMES))
    assert run.size == (HEIGHT, WIDTH)
    assert run.objects == dict(zip(IDS, ("ball", "", "cup & saucer", "ball", "ghost"), strict=True))
    for frame in (8, 0, 4):
        assert np.array_equal(run.ids(frame), strange_ids(frame))
        for object_id in IDS:
            assert np.array_equal(run.mask(frame, object_id), strange_ids(frame) == object_id)


def test_frames_come_in_order_with_all_objects(run: Run) -> None:
    found = {(f.index, s.id): s.mask for f in run for s in f.shapes if s.is_there}
    assert_identical(found, FRAMES)
    for frame in run:
        assert [shape.id for shape in frame.shapes] == list(IDS)
        for shape in frame.shapes:
            ys, xs = np.nonzero(shape.mask)
            box = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) if len(xs) else None
            assert shape.box_xyxy == box
            assert shape.area_px == len(xs)


def test_tracks_are_arrays(run: Run) -> None:
    tracks = run.tracks
    assert len(tracks) == FRAMES * len(IDS)
    assert tracks.frame.tolist() == sorted(tracks.frame.tolist())
    lost = tracks.id == 70
    assert run.states(70) == {n: "LOST" if n in LOST else "TRACKED" for n in range(FRAMES)}
    assert np.isnan(tracks.box_xyxy[lost][list(LOST)]).all()
    assert tracks.pts_s[-1] == pytest.approx(0.32)
    assert set(tracks.label[tracks.id == 300]) == {"ball"}


def test_pictures_come_from_the_source(run: Run, video: Path) -> None:
    images = decode_plainly(video)
    assert np.array_equal(run.image(7), images[7])
    assert all(np.array_equal(image, images[frame.index]) for frame, image in run.with_pictures())


def test_it_is_in_the_package(folder: Path) -> None:
    assert isinstance(streamseg.load_run(folder), streamseg.Run)


def test_plots_show_every_object(run: Run, tmp_path: Path) -> None:
    figure = run.plot(tmp_path / "plot.png")
    areas, scores, states = figure.axes
    assert [line.get_label() for line in areas.lines] == ["1 ball", "7", "70 cup & saucer", "300 ball", "1000 ghost"]
    assert areas.lines[1].get_ydata().tolist() == [int((strange_ids(n) == 7).sum()) for n in range(FRAMES)]
    assert len(scores.lines) == len(states.lines) == len(IDS)
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(streamseg.errors.OutputError, match=r"name a \.png"):
        run.plot(tmp_path / "plot.docx")


def copied(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def test_a_run_that_goes_on_gives_what_is_whole(rle_folder: Path, tmp_path: Path) -> None:
    folder = copied(rle_folder, tmp_path)
    (folder / "run.json").unlink()
    tracks = folder / "tracks.jsonl"
    tracks.write_bytes(tracks.read_bytes()[:-40])
    run = streamseg.load_run(folder)
    found = {(f.index, s.id): s.mask for f in run for s in f.shapes if s.is_there}
    assert_identical(found, FRAMES)
    assert any("has no run.json" in note and "9 frames are whole" in note for note in run.notes)
    assert any("was cut off" in note for note in run.notes)


def test_masks_alone_are_enough(folder: Path, tmp_path: Path) -> None:
    folder = copied(folder, tmp_path)
    (folder / "tracks.jsonl").unlink()
    (folder / "run.json").unlink()
    run = streamseg.load_run(folder)
    assert run.objects == {1: "", 7: "", 70: "", 300: ""}
    assert_identical({(f.index, s.id): s.mask for f in run for s in f.shapes}, FRAMES)


def test_tracks_alone_have_boxes(folder: Path, tmp_path: Path) -> None:
    folder = copied(folder, tmp_path)
    shutil.rmtree(folder / "masks")
    run = streamseg.load_run(folder)
    assert not run.has_masks
    assert run.tracks.area_px[0] == (strange_ids(0) == 1).sum()
    with pytest.raises(UsageError, match="there is only a box"):
        run.mask(0, 1)


def test_segments_are_one_run(tmp_path: Path, video: Path) -> None:
    run = streamseg.load_run(record(tmp_path / "run", video, overlay=False, segment_frames=4))
    assert_identical({(f.index, s.id): s.mask for f in run for s in f.shapes if s.is_there}, FRAMES)
    assert np.array_equal(run.ids(5), strange_ids(5))


def test_streams_of_one_run_have_their_own_pictures(folder: Path, tmp_path: Path, video: Path) -> None:
    for name in ("left", "right"):
        shutil.copytree(folder, tmp_path / name)
        (tmp_path / name / "run.json").unlink()
    sources = {"left": {"options": {"source": str(video)}}, "right": {"options": {"source": "gone.mp4"}}}
    report = {"error": None, "stopped_early": False, "graph": {"nodes": sources}, "nodes": {"left": {"fps": 5.0}}}
    (tmp_path / "run.json").write_text(json.dumps(report))
    assert stream_folders(tmp_path) == [tmp_path / "left", tmp_path / "right"]
    left, right = map(streamseg.load_run, stream_folders(tmp_path))
    assert left.fps == 5
    assert left.image(3).shape == (HEIGHT, WIDTH, 3)
    assert right.pictures is not None
    assert right.pictures.source == "gone.mp4"


def test_what_is_no_run_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UsageError, match="is no folder"):
        streamseg.load_run(tmp_path / "nothing")
    with pytest.raises(UsageError, match="neither tracks"):
        streamseg.load_run(tmp_path)
    for name in ("left", "right"):
        shutil.copytree(folder, tmp_path / name)
    with pytest.raises(UsageError, match="several: left, right"):
        streamseg.load_run(tmp_path)
    run = streamseg.load_run(folder)
    with pytest.raises(UsageError, match="which has 9 from 0 to 8, got 9"):
        run.mask(9, 1)
    with pytest.raises(UsageError, match=r"\(1, 7, 70, 300, 1000\), got 2"):
        run.mask(0, 2)


def test_a_damaged_line_is_named(rle_folder: Path, tmp_path: Path) -> None:
    folder = copied(rle_folder, tmp_path)
    tracks = folder / "tracks.jsonl"
    lines = tracks.read_bytes().splitlines(keepends=True)
    tracks.write_bytes(b"".join([*lines[:3], b"{oops\n", *lines[3:]]))
    with pytest.raises(UsageError, match="line 4"):
        streamseg.load_run(folder)


def test_pictures_that_are_gone_are_missed(folder: Path, tmp_path: Path, video: Path) -> None:
    with pytest.raises(MediaError):
        streamseg.load_run(folder, source=str(tmp_path / "gone.mp4")).image(0)
    folder = copied(folder, tmp_path)
    (folder / "run.json").unlink()
    with pytest.raises(MediaError, match="give load_run the source"):
        streamseg.load_run(folder).image(0)
    assert streamseg.load_run(folder, source=str(video)).image(0).shape == (HEIGHT, WIDTH, 3)


def test_crops_are_the_masks_inside_of_their_boxes(run: Run) -> None:
    for frame in run:
        for shape in frame.shapes:
            if shape.box_xyxy is None:
                assert shape.crop.size == 0
                continue
            x0, y0, x1, y1 = map(int, shape.box_xyxy)
            assert np.array_equal(shape.crop, shape.mask[y0:y1, x0:x1])


def test_crops_of_masks_from_top_to_bottom() -> None:
    mask = np.random.default_rng(3).random((7, 9)) > 0.5
    mask[0], mask[-1] = True, True
    shape = Shape(1, (7, 9), counts=lambda: rle.encode(mask))
    assert np.array_equal(shape.crop, mask)
    assert shape.box_xyxy == (0, 0, 9, 7)
    assert shape.area_px == mask.sum()
