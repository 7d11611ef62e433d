"""The test pattern: a film of moving shapes whose masks are known, as a file has it and at a camera's pace."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.command import streamseg, tracks

from streamseg.errors import MediaError
from streamseg.video.container import Opening
from streamseg.video.extent import extent_before
from streamseg.video.open import classify, open_source
from streamseg.video.pattern import Pattern, PatternSpec, parse_pattern


def drawn(spec: PatternSpec, frame: int) -> np.ndarray:
    image = np.empty((spec.height, spec.width, 3), np.uint8)
    Pattern(spec).draw(frame, image)
    return image


def test_what_is_asked_for_is_drawn() -> None:
    source = "test://?size=320x180&fps=10&seconds=2&objects=4&seed=5"
    assert parse_pattern(source) == PatternSpec(320, 180, 10.0, 2.0, 4, 5)
    assert classify(source) == "test"
    with open_source(source) as reader:
        assert (reader.info.width, reader.info.height, reader.info.fps, reader.info.frames) == (320, 180, 10.0, 20)
        pictures = list(reader)
    assert [picture.index for picture in pictures] == list(range(20))
    assert [picture.pts_s for picture in pictures] == pytest.approx([number / 10 for number in range(20)])
    assert np.array_equal(pictures[7].to_rgb(), drawn(parse_pattern(source), 7))


def test_the_masks_are_those_of_the_picture_to_the_pixel() -> None:
    spec = PatternSpec(320, 240, objects=5, seed=3)
    for frame in (0, 40, 333):
        labels, image = Pattern(spec).labels(frame), drawn(spec, frame).astype(int)
        # The ground is gray and nothing else is.
        assert np.array_equal(np.ptp(image, axis=2) > 0, labels > 0)
        for number in range(1, 6):
            assert len(np.unique(image[labels == number], axis=0)) == 1
        assert (Pattern(PatternSpec(320, 240, objects=1, seed=3)).labels(frame) > 0).sum() > 500


def test_shapes_move_and_stay_whole() -> None:
    pattern = Pattern(PatternSpec(200, 160, objects=1, seed=2))
    places = []
    for frame in range(0, 2500, 50):
        ys, xs = np.nonzero(pattern.labels(frame))
        assert xs.min() >= 0 and abs(len(xs) - (pattern.labels(0) > 0).sum()) < 60
        places.append((xs.mean(), ys.mean()))
    assert np.ptp(places, axis=0).min() > 40


def test_the_same_seed_is_the_same_film_at_any_rate() -> None:
    spec = PatternSpec(fps=10.0, seed=9)
    assert np.array_equal(drawn(spec, 10), drawn(PatternSpec(fps=30.0, seed=9), 30))
    assert not np.array_equal(drawn(spec, 10), drawn(spec, 11))
    assert not np.array_equal(drawn(spec, 10), drawn(PatternSpec(fps=10.0, seed=8), 10))


def test_one_that_ends_is_read_like_a_file_and_one_that_does_not_like_a_camera() -> None:
    with open_source("test://?size=64x64&seconds=100&fps=100") as reader:
        assert not reader.info.live
        assert sum(1 for _ in reader) == 10_000
    with open_source("test://?size=64x64&fps=50") as reader:
        assert reader.info.live and reader.info.frames is None
        began_s = time.monotonic()
        pictures = list(itertools.islice(reader, 11))
        # Each is given when it is due, not before.
        assert time.monotonic() - began_s >= 10 / 50 - 0.001
        assert pictures[0].captured_clock == "arrival" and pictures[0].good_until_monotonic_ns is not None
    with open_source("test://?size=64x64&seconds=1&fps=20", live=True) as reader:
        assert reader.info.live
        began_s = time.monotonic()
        last = [picture.index for picture in reader][-1]
        assert last == 19 and time.monotonic() - began_s >= 19 / 20 - 0.001


def test_who_looks_away_misses_frames_and_they_are_counted() -> None:
    with open_source("test://?size=64x64&fps=100") as reader:
        assert next(reader).index == 0
        time.sleep(0.3)
        index = next(reader).index
    assert index >= 29
    assert reader.dropped == {"late": index - 1}


def test_it_can_begin_later() -> None:
    source = "test://?size=64x64&seconds=1&fps=20"
    with open_source(source, start_index=15, max_frames=3) as reader:
        pictures = list(reader)
    assert [picture.index for picture in pictures] == [15, 16, 17]
    assert np.array_equal(pictures[0].to_rgb(), drawn(parse_pattern(source), 15))


def test_its_end_is_known_beforehand() -> None:
    def opening(source: str, live: bool | None = None) -> Opening:
        return Opening(source, live, 1.0, 1.0, 1, {}, 1 << 20)

    source = "test://?size=64x64&seconds=2&fps=10"
    assert "has 20 frames" in str(extent_before(opening(source), 20, None, 25.0))
    assert extent_before(opening(source), 19, None, 25.0) is None
    assert extent_before(opening(source), None, 2.5, 25.0) is not None
    assert extent_before(opening(source, live=True), 20, None, 25.0) is None
    assert extent_before(opening("test://"), 10**6, None, 25.0) is None


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("test://?sise=64x64", "did you mean 'size'"),
        ("test://?size=64", "expected size as WIDTHxHEIGHT"),
        ("test://?size=8x8", "from 32 to"),
        ("test://?size=16384x16384", "expected size"),
        ("test://?fps=0", "expected fps as a number from 0.1 to 1000"),
        ("test://?fps=nan", "expected fps"),
        ("test://?seconds=-1", "expected seconds"),
        ("test://?objects=21", "expected objects as a whole number from 0 to 20"),
        ("test://?seed=x", "expected seed"),
        ("test://pattern", "behind a question mark"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_starts(source: str, complaint: str) -> None:
    with pytest.raises(MediaError, match=complaint):
        open_source(source)
    done = streamseg("run", source, "--box", "1,1,20,20")
    assert done.returncode == 2 and complaint in " ".join(done.stderr.split())


def test_the_command_follows_what_moves_in_it(tmp_path: Path) -> None:
    source = "test://?size=320x240&seconds=0.8&fps=10&objects=1&seed=4"
    pattern = Pattern(parse_pattern(source))
    ys, xs = np.nonzero(pattern.labels(0))
    box = ",".join(map(str, (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)))
    done = streamseg("run", source, "--box", box, "-o", tmp_path / "out", "--no-overlay")
    assert done.returncode == 0, done.stderr
    assert [line["frame"] for line in tracks(tmp_path / "out")] == list(range(8))
    for frame in range(8):
        found = cv2.imread(str(tmp_path / "out" / "masks" / f"{frame:05}.png"), cv2.IMREAD_UNCHANGED)
        true = pattern.labels(frame) > 0
        found = found.any(axis=2) if found.ndim == 3 else found > 0
        assert (found & true).sum() / (found | true).sum() > 0.8
