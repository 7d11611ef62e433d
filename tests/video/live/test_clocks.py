"""When a picture was taken is what its sender says, if it says so; nothing is thrown away because of any clock."""

from __future__ import annotations

import itertools
import time
from collections import Counter

import pytest
from support.camera import RATE, Camera, encoded, number_of
from support.rtsp import RtspCamera

from streamseg import segment_video
from streamseg.video.live.clocks import ClockWatch
from streamseg.video.open import Picture, Reader, open_source

QUICK = {"analyzeduration": "300000"}
PATIENT_S = 30.0
"""On a machine that has much else to do a picture may get old."""
S = 1_000_000_000
YEAR_2001_NS = 1_000_000_000 * S
SLACK_S = 10.0
"""How much later than it was sent a picture may be noticed here."""


def ticking(number: int) -> int:
    """A clock in the year 2001."""
    return YEAR_2001_NS + number * S // RATE


def read(camera: RtspCamera, count: int) -> tuple[Reader, dict[int, Picture]]:
    with open_source(camera.url, options=QUICK, max_age_s=PATIENT_S) as reader:
        pictures = [next(reader) for _ in range(count)]
        return reader, {number_of(picture.to_rgb()): picture for picture in pictures}


@pytest.mark.parametrize("detail", [True, False])
def test_the_senders_clock_is_told_however_wrong_it_is_and_when_the_picture_came_too(detail: bool) -> None:
    """Pictures come at uneven distances, in several packets each or in one, of which FFmpeg says when the next was."""

    def at_s(number: int) -> float:
        return (number // 2) * 0.08 + (number % 2) * 0.02

    with RtspCamera(100, lambda n: YEAR_2001_NS + round(at_s(n) * S), at_s=at_s, detail=detail) as camera:
        sizes = [len(piece) for piece in camera.pictures[1:5]]
        assert min(sizes) > 3000 if detail else max(sizes) < 1400
        reader, found = read(camera, 60)
        sent_ns = dict(camera.sent_ns)
    by_sender = {number: picture for number, picture in found.items() if picture.captured_clock == "sender"}
    assert len(by_sender) >= 59
    for number, picture in by_sender.items():
        # The sender's clock in 2001, to the microsecond that FFmpeg has it in.
        assert picture.captured_ns == pytest.approx(YEAR_2001_NS + at_s(number) * S, abs=2000)
    assert all(abs(picture.arrived_ns - sent_ns[number]) < SLACK_S * S for number, picture in found.items())
    assert reader.clock["sender"] == len(by_sender)
    assert sum(reader.clock[each] for each in ("equal", "back", "ahead", "set")) == 0
    assert any("behind that of this machine" in note for note in reader.notes)


def test_until_the_sender_says_something_it_is_when_the_picture_came() -> None:
    with RtspCamera(120, lambda number: time.time_ns(), lambda number: number == 40) as camera:
        _, found = read(camera, 60)
    assert {number: picture.captured_clock for number, picture in found.items()} == {
        number: "arrival" if number < 40 else "sender" for number in found
    }
    assert min(found) < 40 < max(found)
    for picture in found.values():
        assert abs(picture.captured_ns - picture.arrived_ns) < SLACK_S * S
    assert all(found[n].captured_ns == found[n].arrived_ns for n in found if n < 40)


@pytest.mark.parametrize("began_s", [-2_208_988_800, -2_208_988_800 + 3600])
def test_a_sender_that_only_knows_how_long_it_is_on_does_not_know_what_time_it_is(began_s: int) -> None:
    """Nought in the report, or seconds since the power came on."""
    with RtspCamera(40, lambda number: began_s * S + (number * S // RATE if began_s % 100 else 0)) as camera:
        reader, found = read(camera, 20)
    assert {picture.captured_clock for picture in found.values()} == {"arrival"}
    assert reader.clock["arrival"] == 20


@pytest.mark.parametrize(
    ("jump_s", "counted"), [(-3600.0, "back"), (3600.0, "ahead"), (-1 / RATE, "equal"), (-0.01, None), (0.02, None)]
)
def test_a_senders_clock_that_is_set_is_followed_and_counted(jump_s: float, counted: str | None) -> None:
    def wall_ns(number: int) -> int:
        return ticking(number) + (round(jump_s * S) if number >= 30 else 0)

    with RtspCamera(100, wall_ns) as camera:
        reader, found = read(camera, 60)
    numbers = list(found)
    assert numbers == list(range(numbers[0], numbers[0] + 60)) and numbers[0] < 30
    for number, picture in found.items():
        if picture.captured_clock == "sender":
            assert picture.captured_ns == pytest.approx(wall_ns(number), abs=2000)
    assert reader.clock["sender"] >= 59
    pts_s = [picture.pts_s or 0 for picture in found.values()]
    assert [later - earlier for earlier, later in itertools.pairwise(pts_s)] == pytest.approx([1 / RATE] * 59, abs=2e-3)
    assert (sum(reader.dropped.values()), reader.reconnects) == (0, 0)
    counts = {each: reader.clock[each] for each in ("equal", "back", "ahead", "set") if reader.clock[each]}
    assert counts == ({} if counted is None else {counted: 1})


@pytest.mark.parametrize("step_s", [-36_000.0, 36_000.0])
def test_as_if_the_clock_of_this_machine_were_set_during_the_run(
    step_s: float, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No test may set the clock of the machine, so what reads it is replaced."""
    real_ns = time.time_ns
    with (
        Camera(encoded([n / RATE for n in range(200)])) as camera,
        open_source(camera.url, options=QUICK, max_age_s=PATIENT_S) as reader,
    ):
        before = [next(reader) for _ in range(20)]
        monkeypatch.setattr(time, "time_ns", lambda: real_ns() + round(step_s * S))
        after = [next(reader) for _ in range(50)]
        monkeypatch.undo()
    assert [picture.index for picture in before + after] == list(range(70))
    assert (sum(reader.dropped.values()), reader.reconnects, reader.jumps) == (0, 0, 0)
    # Some may have been on their way.
    assert after[-1].captured_ns - real_ns() == pytest.approx(step_s * S, abs=SLACK_S * S)
    assert after[-1].arrived_monotonic_ns - before[0].arrived_monotonic_ns == pytest.approx(
        69 / RATE * S, abs=SLACK_S * S
    )
    assert reader.clock["set"] == 1 and "was set by" in caplog.text


def test_clocks_that_are_corrected_little_by_little_are_not_told_of() -> None:
    counts: Counter[str] = Counter()
    watch = ClockWatch(counts)
    for number in range(1000):
        now_ns = number * S // RATE
        assert watch.look(now_ns * 1001 // 1000, now_ns * 999 // 1000, now_ns) == []
    assert counts == Counter(sender=1000)


def test_what_comes_out_says_which_clock_it_is_by() -> None:
    with RtspCamera(2000, ticking) as camera:
        results = segment_video(camera.url, boxes=[(8, 40, 40, 72)], max_frames=3, model="tiny")
        found = [next(results)]
        results.close()
    assert found[0].captured_clock == "sender"
    captured_ns, arrived_ns = found[0].captured_ns, found[0].arrived_ns
    assert captured_ns is not None and YEAR_2001_NS <= captured_ns < YEAR_2001_NS + 60 * S
    assert arrived_ns is not None and abs(arrived_ns - time.time_ns()) < 60 * S
