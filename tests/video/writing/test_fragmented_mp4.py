"""A video made of pieces is the same as one made in one go, wherever it was cut."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from support.media import moving_images

from streamseg.errors import OutputError
from streamseg.video.writing.fragmented_mp4 import Piece, is_plain, to_fragments, to_plain

TIMES = np.cumsum([0.0, *np.random.default_rng(3).uniform(0.01, 0.3, 59)]).tolist()
IMAGES = moving_images(60)


def append(path: Path, first: int, end: int, after_tick: int | None) -> int | None:
    piece = Piece(path, 96, 64, after_tick=after_tick, rate_hint=25, threads=1)
    for number in range(first, end):
        piece.write(IMAGES[number], TIMES[number])
    head, body = piece.finish()
    with path.open("ab") as file:
        file.write(body if path.stat().st_size else head + body)
    return piece.last_tick


def read_back(path: Path) -> tuple[list[float], list[np.ndarray]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return [float(f.pts * f.time_base) for f in frames], [f.to_ndarray(format="rgb24") for f in frames]


def check(path: Path, count: int) -> None:
    times, images = read_back(path)
    assert times == pytest.approx(TIMES[:count], abs=1e-4)
    assert all(np.abs(IMAGES[n].astype(int) - image).mean() < 12 for n, image in enumerate(images))


def test_pieces_play_as_one_video_and_can_be_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    tick, sizes = None, []
    for first, end in ((0, 1), (1, 30), (30, 41), (41, 60)):
        tick = append(path, first, end, tick)
        sizes.append(path.stat().st_size)
        check(path, end)
    assert not is_plain(path)
    path.write_bytes(path.read_bytes()[: sizes[1]])
    check(path, 30)


def test_a_plain_file_is_made_of_it_and_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    tick = append(path, 0, 20, None)
    to_plain(path)
    assert is_plain(path)
    check(path, 20)
    to_fragments(path)
    assert not is_plain(path)
    append(path, 20, 60, tick)
    check(path, 60)
    to_plain(path)
    check(path, 60)
    assert [each.name for each in tmp_path.iterdir()] == ["a.mp4"]


def test_times_that_do_not_grow_across_pieces_still_give_a_frame_each(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    tick = None
    for _ in range(3):
        piece = Piece(path, 96, 64, after_tick=tick, rate_hint=25, threads=1)
        piece.write(IMAGES[0], 0.0)
        head, body = piece.finish()
        with path.open("ab") as file:
            file.write(body if path.stat().st_size else head + body)
        tick = piece.last_tick
    times, _ = read_back(path)
    assert times == pytest.approx([0, 1 / 90000, 2 / 90000])


def test_what_is_no_video_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"nothing")
    with pytest.raises(OutputError, match="rewrite"):
        to_plain(path)
    assert path.read_bytes() == b"nothing"
    assert [each.name for each in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("size", [0, 15, (1 << 64) - 1])
def test_a_box_that_is_smaller_than_its_own_head_ends_the_search(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"\0\0\0\1mdat" + size.to_bytes(8, "big") + bytes(32))
    assert is_plain(path)
