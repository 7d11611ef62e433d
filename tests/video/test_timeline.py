"""One growing time out of clocks that jump, go back and stand still."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import pytest
from support.camera import RATE, Camera, encoded
from support.media import moving_images, write_video

from streamseg.video.decode import Timing
from streamseg.video.open import open_source
from streamseg.video.timeline import FileTimeline, Timeline

MS = Fraction(1, 1000)
HOURS_10_S = 36_000.0


def place(timeline: Timeline, frames: list[tuple[int | None, float]]) -> list[int]:
    """Times given to frames of (own time in milliseconds, arrival in seconds)."""
    return [timeline.place(Timing(pts, MS, round(at_s * 1e9), 0)) for pts, at_s in frames]


def test_the_timeline_goes_on_where_a_clock_starts_again() -> None:
    timeline = Timeline(MS)

    def at(pts: int | None, at_s: float, base: Fraction = MS) -> int:
        return timeline.place(Timing(pts, base, int(at_s * 10**9), 0))

    assert [at(5000, 0.0), at(5040, 0.04)] == [5000, 5040]
    timeline.interrupt()
    # Three seconds later another clock, which counts in other units and starts at nought.
    assert at(0, 3.04, Fraction(1, 90000)) == 8040
    assert at(3600, 3.08, Fraction(1, 90000)) == 8080
    assert timeline.jumps == 0
    # A clock that jumps back without a word.
    assert at(900, 3.12, Fraction(1, 90000)) == 8120
    # Twice the same time at the same moment still gives two times.
    assert at(900, 3.12, Fraction(1, 90000)) == 8121
    assert timeline.jumps == 1
    timeline.interrupt()
    # A clock that is far ahead.
    assert at(10**9, 4.12) == 9120


@pytest.mark.parametrize("jump_ms", [3_000, 36_000_000, -3_000, -36_000_000])
def test_a_clock_that_jumps_is_taken_to_go_on(jump_ms: int) -> None:
    timeline = Timeline(MS)
    own = [50_000_000 + 40 * n + jump_ms * (n >= 5) for n in range(10)]
    placed = place(timeline, [(pts, n / 25) for n, pts in enumerate(own)])
    assert placed == [50_000_000 + 40 * n for n in range(10)]
    assert timeline.jumps == 1


def test_a_silence_after_which_the_clock_has_gone_on_is_no_jump() -> None:
    timeline = Timeline(MS)
    assert place(timeline, [(0, 0.0), (40, 0.04), (8040, 8.04), (8080, 8.08)]) == [0, 40, 8040, 8080]
    assert timeline.jumps == 0


def test_pictures_that_come_late_all_at_once_keep_their_times() -> None:
    timeline = Timeline(MS)
    late = [(80 + 40 * n, 0.9) for n in range(20)]
    assert place(timeline, [(0, 0.0), (40, 0.04), *late]) == [0, 40, *(pts for pts, _ in late)]
    assert timeline.jumps == 0


def test_a_clock_that_stands_still_is_followed_by_ours() -> None:
    timeline = Timeline(MS)
    placed = place(timeline, [(700, n / 25) for n in range(200)])
    assert all(later > earlier for earlier, later in itertools.pairwise(placed))
    assert placed[-1] - placed[0] == pytest.approx(199 * 40, abs=1100)
    assert timeline.jumps > 3


def test_two_pictures_for_each_time_do_not_make_it_run_faster() -> None:
    timeline = Timeline(MS)
    placed = place(timeline, [(80 * (n // 2), n / 25) for n in range(500)])
    assert all(later > earlier for earlier, later in itertools.pairwise(placed))
    assert placed[-1] == 80 * 249 + 1 and timeline.jumps == 0


def test_times_of_a_file_stay_as_they_are_as_long_as_they_grow() -> None:
    timeline = FileTimeline()
    times = [None, 7, 9, 300, 301, None, 10**9]
    assert [timeline.place(pts) for pts in times] == times
    assert timeline.jumps == 0


def test_times_of_a_file_that_go_back_go_on() -> None:
    timeline = FileTimeline()
    assert [timeline.place(pts) for pts in (0, 40, 80, 0, 40, 80, 80, 120)] == [0, 40, 80, 120, 160, 200, 201, 240]
    assert timeline.jumps == 1


@pytest.mark.parametrize("jump_s", [3.0, HOURS_10_S, -2.0])
def test_a_camera_whose_clock_jumps_gives_growing_times(jump_s: float, caplog: pytest.LogCaptureFixture) -> None:
    before_s = [10 + n / RATE for n in range(50)]
    after_s = [12 + jump_s + n / RATE for n in range(100)]
    options = {"analyzeduration": "300000"}
    with Camera(encoded(before_s) + encoded(after_s)) as camera, open_source(camera.url, options=options) as reader:
        pictures = [next(reader) for _ in range(80)]
        assert (reader.jumps, reader.reconnects) == (1, 0)
    clock_s = [(picture.pts_s or 0) - picture.captured_ns / 1e9 for picture in pictures]
    # What is seen of this machine's own hesitation is far less than the jumps.
    assert max(abs(each - clock_s[0]) for each in clock_s) < 1.5
    assert all((b.pts or 0) > (a.pts or 0) for a, b in itertools.pairwise(pictures))
    assert "its clock jumps" in caplog.text


def test_streams_one_behind_the_other_in_a_file_have_one_time(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.ts", moving_images(12))
    path.write_bytes(path.read_bytes() * 2)
    with open_source(str(path)) as reader:
        times_s = [picture.pts_s or 0.0 for picture in reader]
    assert reader.jumps == 1
    assert [later - earlier for earlier, later in itertools.pairwise(times_s)] == pytest.approx([0.04] * 23, abs=1e-3)
    with open_source(str(path), start_index=15) as reader:
        assert [picture.pts_s for picture in reader] == times_s[15:]
