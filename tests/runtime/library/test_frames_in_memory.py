"""`segment_video` takes frames that its caller has in memory, through the graph like any other source."""

from __future__ import annotations

import itertools
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.disks import box_of, picture, truth
from support.graphs import own_children, wait_until
from support.masks import assert_same
from support.media import decode_plainly, write_video

import streamseg
from streamseg.errors import MediaError, UsageError
from streamseg.runtime.library.feeder import frames_in

IMAGES = [picture(index) for index in range(8)]
PROMPTS: list[dict[str, Any]] = [{"id": 1, "box": box_of(0)}, {"id": 2, "frame": 3, "box": box_of(3, 1)}]


def test_the_masks_are_those_of_the_same_frames_from_a_file(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", IMAGES)
    expected = list(streamseg.segment_video(video, prompts=PROMPTS))
    frames = decode_plainly(video)
    pairs = ((image, result.pts_s) for image, result in zip(frames, expected, strict=True))
    found = list(streamseg.segment_video(pairs, prompts=PROMPTS))
    assert_same(found, expected)
    assert [result.pts_s for result in found] == [result.pts_s for result in expected]
    assert_same(list(streamseg.segment_video(np.stack(frames), prompts=PROMPTS)), expected)


def test_each_frame_may_depend_on_the_result_before() -> None:
    """A simulator makes the next picture when it knows what was seen in this one."""
    seen: list[int] = []
    changed = threading.Condition()

    def simulate() -> Iterator[np.ndarray]:
        for index in range(5):
            with changed:
                assert changed.wait_for(lambda index=index: len(seen) == index, 60)
            yield picture(index)

    for result in streamseg.segment_video(simulate(), boxes=[box_of(0)]):
        assert np.mean(result.objects[0].mask == truth(result.index)) > 0.98
        with changed:
            seen.append(result.index)
            changed.notify()
    assert seen == [0, 1, 2, 3, 4]


def test_an_error_of_the_iterator_ends_the_run_with_that_cause() -> None:
    def broken() -> Iterator[np.ndarray]:
        yield from IMAGES[:3]
        raise ValueError("the lens fell off")

    results = streamseg.segment_video(broken(), boxes=[box_of(0)])
    found: list[streamseg.FrameResult] = []
    with pytest.raises(MediaError, match="expected frame 3, but its iterator raised ValueError: the lens fell") as end:
        found.extend(results)
    assert isinstance(end.value.__cause__, ValueError)
    # With the place in the caller's own code.
    assert traceback.extract_tb(end.value.__cause__.__traceback__)[-1].name == "broken"
    assert [result.index for result in found] == [0, 1, 2]


def test_one_that_never_ends_is_taken_no_further_than_the_loop_and_can_be_stopped() -> None:
    before = own_children()
    taken: list[int] = []
    closed = threading.Event()

    def endless() -> Iterator[np.ndarray]:
        try:
            for number in itertools.count():
                taken.append(number)
                yield picture(number % 8)
        finally:
            closed.set()

    results = streamseg.segment_video(endless(), boxes=[box_of(0)])
    assert not taken
    assert [next(results).index for _ in range(3)] == [0, 1, 2]
    # As many as there are tickets, and those on the pipe: 1 MiB holds eight of these.
    assert len(taken) < 40
    results.close()
    assert closed.wait(20)
    assert wait_until(lambda: own_children() == before)


@pytest.mark.parametrize(
    ("source", "options", "said"),
    [
        (IMAGES[0], {}, r"got an array of \(180, 240, 3\); a single picture is image\[None\]"),
        (torch.from_numpy(IMAGES[0]), {}, r"got an array of \(180, 240, 3\)"),
        (np.zeros((4, 9, 9, 3), np.float32), {}, "frame 0: .*got float32 with values from 0 to 0; multiply by 255"),
        ([IMAGES[0][..., 0]], {}, "frame 0: .*say gray=True"),
        ([], {}, "at least one frame, got none"),
        (np.zeros((0, 9, 9, 3), np.uint8), {}, "at least one frame, got none"),
        (["a.png"], {}, "give the folder that they are in"),
        ("a.mp4", {"bgr": True}, "got the name of a source, which says it itself"),
        (IMAGES, {"bgr": True, "gray": True}, "got both"),
        ({"a": 1}, {}, "got a dict"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_frames_is_refused_at_once(source: Any, options: dict[str, bool], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        streamseg.segment_video(source, boxes=[box_of(0)], **options)


@pytest.mark.parametrize(
    "source",
    [
        IMAGES,
        tuple(IMAGES),
        iter(IMAGES),
        map(Image.fromarray, IMAGES),
        np.stack(IMAGES),
        torch.from_numpy(np.stack(IMAGES)),
        [(image, 0.5) for image in IMAGES],
    ],
    ids=lambda value: type(value).__name__,
)
def test_frames_of_any_kind_are_frames(source: Any) -> None:
    found = frames_in(source, bgr=False, gray=False)
    assert found is not None
    assert len(list(found)) == len(IMAGES)


@pytest.mark.parametrize("source", ["a.mp4", b"a.mp4", Path("a.mp4"), 0, np.int32(0), ["a.png"], None, {1}])
def test_names_are_no_frames(source: Any) -> None:
    assert frames_in(source, bgr=False, gray=False) is None
