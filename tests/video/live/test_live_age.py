"""No picture of a live source is given that is old, wherever it waited."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from support.camera import RATE, Camera, encoded, number_of

from streamseg.errors import MediaError
from streamseg.video.live.arrival import ArrivalClock
from streamseg.video.live.backlog import Arrived, Backlog
from streamseg.video.live.connection import Connection, Opened
from streamseg.video.live.live_reader import LiveReader
from streamseg.video.open import open_source

QUICK = {"analyzeduration": "300000"}
SLACK_S = 0.5
"""How much later than it was given a picture may be looked at here."""


def seconds(count: int, start: float = 0.0) -> list[float]:
    return [start + number / RATE for number in range(count)]


@dataclass
class FakePacket:
    is_keyframe: bool
    pts: int


def backlog(ages_s: list[float], keys: list[int], bound_s: float = 1.0) -> tuple[Backlog, list[Arrived]]:
    found = Backlog(bound_s)
    packets = [
        Arrived(FakePacket(number in keys, number), 0, -age_s)  # type: ignore[arg-type]
        for number, age_s in enumerate(ages_s)
    ]
    for packet in packets:
        found.put(packet)
    return found, packets


def test_a_backlog_that_is_young_enough_is_decoded_whole() -> None:
    found, packets = backlog([0.9, 0.6, 0.3], [0])
    assert [found.take(0.0) for _ in range(4)] == [*packets, None]


def test_an_old_backlog_is_skipped_up_to_the_newest_key_frame() -> None:
    found, packets = backlog([1.2, 0.9, 0.8, 0.7, 0.5, 0.4], [0, 2, 4], bound_s=1.1)
    taken = found.take(0.0)
    assert taken is not None and taken.packet is packets[4].packet and taken.skipped == 4
    assert found.take(0.0) is packets[5]


def test_without_a_young_key_frame_everything_is_skipped_until_one_comes() -> None:
    found, _ = backlog([1.4, 1.3, 0.2], [0])
    assert found.take(0.0) is None and found.needs_key_frame
    found.put(Arrived(FakePacket(False, 3), 0, 0.1))  # type: ignore[arg-type]
    assert found.take(0.1) is None
    key = Arrived(FakePacket(True, 4), 0, 0.2)  # type: ignore[arg-type]
    found.put(key)
    taken = found.take(0.2)
    assert taken is not None and taken.packet is key.packet and taken.skipped == 4
    assert not found.needs_key_frame


def test_a_backlog_that_nobody_takes_from_stays_small() -> None:
    found = Backlog(1.0)
    for number in range(10_000):
        found.put(Arrived(FakePacket(number % 50 == 0, number), 0, number / RATE))  # type: ignore[arg-type]
    assert len(found) <= 50


def ages(clock: ArrivalClock, arrivals: list[tuple[float, float | None]]) -> list[float]:
    return [round(clock.age_s(time_s, now_s), 3) for now_s, time_s in arrivals]


def test_a_steady_source_is_new() -> None:
    clock = ArrivalClock(0.0, 0.0)
    assert set(ages(clock, [(n / 25, 100 + n / 25) for n in range(1, 100)])) == {0.0}


def test_what_comes_out_after_a_silence_is_as_old_as_the_silence_until_the_source_has_caught_up() -> None:
    clock = ArrivalClock(0.0, 0.0)
    assert ages(clock, [(0.04, 0.04), (0.08, 0.08)]) == [0, 0]
    # Eight seconds of nothing, then all of it within a tenth of a second.
    burst = ages(clock, [(8.08 + n / 2000, 0.12 + n / 25) for n in range(200)])
    assert burst[0] == pytest.approx(7.96, abs=0.01)
    assert all(later < earlier for earlier, later in itertools.pairwise(burst))
    assert burst[-1] < 0.2
    assert ages(clock, [(8.2 + n / 25, 8.12 + n / 25) for n in range(30)])[-1] == 0


def test_what_was_read_to_find_out_about_the_stream_is_as_old_as_that_took() -> None:
    clock = ArrivalClock(1.0, 10.0)
    found = ages(clock, [(10.001, n / 25) for n in range(25)])
    assert found[0] == 1.0 and found[-1] == pytest.approx(0.04, abs=0.01)


def test_a_source_whose_clock_does_not_fit_its_pace_is_believed_to_send_what_is_new() -> None:
    clock = ArrivalClock(0.0, 0.0)
    # Ten pictures a second with times as if they were 25, and a silence of 2 s in between.
    found = ages(clock, [(n / 10 + 2 * (n > 20), n / 25) for n in range(1, 60)])
    assert max(found) > 1.5 and set(found[25:]) == {0.0}
    # One picture in two seconds.
    slow = ArrivalClock(0.0, 0.0)
    assert set(ages(slow, [(2 * n, n / 25) for n in range(1, 20)])[2:]) == {0.0}


class SlowCodec:
    """A decoder that takes its time: what it decodes with is real."""

    def __init__(self, codec: Any, seconds: float) -> None:
        self._codec, self._seconds = codec, seconds

    def decode(self, packet: Any) -> Any:
        frames = self._codec.decode(packet)
        time.sleep(self._seconds if frames else 0)
        return frames

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codec, name)


@pytest.fixture
def slow_decoder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    opened = Connection.opened

    def slowly(self: Connection) -> Opened | None:
        found = opened(self)
        return found and replace(found, codec=SlowCodec(found.codec, 0.12))  # type: ignore[arg-type]

    monkeypatch.setattr(Connection, "opened", slowly)
    return


@pytest.mark.alone
@pytest.mark.usefixtures("slow_decoder")
def test_a_stream_that_takes_longer_to_decode_than_it_lasts_is_not_fallen_behind() -> None:
    with Camera(encoded(seconds(200))) as camera:
        reader = open_source(camera.url, max_age_s=0.6, options=QUICK)
        with reader:
            numbers, given_ages_s, real_ages_s = [], [], []
            while not numbers or numbers[-1] < 150:
                picture = next(reader)
                given_ages_s.append((time.time_ns() - picture.captured_ns) / 1e9)
                numbers.append(number_of(picture.to_rgb()))
                real_ages_s.append(camera.age_s(numbers[-1]))
    assert numbers == sorted(numbers)
    # Three pictures come in the time that decoding one takes.
    assert reader.dropped["waited"] > 40
    assert max(given_ages_s) < 0.6 + SLACK_S
    # Its age is the true one: from when it was sent, not from when it was decoded.
    assert max(real - given for real, given in zip(real_ages_s, given_ages_s, strict=True)) < SLACK_S
    assert picture.index == pytest.approx(numbers[-1] - numbers[0], abs=5)


@pytest.mark.slow
def test_that_no_picture_is_young_enough_once_it_is_decoded_is_said_however_few_there_are(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened = Connection.opened

    def slowly(self: Connection) -> Opened | None:
        found = opened(self)
        return found and replace(found, codec=SlowCodec(found.codec, 0.8))  # type: ignore[arg-type]

    monkeypatch.setattr(Connection, "opened", slowly)
    with Camera(encoded(seconds(500))) as camera, open_source(camera.url, max_age_s=0.3, options=QUICK) as reader:
        threading.Timer(12.0, reader.stop).start()
        assert len(list(reader)) <= 1
    assert 5 < reader.dropped["late"] < 50
    assert caplog.text.count("in a row were older than 0.3 s by the time they were decoded") == 1


@pytest.mark.alone
def test_what_came_before_anybody_asked_gives_way_to_what_is_new() -> None:
    with Camera(encoded(seconds(120), gop=1000)) as camera, open_source(camera.url, options=QUICK) as reader:
        # A graph that takes long to start, and a stream whose only key frame was its first.
        time.sleep(2.0)
        first = next(reader)
        age_s = camera.age_s(number_of(first.to_rgb()))
        rest = [number_of(next(reader).to_rgb()) for _ in range(20)]
    assert reader.reconnects == 0
    assert first.index == 0
    assert age_s < 1.0 + SLACK_S
    assert rest == list(range(rest[0], rest[0] + 20))


@pytest.mark.alone
def test_a_reader_that_nobody_asks_for_long_gives_nothing_old() -> None:
    with Camera(encoded(seconds(150))) as camera, open_source(camera.url, options=QUICK) as reader:
        next(reader)
        time.sleep(2.0)
        assert camera.age_s(number_of(next(reader).to_rgb())) < 1.0 + SLACK_S
        assert sum(reader.dropped.values()) > 10


@pytest.mark.alone
@pytest.mark.parametrize("hang_up", [False, True])
def test_a_camera_that_freezes_gives_no_old_picture_at_the_end(hang_up: bool) -> None:
    """The demuxer and the decoder each hold a picture back, and let it go when the connection is given up."""
    count = 30
    with (
        Camera(
            [*encoded(seconds(count)), b""], lambda n: n / RATE if n < count else n / RATE + 1.8, hang_up=hang_up
        ) as camera,
        open_source(camera.url, read_timeout_s=2.0, max_age_s=0.8, options=QUICK) as reader,
    ):
        found = []
        while reader.reconnects == 0:
            picture = next(reader)
            found.append((picture, number_of(picture.to_rgb()), time.time_ns()))
    before = [each for each in found if each[2] < camera.began_ns[1]]
    assert len(before) > 15
    for picture, number, now_ns in before:
        real_ns = camera.began_ns[0] + number / RATE * 1e9
        assert (now_ns - real_ns) / 1e9 < 0.8 + SLACK_S
        assert picture.captured_ns - real_ns < SLACK_S * 1e9


@pytest.mark.alone
def test_a_camera_that_freezes_and_goes_on_with_what_it_had_gives_nothing_old() -> None:
    def at_s(number: int) -> float:
        return number / RATE if not 30 <= number < 80 else 80 / RATE

    camera = Camera(encoded(seconds(130)), at_s)
    with camera, open_source(camera.url, read_timeout_s=10, max_age_s=0.5, options=QUICK) as reader:
        found = []
        while not found or found[-1][0] < 120:
            number = number_of(next(reader).to_rgb())
            found.append((number, camera.age_s(number)))
    assert max(age_s for _, age_s in found) < 0.5 + SLACK_S
    numbers = [number for number, _ in found]
    assert {30, 31, 32} & set(numbers) == set() and {70, 75, 79} & set(numbers)
    assert reader.reconnects == 0 and reader.dropped["late"] > 10


@pytest.mark.slow
def test_a_loss_is_noticed_within_the_read_timeout_whatever_the_demuxer_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demuxer of some protocols asks twice before it gives up: here it asks for ever."""
    monkeypatch.setattr(Connection, "_read", lambda *_: threading.Event().wait())
    with Camera(encoded(seconds(10))) as camera, pytest.raises(MediaError, match="no data within the read timeout"):
        open_source(camera.url, read_timeout_s=0.5, options=QUICK)


def test_reading_can_be_ended_from_another_thread_while_nothing_comes() -> None:
    with Camera(encoded(seconds(20))) as camera, open_source(camera.url, read_timeout_s=600, options=QUICK) as reader:
        assert isinstance(reader, LiveReader)
        threading.Timer(1.5, reader.stop).start()
        assert 0 < len(list(reader)) <= 20
