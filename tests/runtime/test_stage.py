from __future__ import annotations

import time

import pytest
from support.frames import frames
from support.toy_nodes import Follow, Look, Sum, Summed

from streamseg.messages import End, Gap, Regions, SourceStatus
from streamseg.node import NodeContext
from streamseg.runtime.node_faults import reason_of, trouble
from streamseg.runtime.stage import Stage


def stage_of(node, **options):
    return Stage(node, "n", ordered=options.get("ordered", True))


def drain(stage):
    found = []
    while stage.runnable:
        found += stage.step()
    return found


def test_frames_come_out_in_order_whatever_order_they_came_in():
    stage = stage_of(Sum())
    messages = [*frames(5), End("s", 5, "finished")]
    for message in reversed(messages):
        stage.accept(message)
    out = [passed.message for passed in drain(stage)]
    assert [message.stamp.seq for message in out[:-1]] == list(range(5))
    assert isinstance(out[-1], End)
    assert stage.ended_streams == {"s"}


def test_a_replica_takes_what_comes():
    stage = stage_of(Sum(), ordered=False)
    for message in list(frames(5))[::2]:
        stage.accept(message)
    assert [passed.message.stamp.seq for passed in drain(stage)] == [0, 2, 4]


def test_a_dropped_and_a_failed_frame_become_gaps():
    stage = stage_of(Sum(Sum.Config(drop=[0], fail=[1])))
    for message in frames(3):
        stage.accept(message)
    dropped, failed, fine = drain(stage)
    assert (dropped.message.kind, dropped.outcome) == ("dropped", "dropped")
    assert (failed.message.kind, failed.message.node) == ("failed", "n")
    assert "no luck with frame 1" in failed.message.reason
    assert isinstance(fine.message, Summed)
    assert [trouble.fatal for trouble in stage.troubles] == [False]
    stats = stage.stats()
    assert (stats.frames, stats.dropped, stats.failed) == (1, 1, 1)


def test_one_bad_frame_of_a_batch_does_not_cost_the_others():
    stage = stage_of(Sum(Sum.Config(batch=4, fail=[2])))
    for message in frames(4):
        stage.accept(message)
    outcomes = [passed.outcome for passed in stage.step()]
    assert outcomes == ["done", "done", "failed", "done"]


def test_after_a_fatal_error_frames_pass_as_gaps_and_ends_still_flush():
    flushed = []

    class Flushing(Sum):
        def finish(self, stream):
            flushed.append(stream)

    stage = stage_of(Flushing(Sum.Config(fatal_at=1)))
    for message in [*frames(4), End("s", 4, "finished")]:
        stage.accept(message)
    outcomes = [passed.outcome for passed in drain(stage)]
    assert outcomes == ["done", "failed", "failed", "failed", "done"]
    assert [trouble.fatal for trouble in stage.troubles] == [True]
    assert flushed == ["s"]


def test_a_message_that_waits_is_worked_on_ahead_and_that_is_part_of_its_time():
    worked = []

    class Early(Sum):
        open = False

        def ready(self, message):
            return self.open

        def work_ahead(self, message):
            worked.append(message.stamp.seq)
            if message.stamp.seq == 1:
                raise ValueError("no luck ahead")
            time.sleep(0.02)
            return len(worked) == 1

    node = Early()
    stage = stage_of(node)
    assert not stage.waits
    assert stage.spans is None
    for message in frames(2):
        stage.accept(message)
    assert stage.waits
    assert [stage.work_ahead(), stage.work_ahead()] == [("s", 0), None]
    node.open = True
    assert not stage.waits
    assert [passed.outcome for passed in stage.step()] == ["done"]
    assert stage.stats().process_ms["p50"] >= 20
    node.open = False
    assert [stage.work_ahead(), stage.work_ahead()] == [None, None]
    node.open = True
    assert [passed.outcome for passed in stage.step()] == ["done"]
    assert worked == [0, 0, 1]
    assert ["no luck ahead" in trouble.message for trouble in stage.troubles] == [True]


def test_a_gap_goes_round_the_node():
    seen = []

    class Watching(Sum):
        def gap(self, gap):
            seen.append(gap.stamp.seq)

    stage = stage_of(Watching())
    first, second = frames(2)
    stage.accept(Gap(first.stamp, "before", "failed", "why"))
    stage.accept(second)
    out = drain(stage)
    assert out[0].message.node == "before"
    assert seen == [0]


def test_a_node_that_waits_for_its_back_edge_is_not_called():
    look = Look()
    look.setup()
    stage = stage_of(look)
    (frame,) = frames(1)
    stage.accept(frame)
    assert not stage.runnable
    look.on_feedback(Regions("s", -1, []))
    assert stage.runnable


def test_a_failing_flush_ends_the_run():
    class Unflushed(Sum):
        def finish(self, stream):
            raise OSError("no space")

    stage = stage_of(Unflushed())
    stage.accept(End("s", 0, "finished"))
    stage.step()
    assert stage.troubles[0].fatal


def test_feedback_goes_where_the_context_says():
    sent = []
    follow = Follow(None, NodeContext("f", streams=["s"], feedback=sent.append))
    follow.setup()
    for frame in frames(2):
        follow.process(frame)
    assert [regions.seq for regions in sent] == [-1, 0, 1]


def test_a_batch_with_the_wrong_number_of_results_is_an_error():
    class Miscounting(Sum):
        def process_batch(self, messages):
            return []

    stage = stage_of(Miscounting())
    stage.accept(next(frames(1)))
    assert stage.step()[0].outcome == "failed"
    assert "1 messages and gave 0" in stage.troubles[0].message


@pytest.mark.parametrize("ordered", [True, False])
def test_finalize_flushes_streams_that_were_cut_off(ordered):
    flushed = []

    class Flushing(Sum):
        def finish(self, stream):
            flushed.append(stream)

    stage = Stage(Flushing(), "n", ordered=ordered)
    stage.accept(next(frames(1)))
    drain(stage)
    stage.finalize()
    assert flushed == ["s"]


class Told(Sum):
    """Notes what it is told of its source, and how often it is given a moment."""

    def setup(self):
        self.heard, self.moments = [], 0

    def status(self, status):
        self.heard.append(status)

    def tick(self):
        self.moments += 1
        if self.moments == 3:
            raise ValueError("no luck with the clock")


@pytest.mark.parametrize("ordered", [True, False])
def test_the_state_of_a_source_goes_on_without_a_place_among_the_frames(ordered):
    node = Told()
    node.setup()
    stage = stage_of(node, ordered=ordered)
    lost = SourceStatus("s", "lost", "no data", 5)
    first, *rest = frames(3)
    for message in (first, lost, *rest, End("s", 3, "finished")):
        stage.accept(message)
    passed = drain(stage)
    assert node.heard == [lost]
    assert [type(each.message) for each in passed] == [Summed, SourceStatus, Summed, Summed, End]
    assert [each.stamp is None for each in passed] == [False, True, False, False, True]
    stats = stage.stats()
    assert (stats.frames, stats.failed, stats.dropped) == (3, 0, 0)


def test_a_node_that_fails_by_the_clock_costs_no_frame():
    node = Told()
    node.setup()
    stage = stage_of(node)
    for message in frames(3):
        stage.accept(message)
        stage.tick()
    assert [each.outcome for each in drain(stage)] == ["done"] * 3
    assert [trouble.kind for trouble in stage.troubles] == ["ValueError"]


class UnsayableError(Exception):
    def __str__(self):
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UnsayableError(), "it cannot say what it is"),
        (ValueError("\x1b[31m\ud800"), r"\x1b[31m\ud800"),
        (ValueError("x" * 10**7), "characters)"),
    ],
)
def test_any_exception_can_be_said(error, said):
    text = reason_of(error)
    assert said in text and len(text) < 30_000
    assert said in trouble(error).message
    text.encode()
