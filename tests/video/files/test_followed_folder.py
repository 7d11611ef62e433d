"""A folder that is being filled while it is read."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.command import eventually, light_graph, lines_in, running, streamseg
from support.media import moving_images

from streamseg.errors import MediaError
from streamseg.video.open import Reader, open_source

IMAGES = moving_images(12)
IDLE_S = 1.0


def encoded(number: int, suffix: str = ".png") -> bytes:
    return bytes(cv2.imencode(suffix, IMAGES[number][..., ::-1])[1])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "shots"
    made.mkdir()
    return made


def follow(folder: Path, idle_s: float = IDLE_S, **more: object) -> Reader:
    return open_source(str(folder), follow_folder=idle_s, **more)  # type: ignore[arg-type]


def number_of(image_rgb: np.ndarray) -> int:
    return min(range(len(IMAGES)), key=lambda number: int(np.abs(image_rgb.astype(int) - IMAGES[number]).sum()))


def test_those_that_are_there_come_first_then_others_as_they_come(folder: Path) -> None:
    for number in (2, 10, 1):
        (folder / f"{number}.png").write_bytes(encoded(number))
    with follow(folder) as reader:
        seen = [next(reader) for _ in range(3)]
        for number in (11, 3):
            (folder / f"{number}.png").write_bytes(encoded(number))
            seen.append(next(reader))
        assert list(reader) == []  # the end, by the rule
    assert [number_of(picture.to_rgb()) for picture in seen] == [1, 2, 10, 11, 3]
    assert [picture.index for picture in seen] == [0, 1, 2, 3, 4]
    assert [picture.captured_clock for picture in seen] == ["reading"] * 3 + ["arrival"] * 2
    assert not reader.live and reader.info.frames is None


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_what_is_half_written_is_waited_for_and_so_are_those_behind_it(folder: Path, suffix: str) -> None:
    data = encoded(5, suffix)

    def write() -> None:
        with (folder / f"0{suffix}").open("wb", buffering=0) as file:
            file.write(data[: len(data) // 2])
            (folder / f"1{suffix}").write_bytes(encoded(6, suffix))
            time.sleep(2 * IDLE_S)  # longer than the end is waited for
            file.write(data[len(data) // 2 :])

    writer = threading.Thread(target=write)
    with follow(folder, 3 * IDLE_S) as reader:
        writer.start()
        images = [picture.to_rgb() for picture in reader]
        writer.join()
    assert [number_of(image) for image in images] == [5, 6]
    if suffix == ".png":
        assert np.array_equal(images[0], IMAGES[5])
    assert reader.damaged == 0


def test_one_that_nobody_goes_on_writing_is_left_out_and_counted(folder: Path) -> None:
    (folder / "0.png").write_bytes(encoded(0))
    (folder / "1.png").write_bytes(encoded(1)[:200])
    (folder / "2.png").write_bytes(encoded(2))
    os.mkfifo(folder / "3.png")
    (folder / ".4.png").write_bytes(encoded(4))
    an_hour_ago_s = time.time() - 3600
    for path in folder.iterdir():
        os.utime(path, (an_hour_ago_s, an_hour_ago_s))
    with follow(folder) as reader:
        assert [picture.index for picture in reader] == [0, 2]
    assert reader.damaged == 2


def test_the_time_of_one_that_comes_says_nothing(folder: Path) -> None:
    """A writer whose clock is slow, or that keeps the time of what it copies."""
    data = encoded(5)

    def write() -> None:
        path = folder / "0.png"
        with path.open("wb", buffering=0) as file:
            for piece in (data[:100], data[100:]):
                file.write(piece)
                os.utime(path, (1, 1))
                time.sleep(IDLE_S)

    writer = threading.Thread(target=write)
    with follow(folder, 3 * IDLE_S) as reader:
        writer.start()
        images = [picture.to_rgb() for picture in reader]
        writer.join()
    assert [number_of(image) for image in images] == [5] and reader.damaged == 0


def test_one_that_was_there_and_grows_is_waited_for(folder: Path) -> None:
    data = encoded(5)
    path = folder / "0.png"
    path.write_bytes(data[:100])
    now_s = time.time()
    with follow(folder, 3 * IDLE_S) as reader:
        os.utime(path, (now_s + 60, now_s + 60))  # not abandoned yet
        given: list[np.ndarray] = []
        taking = threading.Thread(target=lambda: given.extend(picture.to_rgb() for picture in reader))
        taking.start()
        time.sleep(IDLE_S)
        with path.open("ab") as file:
            file.write(data[100:200])
        os.utime(path, (1, 1))
        time.sleep(IDLE_S)
        with path.open("ab") as file:
            file.write(data[200:])
        taking.join()
    assert [number_of(image) for image in given] == [5] and reader.damaged == 0


def test_a_folder_that_cannot_be_listed_is_no_end(folder: Path) -> None:
    """Here a link that leads to itself stands in its place, so that the system says ELOOP."""
    (folder / "0.png").write_bytes(encoded(0))
    aside = folder.with_name("aside")
    with follow(folder, 2 * IDLE_S) as reader:
        assert next(reader).index == 0
        loop = folder.with_name("loop")
        loop.symlink_to(folder)
        folder.rename(aside)
        loop.replace(folder)

        def mend() -> None:
            (aside / "1.png").write_bytes(encoded(1))
            link = folder.with_name("link")
            link.symlink_to(aside)
            link.replace(folder)

        mending = threading.Timer(IDLE_S / 2, mend)
        mending.start()
        assert number_of(next(reader).to_rgb()) == 1
        mending.join()
        loop = folder.with_name("loop")
        loop.symlink_to(folder)
        loop.replace(folder)
        with pytest.raises(MediaError, match=r"expected to list .* within 2 s, got: Too many levels of symbolic links"):
            next(reader)


def test_a_live_one_gives_the_newest(folder: Path) -> None:
    with follow(folder, live=True) as reader:
        assert reader.live
        (folder / "0.png").write_bytes(encoded(0))
        assert next(reader).index == 0
        for number in range(1, 9):
            (folder / f"{number}.png").write_bytes(encoded(number))
        time.sleep(0.1)  # as whoever is slow does
        last = [(picture.index, number_of(picture.to_rgb())) for picture in reader][-1]
    assert last == (8, 8)
    assert reader.dropped["waited"] > 0


def test_it_can_be_begun_later_and_ends_with_the_folder(folder: Path) -> None:
    for number in range(4):
        (folder / f"{number}.png").write_bytes(encoded(number))
    with follow(folder, 60.0, start_index=2) as reader:
        assert [next(reader).index, next(reader).index] == [2, 3]
        shutil.rmtree(folder)
        assert list(reader) == []


def test_a_folder_into_which_nothing_comes_is_an_error(folder: Path) -> None:
    with follow(folder, 0.3) as reader, pytest.raises(MediaError, match=r"none came within 0\.3 s"):
        next(reader)
    (folder / "0.png").write_bytes(b"no picture")
    with follow(folder, 0.3) as reader, pytest.raises(MediaError, match="none of its images can be decoded"):
        # Nobody goes on writing it, which takes a while to be sure of.
        os.utime(folder / "0.png", (1, 1))
        next(reader)


def test_another_size_is_refused(folder: Path) -> None:
    (folder / "0.png").write_bytes(encoded(0))
    with follow(folder) as reader:
        next(reader)
        cv2.imwrite(str(folder / "1.png"), np.zeros((32, 32, 3), np.uint8))
        with pytest.raises(MediaError, match=r"1\.png is 32x32"):
            next(reader)


def test_the_command_follows_a_folder_to_its_end(folder: Path, tmp_path: Path) -> None:
    graph = light_graph(tmp_path, folder)
    results = tmp_path / "results" / "tracks.jsonl"
    with running("run", graph, "--follow-folder", "4") as run:
        for number in range(6):
            (folder / f"{number}.png").write_bytes(encoded(number))
            assert eventually(lambda number=number: lines_in(results) > number)
        code, _, errors = run.wait()
    assert code == 0 and "6 frames" in errors


@pytest.mark.parametrize("source", ["clip.mp4", "test://", "missing"])
def test_it_is_for_folders(tmp_path: Path, source: str) -> None:
    done = streamseg("run", source, "--box", "1,1,9,9", "--follow-folder", "3", cwd=tmp_path)
    assert done.returncode == 2 and "follow_folder is for a folder of images" in done.stderr


@pytest.fixture(autouse=True)
def _no_threads_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before
