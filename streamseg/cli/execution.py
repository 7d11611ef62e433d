"""Running a plan to its end, with processes or inline, while a person watches and may interrupt."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

import msgspec

from streamseg.cli.interrupts import Interrupts
from streamseg.cli.progress import Progress
from streamseg.cli.text import say
from streamseg.errors import RunError, StreamsegError
from streamseg.runtime.desk import Desk
from streamseg.runtime.inline import InlineRun
from streamseg.runtime.plan import Plan, cores, thread_environment
from streamseg.runtime.supervisor import Supervisor
from streamseg.transport.control import Stats

_PUMP_MS = 100


class Outcome(msgspec.Struct):
    """What came of a run."""

    stats: Mapping[str, Stats] = {}
    facts: Mapping[str, dict[str, Any]] = {}
    error: StreamsegError | None = None
    interrupted: bool = False


def execute(plan: Plan, *, inline: bool, log_level: int, desk: Desk | None = None) -> Outcome:
    """Run the plan; errors of the run are in the outcome. The desk, if there is one, is closed with the run."""
    progress = Progress(plan, log_level)
    root = logging.getLogger("streamseg")
    root.addHandler(progress)
    root.setLevel(log_level)
    try:
        with Interrupts() as interrupts:
            if inline:
                return _inline(plan, progress, interrupts)
            outcome = _processes(plan, progress, interrupts, log_level, desk)
            if desk is not None:
                desk.close(outcome.error)
            return outcome
    finally:
        if desk is not None:
            desk.close(RunError("it broke off"))
        root.removeHandler(progress)
        progress.clear()


def _processes(plan: Plan, progress: Progress, interrupts: Interrupts, log_level: int, desk: Desk | None) -> Outcome:
    outcome = Outcome()
    with Supervisor(plan, log_level=log_level, desk=desk) as supervisor:
        try:
            while supervisor.state != "finished" and not interrupts.stop_now:
                supervisor.pump(_PUMP_MS)
                if supervisor.state == "running":
                    progress.show(supervisor.stats, expected_frames(plan, supervisor.facts))
                if interrupts.stop and not supervisor.stopped_early:
                    progress.clear()
                    say(f"{interrupts.name}: finishing what is in flight; once more to stop at once")
                    supervisor.stop()
            supervisor.raise_error()
            if supervisor.state != "finished":
                outcome.error = RunError("stopped at once: the last frames in flight are missing")
        except StreamsegError as error:
            outcome.error = error
        outcome.stats, outcome.facts = supervisor.stats, supervisor.facts
        progress.clear()
    outcome.interrupted = interrupts.stop
    return outcome


def _inline(plan: Plan, progress: Progress, interrupts: Interrupts) -> Outcome:
    outcome = Outcome()

    def look(run: InlineRun) -> None:
        progress.show(run.stats, expected_frames(plan, run.facts))
        if interrupts.stop:
            run.stop()

    # Before a node imports a numeric library, as for the workers; what the user has set stays.
    os.environ.update({**thread_environment(cores()), **os.environ})
    run = InlineRun(plan, between_frames=look)
    try:
        run.run()
    except StreamsegError as error:
        outcome.error = error
    outcome.stats, outcome.facts, outcome.interrupted = run.stats, run.facts, interrupts.stop
    return outcome


def expected_frames(plan: Plan, facts: Mapping[str, dict[str, Any]]) -> int | None:
    """How many frames will come, if every source knows."""
    total = 0
    for name in plan.sources:
        limits = (facts.get(name, {}).get("frames"), getattr(plan.options[name], "max_frames", None))
        known = [limit for limit in limits if isinstance(limit, int) and limit > 0]
        if not known:
            return None
        total += min(known)
    return total
