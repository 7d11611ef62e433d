"""Streams that come in bursts are given at their own pace; streams that fall silent are told from those that do not."""

from __future__ import annotations

import itertools
import os
import threading
import time
from pathlib import Path
from statistics import median

import pytest
from support.camera import RATE, Camera, SegmentServer, encoded, number_of

from streamseg.video.open import Picture, SourceEvent, open_source

QUICK = {"analyzeduration": "300000"}


def seconds(count: int) -> list[float]:
    return [number / RATE for number in range(count)]


def _demuxers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "demux"}


@pytest.mark.alone
@pytest.mark.parametrize(
    ("segment", "options"),
    [
        (50, {}),
        pytest.param(25, {}, marks=pytest.mark.slow),
        pytest.param(50, {"max_age_s": 0.5}, marks=pytest.mark.slow),
        pytest.param(100, {}, marks=pytest.mark.slow),
    ],
)
def test_the_pictures_of_a_stream_in_segments_are_all_given_at_their_pace(
    segment: int, options: dict[str, float]
) -> None:
    """By default, too, though a segment is longer than a picture may wait: none is old that is not due yet."""
    with SegmentServer(encoded(seconds(20 * RATE), gop=25), segment) as server:
        time.sleep(2 * segment / RATE + 0.2)
        found: list[tuple[float, Picture, int]] = []
        with open_source(server.url, **options) as reader:
            for picture in reader:
                found.append((time.monotonic(), picture, number_of(picture.to_rgb())))
                if found[-1][2] >= 16 * RATE - segment:
                    break
    numbers = [number for _, _, number in found]
    # The newest segment is the first; what comes before anybody asks for it makes way.
    assert numbers[0] >= segment
    whole = list(range(numbers[0], numbers[-1] + 1))
    assert set(numbers) <= set(whole) and len(numbers) > 0.9 * len(whole) > 90
    gaps_s = [later - earlier for (earlier, *_), (later, *_) in itertools.pairwise(found)]
    assert median(gaps_s) > 0.4 / RATE
    pts_s = [picture.pts_s or 0.0 for _, picture, _ in found]
    assert all(later > earlier for earlier, later in itertools.pairwise(pts_s))
    assert reader.reconnects == 0 and reader.jumps == 0 and reader.dropped["waited"] == 0
    # When it came is when its segment came, and so it is said.
    ages_s = [at_s - picture.arrived_monotonic_ns / 1e9 for at_s, picture, _ in found]
    assert max(ages_s) > 0.8 * segment / RATE


def test_sound_that_goes_on_does_not_hide_that_the_pictures_have_stopped() -> None:
    events: list[SourceEvent] = []
    others = _demuxers()
    with (
        Camera(encoded(seconds(30), sound=True)) as camera,
        open_source(camera.url, read_timeout_s=1.0, options=QUICK, on_event=events.append) as reader,
    ):
        while reader.reconnects == 0:
            next(reader)
        # The connection that was given up is not read on behind our back.
        deadline_s = time.monotonic() + 5
        while len(_demuxers() - others) > 1 and time.monotonic() < deadline_s:
            next(reader)
        assert len(_demuxers() - others) == 1
    assert [event.state for event in events[:3]] == ["lost", "reconnecting", "back"]
    assert "no data within the read timeout" in events[0].reason
    assert events[0].since_ns == events[2].since_ns and events[2].attempts == 1


@pytest.mark.slow
def test_data_without_pictures_is_no_sign_of_life(caplog: pytest.LogCaptureFixture) -> None:
    """A stream that is joined in the middle, and has no key frame from there on."""
    pieces = encoded(seconds(400), gop=1000)
    header = pieces[0][: 3 * 188]
    with Camera([header, *pieces[40:]]) as camera:
        with pytest.raises(OSError, match="no picture within the read timeout"):
            open_source(camera.url, read_timeout_s=1.5, options=QUICK | {"probesize": "20000"})
        # A reader that waits asks again, ever more patiently, since a key frame may be long in coming.
        reader = open_source(camera.url, read_timeout_s=0.5, wait=True, options=QUICK | {"probesize": "20000"})
        with reader:
            deadline_s = time.monotonic() + 60
            while len(camera.began_ns) < 5 and time.monotonic() < deadline_s:
                time.sleep(0.1)
    assert not reader.is_known and len(camera.began_ns) >= 5
    assert caplog.text.count("not there yet") == 1


def test_a_pipe_that_is_live_is_read_as_it_comes(tmp_path: Path) -> None:
    pipe = tmp_path / "camera.ts"
    os.mkfifo(pipe)
    pieces = encoded(seconds(60))

    def write() -> None:
        with pipe.open("wb", buffering=0) as file:
            for piece in pieces:
                file.write(piece)
                time.sleep(1 / RATE)

    writer = threading.Thread(target=write)
    writer.start()
    with open_source(str(pipe), live=True, options=QUICK) as reader:
        numbers = [number_of(picture.to_rgb()) for picture in reader]
    writer.join()
    assert numbers == list(range(numbers[0], 60)) and numbers[0] < 50
    assert reader.reconnects == 0 and reader.live
