"""What is committed has no hole, whatever failed before: `--resume` gives every frame once."""

from __future__ import annotations

from concurrent import futures
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from streamseg_nodes.record import recording
from streamseg_nodes.record.files import OverlayFile
from streamseg_nodes.record.node import Record
from support.bright_nodes import drawn
from support.command import tracks
from test_record import disk, overlay_frames

from streamseg.commits import CommitLog
from streamseg.errors import OutputError
from streamseg.jobs import Job
from streamseg.messages import GivenPrompt
from streamseg.node import NodeContext

FRAMES = 40
FACTS = {"graph": "of a test"}


def node(output: Path, job: Job) -> Record:
    made = Record(Record.Config(output=str(output)), NodeContext("record", streams=("s",), job=job))
    made.setup()
    return made


def failing_once(monkeypatch: pytest.MonkeyPatch, kind: type, name: str, at_call: int) -> None:
    """Let one call of a method fail as on a full disk."""
    real, calls = getattr(kind, name), []

    def method(self: Any, *args: Any, **named: Any) -> Any:
        calls.append(name)
        if len(calls) == at_call:
            raise OutputError("expected to write, got: No space left on device")
        return real(self, *args, **named)

    monkeypatch.setattr(kind, name, method)


@pytest.mark.parametrize(
    ("kind", "name"), [(OverlayFile, "append"), (recording.Recording, "_sync"), (CommitLog, "append")]
)
def test_after_a_commit_that_failed_nothing_more_is_committed_and_resuming_leaves_no_hole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type, name: str
) -> None:
    output = tmp_path / "out"
    failing_once(monkeypatch, kind, name, at_call=2)
    first = node(output, Job(facts=FACTS, commit_s=0.0))
    failures = 0
    # The graph is told to end, but frames in flight still come.
    for seq in range(FRAMES - 5):
        try:
            first.process(drawn(seq, disk(20 + seq % 20), (1,)))
        except OutputError:
            failures += 1
        in_progress = first._recordings["s"]._commits._in_progress  # type: ignore[union-attr]
        if in_progress is not None:
            futures.wait([in_progress])
    first.finish("s")
    first.close()
    assert failures == 1
    left = Record.left(Record.Config(output=str(output)), ("s",), None)
    assert left is not None
    begins = left.positions["s"].seq
    assert 0 < begins < FRAMES - 5
    second = node(output, Job(facts=FACTS, positions=left.positions, begun=True))
    for seq in range(begins, FRAMES):
        second.process(drawn(seq, disk(20 + seq % 20), (1,)))
    second.finish("s")
    second.close()
    times = [time for time, _ in overlay_frames(output / "overlay.mp4")]
    assert times == pytest.approx([seq / 10 for seq in range(FRAMES)])
    assert [line["frame"] for line in tracks(output)] == list(range(FRAMES))
    assert np.array_equal([int(path.stem) for path in sorted((output / "masks").iterdir())], range(FRAMES))


def test_a_prompt_that_came_into_force_is_committed_with_its_frame(tmp_path: Path) -> None:
    output = tmp_path / "out"
    recording = node(output, Job(facts=FACTS, commit_s=1000.0))
    for seq in range(10):
        frame = drawn(seq, disk(20 + seq), (1,))
        prompts = [GivenPrompt(1, "ball", (10.0, 10.0, 60.0, 60.0))] if seq == 6 else []
        recording.process(msgspec.structs.replace(frame, prompts=prompts))
        in_progress = recording._recordings["s"]._commits._in_progress  # type: ignore[union-attr]
        assert (in_progress is not None) == (seq >= 6)
        if in_progress is not None:
            futures.wait([in_progress])
    # Everything is killed now.
    left = Record.left(Record.Config(output=str(output)), ("s",), None)
    assert left is not None
    assert left.positions["s"].seq == 7
    recording.close()
