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


def _demuxers() -> int:
    return sum(thread.name == "demux" for thread in threading.enumerate())


@pytest.mark.parametrize(("max_age_s", "slowest"), [(3.0, 1.0), (0.5, 0.4)])
def test_a_burst_is_spread_over_the_time_that_it_may_wait(max_age_s: float, slowest: float) -> None:
    with SegmentServer(encoded(seconds(500), gop=25), 25) as server:
        time.sleep(4.2)
        found: list[tuple[float, Picture]] = []
        with open_source(server.url, max_age_s=max_age_s) as reader:
            for picture in reader:
                found.append((time.monotonic(), picture))
                picture.to_rgb()
                if len(found) == 150:
                    break
    # What there is at the beginning comes faster: three segments at once.
    gaps_s = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(found[75:])]
    assert median(gaps_s) > 0.4 * slowest / RATE
    pts_s = [picture.pts_s or 0.0 for _, picture in found]
    assert all(later > earlier for earlier, later in itertools.pairwise(pts_s))
    assert reader.reconnects == 0 and reader.jumps == 0 and reader.dropped["waited"] == 0


def test_sound_that_goes_on_does_not_hide_that_the_pictures_have_stopped() -> None:
    events: list[SourceEvent] = []
    with (
        Camera(encoded(seconds(30), sound=True)) as camera,
        open_source(camera.url, read_timeout_s=1.0, options=QUICK, on_event=events.append) as reader,
    ):
        while reader.reconnects == 0:
            next(reader)
        # The connection that was given up is not read on behind our back.
        deadline_s = time.monotonic() + 5
        while _demuxers() > 1 and time.monotonic() < deadline_s:
            next(reader)
        assert _demuxers() == 1
    assert [event.state for event in events[:3]] == ["lost", "reconnecting", "back"]
    assert "no data within the read timeout" in events[0].reason
    assert events[0].since_ns == events[2].since_ns and events[2].attempts == 1


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
