"""Damaged pictures of live sources are left out and counted, or marked, and so is what is made from them."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Iterator

import cv2
import pytest
from support.camera import RATE, Camera, encoded, number_of, numbered_image

from streamseg.video.open import Picture, Reader, open_source

QUICK = {"analyzeduration": "300000"}
PACKET_BYTES = 188
WHOLE, CUT, HOLED = "whole", "cut", "holed"


def jpeg(number: int, how: str) -> bytes:
    data = cv2.imencode(".jpg", numbered_image(number)[:, :, ::-1])[1].tobytes()
    if how == CUT:
        return data[: len(data) * 11 // 20]
    return data if how == WHOLE else data[: len(data) // 3] + data[len(data) * 2 // 3 :]


@contextlib.contextmanager
def jpeg_camera(damage: str) -> Iterator[str]:
    """Every third picture is damaged."""
    listener = socket.create_server(("127.0.0.1", 0))
    stopping = threading.Event()

    def serve() -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            connection.recv(4096)
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=next\r\n\r\n")
            for number in itertools.count():
                data = jpeg(number % 1000, damage if number % 3 == 2 else WHOLE)
                head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                connection.sendall(head.encode() + data + b"\r\n")
                if stopping.wait(1 / RATE):
                    connection.close()
                    return

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/live"
    finally:
        stopping.set()
        listener.close()
        thread.join()


def read(reader: Reader, count: int) -> list[tuple[Picture, int]]:
    return [(picture, number_of(picture.to_rgb())) for picture in itertools.islice(reader, count)]


@pytest.mark.parametrize("damage", [CUT, HOLED])
def test_damaged_pictures_of_a_jpeg_camera_are_left_out_and_counted(damage: str) -> None:
    with jpeg_camera(damage) as url, open_source(url, live=True, options=QUICK) as reader:
        found = read(reader, 30)
    numbers = [number for _, number in found]
    assert {number % 3 for number in numbers} == {0, 1}
    assert numbers == sorted(set(numbers))
    assert reader.damaged >= 14 and reader.dropped["damaged"] == reader.damaged
    assert len({picture.index - number for picture, number in found}) == 1
    assert not any(picture.damaged for picture, _ in found)


def damaged_at(pieces: list[bytes], number: int) -> list[bytes]:
    """The stream with some of the packets of one picture lost on their way."""
    piece = pieces[number]
    first = max(1, len(piece) // PACKET_BYTES // 2)
    assert len(piece) // PACKET_BYTES > first + 1
    lost = piece[: first * PACKET_BYTES] + piece[(first + 1) * PACKET_BYTES :]
    return [*pieces[:number], lost, *pieces[number + 1 :]]


def seconds(count: int) -> list[float]:
    return [number / RATE for number in range(count)]


def until(reader: Reader, last: int) -> list[tuple[Picture, int]]:
    found: list[tuple[Picture, int]] = []
    while not found or found[-1][1] < last:
        picture = next(reader)
        found.append((picture, number_of(picture.to_rgb())))
    return found


def test_pictures_made_from_a_damaged_one_are_left_out_up_to_the_next_key_frame() -> None:
    pieces = damaged_at(encoded(seconds(120), gop=20, slices=4), 45)
    with Camera(pieces) as camera, open_source(camera.url, options=QUICK) as reader:
        found = until(reader, 80)
    numbers = [number for _, number in found if number > 35]
    # The end of a picture's data may come with the next one's.
    first = min(set(range(36, 60)) - set(numbers))
    assert first in (44, 45)
    assert numbers == [*range(36, first), *range(60, numbers[-1] + 1)]
    assert reader.dropped["damaged"] == 60 - first and 1 <= reader.damaged <= 2
    # Their numbers are left out, too.
    assert len({picture.index - number for picture, number in found if number > 35}) == 1


def test_a_stream_without_key_frames_is_believed_again_after_a_while() -> None:
    pieces = damaged_at(encoded(seconds(150), gop=1000, slices=4), 45)
    with Camera(pieces) as camera, open_source(camera.url, options=QUICK) as reader:
        numbers = [number for _, number in until(reader, 110)]
    assert set(range(46, 80)) & set(numbers) == set()
    assert numbers[-1] == 110


def test_damaged_pictures_are_marked_if_they_are_to_be_kept() -> None:
    pieces = damaged_at(encoded(seconds(120), gop=20, slices=4), 45)
    with Camera(pieces) as camera, open_source(camera.url, options=QUICK, keep_damaged=True) as reader:
        found = until(reader, 80)
    marked = [number for picture, number in found if picture.damaged and number > 35]
    assert marked == list(range(marked[0], 60)) and marked[0] in (44, 45)
    assert reader.dropped["damaged"] == 0 and reader.damaged >= 1


def test_a_whole_stream_has_no_damage() -> None:
    with Camera(encoded(seconds(80), slices=4)) as camera, open_source(camera.url, options=QUICK) as reader:
        until(reader, 60)
    assert reader.damaged == 0 and reader.dropped["damaged"] == 0
