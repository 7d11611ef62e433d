"""Running a plan to its end, with processes or inline, while a person watches and may interrupt."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from streamseg.cli.interrupts import Interrupts
from streamseg.cli.output.progress import Progress
from streamseg.cli.output.text import say
from streamseg.cli.running.watching import Watch
from streamseg.errors import RunError, StreamsegError
from streamseg.graph.plan import Plan, cores, thread_environment
from streamseg.jobs import Job
from streamseg.prompts.files import given_prompts
from streamseg.runtime.inline import InlineRun
from streamseg.runtime.supervision.command_queue import CommandQueue
from streamseg.runtime.supervision.recovery import Restarts, can_resume, frames, go_on, go_on_live, reached
from streamseg.runtime.supervision.spares import Spares
from streamseg.runtime.supervision.supervisor import Supervisor
from streamseg.transport.control import Stats

_PUMP_MS = 100


class Outcome(msgspec.Struct):
    """What came of a run."""

    stats: Mapping[str, Stats] = {}
    facts: Mapping[str, dict[str, Any]] = {}
    error: StreamsegError | None = None
    interrupted: bool = False
    job: Job | None = None
    """What the last run was a part of, with the place where it began."""


class How(NamedTuple):
    """What goes with a run."""

    log_level: int
    command_queue: CommandQueue | None = None
    """Closed with the run."""
    watch: Watch | None = None
    """Looks at it, if it is a run of processes."""
    spares: Spares | None = None
    """Processes that stay for the next run."""


def execute(plan: Plan, how: How, *, inline: bool, job: Job | None = None) -> Outcome:
    """Run the plan, as a part of a job if one is given; errors of the run are in the outcome."""
    command_queue = how.command_queue
    progress = Progress(plan, how.log_level)
    root = logging.getLogger("streamseg")
    root.addHandler(progress)
    root.setLevel(how.log_level)
    try:
        with Interrupts() as interrupts:
            if inline:
                return _inline(plan, progress, interrupts, job)
            outcome = _processes(plan, progress, interrupts, how, job)
            if command_queue is not None:
                command_queue.close(outcome.error)
            return outcome
    finally:
        if command_queue is not None:
            command_queue.close(RunError("it broke off"))
        root.removeHandler(progress)
        progress.clear()


def _processes(plan: Plan, progress: Progress, interrupts: Interrupts, how: How, job: Job | None) -> Outcome:
    """Run the plan, and again where it is durable whenever one of its processes has died."""
    restarts = Restarts(plan.graph.recovery)
    while True:
        expendable = job is not None and restarts.left
        outcome, supervisor = _run_once(plan, progress, interrupts, how, job, expendable=expendable)
        may_go_on = job is not None and (can_resume(plan) or supervisor.live)
        if job is None or not may_go_on or not supervisor.lost or interrupts.stop:
            return outcome
        if not expendable:
            outcome.error = RunError(f"{outcome.error}\n{_too_often(plan)}")
            return outcome
        job = go_on_live(plan, job, supervisor.positions()) if supervisor.live else go_on(plan, job)
        job = replace(job, restarts=job.restarts + supervisor.replaced)
        if how.command_queue is not None:
            kept = {stream: place.next_index - 1 for stream, place in job.positions.items()}
            how.command_queue.forget_past(supervisor.seen_frames() if supervisor.live else kept)
            job = replace(job, commands=how.command_queue.past)
        say(f"{outcome.error}\nstarting again at frame {frames(job)} (restart {job.restarts})")
        if interrupts.wait(restarts.job_backoff_s(job)):
            outcome.interrupted = True
            return outcome


def _too_often(plan: Plan) -> str:
    rules = plan.graph.recovery
    return (
        f"it was started again {rules.restarts} times within {rules.window_s:g} s or without getting further, "
        f"which is the limit (recovery: {{restarts: {rules.restarts}}} in the graph); --resume goes on from here"
    )


def _run_once(
    plan: Plan, progress: Progress, interrupts: Interrupts, how: How, job: Job | None, *, expendable: bool
) -> tuple[Outcome, Supervisor]:
    outcome = Outcome(job=job)
    warned = job is not None and job.begun
    with Supervisor(
        plan,
        log_level=how.log_level,
        command_queue=how.command_queue,
        job=job,
        expendable=expendable,
        traced=how.watch is not None and how.watch.traced,
        spares=how.spares,
    ) as supervisor:
        try:
            while supervisor.state != "finished" and not interrupts.stop_now:
                supervisor.pump(_PUMP_MS)
                if how.watch is not None:
                    how.watch.look(supervisor, job)
                if supervisor.state == "running":
                    if not warned:
                        warned = True
                        say_where_pages_are(plan, supervisor.facts)
                        warn_of_prompts_beyond(plan, supervisor.facts)
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
        if how.watch is not None:
            how.watch.look(supervisor, job)
        outcome.stats, outcome.facts = supervisor.stats, supervisor.facts
        progress.clear()
    outcome.interrupted = interrupts.stop
    if job is not None:
        outcome.job = replace(job, restarts=job.restarts + supervisor.replaced)
    if job is not None and can_resume(plan) and (supervisor.replaced or not supervisor.complete):
        # Some process could not say its last words, but what was done is in the logs.
        uncounted = {name: replace(stats, entered=0, finished={}) for name, stats in supervisor.stats.items()}
        outcome.job, outcome.stats = reached(plan, outcome.job or job), uncounted
    return outcome, supervisor


def _inline(plan: Plan, progress: Progress, interrupts: Interrupts, job: Job | None) -> Outcome:
    outcome = Outcome(job=job)

    def look(run: InlineRun) -> None:
        progress.show(run.stats, expected_frames(plan, run.facts))
        if interrupts.stop:
            run.stop()

    # Before a node imports a numeric library, as for the workers; what the user has set stays.
    os.environ.update({**thread_environment(cores()), **os.environ})
    run = InlineRun(plan, between_frames=look, job=job)
    try:
        # What a node prints is no result of ours; of a worker process it is in the log.
        with contextlib.redirect_stdout(sys.stderr):
            run.run()
    except StreamsegError as error:
        outcome.error = error
    outcome.stats, outcome.facts, outcome.interrupted = run.stats, run.facts, interrupts.stop
    return outcome


def say_where_pages_are(plan: Plan, facts: Mapping[str, dict[str, Any]]) -> None:
    """Say what to open in a browser."""
    for name, kind in plan.kinds.items():
        found = facts.get(name, {})
        if getattr(kind, "gives_commands", False) and "url" in found:
            say(f"page: {found['url']}" + (" (it asks for the token)" if found.get("closed") else ""))


def warn_of_prompts_beyond(plan: Plan, facts: Mapping[str, dict[str, Any]]) -> None:
    """Say early that a prompt is for a frame that will not come; the sources' counts are estimates, so no more."""
    for name, options in plan.options.items():
        given = getattr(options, "prompts", None)
        ends = {stream: _end(plan, stream, facts) for stream in plan.streams(name)}
        for prompt in given_prompts(given) if given else ():
            known = [end for stream, end in ends.items() if prompt.stream in (None, stream)]
            if prompt.frame is not None and known and prompt.frame >= max(known):
                say(f"warning: {prompt.name}: the source seems to have only {max(known):.0f} frames, from 0 on")


def _end(plan: Plan, stream: str, facts: Mapping[str, dict[str, Any]]) -> float:
    """The number after that of the last frame that a source seems to have."""
    count = facts.get(stream, {}).get("frames")
    return count + getattr(plan.options[stream], "start", 0) if isinstance(count, int) else math.inf


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
