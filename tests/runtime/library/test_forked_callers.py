"""A process that was forked from one with a run leaves that run alone, however it ends."""

from __future__ import annotations

import atexit
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from support.disks import box_of, picture
from support.graphs import wait_until
from support.media import write_video

import streamseg
from streamseg.errors import RunError

FRAMES = 12


def forked(work: Callable[[], int]) -> int:
    """A child that does some work and leaves by `sys.exit`, as a program does; its number."""
    with warnings.catch_warnings():
        # Python 3.12 and later warn of forks in processes with threads, which is what is tested here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        # Not through pytest, which would take the exit for its own.
        try:
            code = work()
        finally:
            if sys.exc_info()[0] is not None:
                os._exit(99)
        atexit._run_exitfuncs()
        os._exit(code)
    return child


def code_of(child: int) -> int | None:
    """What a child ends with; None if it does not end, and is ended."""
    codes: list[int] = []

    def ended() -> bool:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            codes.append(os.waitstatus_to_exitcode(status))
        return bool(done)

    if wait_until(ended):
        return codes[0]
    os.kill(child, 9)
    os.waitpid(child, 0)
    return None


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
@pytest.mark.parametrize("way", ["leave", "close", "let go", "ask"])
def test_a_forked_child_ends_and_its_parents_run_goes_on(tmp_path: Path, way: str) -> None:
    video = write_video(tmp_path / "a.mp4", [picture(index) for index in range(FRAMES)])
    results = streamseg.segment_video(video, boxes=[box_of(0)])
    kept = [results]
    first = next(results)
    del results

    def work() -> int:
        if way == "close":
            kept[0].close()
        if way == "let go":
            kept.clear()
        if way == "ask":
            try:
                next(kept[0])
            except RunError as error:
                return 5 if "which began the run" in str(error) else 6
        return 5

    assert code_of(forked(work)) == 5
    assert [first.index, *(result.index for result in kept[0])] == list(range(FRAMES))


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_a_forked_child_makes_a_tracker_of_its_own() -> None:
    tracker = streamseg.Tracker()
    tracker.prompt(box=box_of(0))
    tracker.track(picture(0))
    state = tracker.save()

    def work() -> int:
        try:
            tracker.track(picture(1))
        except RunError as error:
            if "which made the tracker" not in str(error):
                return 6
        # What the parent has loaded has threads there, and none here.
        own = streamseg.Tracker()
        own.restore(state)
        return 5 if own.track(picture(1)).objects[0].mask.any() else 7

    assert code_of(forked(work)) == 5
    assert tracker.track(picture(1)).index == 1
