"""``streamseg batch``: many files, side by side on this machine or on those of a Ray cluster."""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from streamseg import __version__
from streamseg.batches import local_pool, places, ray_cluster
from streamseg.batches.task import Ended, Task
from streamseg.cli.commands.run import add_groups, run_one
from streamseg.cli.flags.options import assignment, hide
from streamseg.cli.flags.prompts import add_prompts
from streamseg.cli.interrupts import Interrupts
from streamseg.cli.output.text import duration_text, redacted, say, shown
from streamseg.cli.parser import Parser, amount, natural, positive
from streamseg.cli.running import one_by_one
from streamseg.errors import EXIT_INTERRUPTED, OutputError, UsageError
from streamseg.graph.plan import cores
from streamseg.regular_files import write_own
from streamseg.runtime.supervision.spares import Spares
from streamseg.video.source import SourceKind, classify

_OF_A_RUN = ("control", "metrics", "metrics_token", "metrics_cert", "metrics_key", "trace")
"""What only a run alone can be asked for."""
REPORT = "batch.json"
_RETRIES = 2
_DESCRIPTION = """Follow objects in many files, each into a folder of its own. One bad file stops nobody; said again,
the same command goes on where it was ended. --jobs does several at once, --ray spreads them over the machines of a Ray
cluster. Sources, prompts and -o may be URLs of object stores (s3://, gs://, …)."""


def add_to(parser: Parser) -> None:
    """Add its arguments."""
    parser.description = _DESCRIPTION
    parser.add_argument("sources", metavar="SOURCE", nargs="+", help="file, folder of images, or URL, with * in it too")
    where = parser.add_argument_group("where it is done")
    where.add_argument(
        "--jobs", type=positive, default=1, metavar="N", help="files at once on this machine (default: 1)"
    )
    where.add_argument(
        "--ray",
        nargs="?",
        const="auto",
        metavar="ADDRESS",
        help="on a Ray cluster: HOST:PORT, or auto (if left out) for the one that this machine is part of",
    )
    where.add_argument(
        "--cores", type=positive, metavar="N", help="that a file takes (default: all, or its share of them)"
    )
    where.add_argument("--gpus", type=amount, default=0.0, metavar="X", help="that a file takes with --ray, say 0.25")
    where.add_argument(
        "--retries",
        type=natural,
        metavar="N",
        help=f"begin a file again so often whose machine was lost, with --ray (default: {_RETRIES})",
    )
    add_prompts(parser)
    rare = add_groups(parser, without=("page",))
    parser.add_argument_group("any other option").add_argument(
        "--set", action="append", type=assignment, metavar="NODE.OPTION=VALUE", help="an option of a node by its name"
    )
    here = parser.add_argument_group("this batch")
    here.add_argument("--json", action="store_true", help="print the report as JSON")
    here.add_argument("-v", "--verbose", action="count", default=0, help="say more; twice: everything")
    parser.add_argument_group("debugging").add_argument(
        "--inline", action="store_true", help="one process for each file"
    )
    hide(parser, rare)
    # What a run has besides.
    parser.set_defaults(run=run, resume=None, **dict.fromkeys(_OF_A_RUN))


def run(args: argparse.Namespace) -> int:
    """Do them all; returns the exit code, of the first that failed.

    Raises:
        StreamsegError: something was wrong before anything started.
    """
    began_s = time.monotonic()
    if args.ray is None and args.gpus:
        raise UsageError("--gpus is for --ray; on this machine all files share what --device says")
    if args.ray is None and args.retries is not None:
        raise UsageError("--retries is for --ray; here the same command, said again, goes on with what failed")
    sources = list(itertools.chain.from_iterable(map(places.expand, args.sources)))
    root = one_by_one.output_of(args)
    tasks = list(one_by_one.tasks(args, sources, root))
    done: list[Ended] = []
    here = args.ray is None and args.jobs == 1 and args.cores is None and not any(map(_has_urls, tasks))
    # Ray prints what happens to its machines.
    with Interrupts() as interrupts, contextlib.redirect_stdout(sys.stderr), Spares() as spares:
        run_here = functools.partial(run_one, spares=spares)

        def stopped() -> bool:
            # One that was ended by itself ends the batch too, and what is at work beside it in good order.
            return interrupts.stop or any(each.code == EXIT_INTERRUPTED for each in done)

        for each in one_by_one.in_turn(args, tasks, run_here) if here else _results(args, tasks, stopped):
            done.append(each)
            if not here:
                what = f"failed ({each.code}): {each.reason}" if each.code else f"{each.frames} frames"
                say(f"{len(done)} of {len(tasks)}: {each.name}: {what}")
            if here and stopped():
                break
        interrupted = stopped()
    order = {task.name: place for place, task in enumerate(tasks)}
    done.sort(key=lambda each: order[each.name])
    took_s = time.monotonic() - began_s
    _write_report(root, done, took_s)
    if args.json:
        print(msgspec.json.encode(_report(done, took_s)).decode(), flush=True)
    one_by_one.say_table(done, to_stderr=args.json)
    failed = sum(bool(each.code) for each in done)
    say(f"{len(done) - failed} of {len(tasks)} done, {failed} failed, in {duration_text(took_s)}")
    if interrupted:
        say("ended early; the same command goes on")
        return EXIT_INTERRUPTED
    return one_by_one.exit_code(done)


def _results(args: argparse.Namespace, found: Sequence[Task | Ended], stopped: Callable[[], bool]) -> Iterator[Ended]:
    """What became of each, as it comes."""
    yield from (each for each in found if isinstance(each, Ended))
    tasks = [each for each in found if isinstance(each, Task)]
    if args.ray is not None:
        yield from ray_cluster.run(
            [_anywhere(task) for task in tasks],
            stopped,
            address=args.ray,
            cores=args.cores or 1,
            gpus=args.gpus,
            retries=_RETRIES if args.retries is None else args.retries,
        )
    else:
        share = args.cores or max(1, cores() // args.jobs)
        yield from local_pool.run(tasks, stopped, jobs=args.jobs, cores=share)


def _anywhere(task: Task) -> Task:
    """The same for a process with another current folder."""
    local = classify(task.source) in (SourceKind.FILE, SourceKind.FOLDER, SourceKind.BAG) and "://" not in task.source
    return msgspec.structs.replace(
        task,
        source=_absolute(task.source) if local else task.source,
        prompts=None if task.prompts is None else _absolute(task.prompts),
        output=_absolute(task.output),
        folder=str(Path.cwd()),
    )


def _absolute(place: str) -> str:
    return place if places.is_url(place) else str(Path(place).expanduser().absolute())


def _has_urls(task: Task | Ended) -> bool:
    return isinstance(task, Task) and any(
        place is not None and places.is_url(place) for place in (task.source, task.prompts, task.output)
    )


def _report(done: Sequence[Ended], took_s: float) -> dict[str, object]:
    """What became of all, for scripts."""
    files = redacted(msgspec.to_builtins(list(done)))
    return {"version": __version__, "took_s": round(took_s, 3), "files": files}


def _write_report(root: str, done: Sequence[Ended], took_s: float) -> None:
    """Beside the folders of the results; the results are there, should it not be possible."""
    data = msgspec.json.format(msgspec.json.encode(_report(done, took_s)), indent=2) + b"\n"
    try:
        if places.is_url(root):
            places.write(places.join(root, REPORT), data)
        else:
            folder = Path(root).expanduser()
            folder.mkdir(parents=True, exist_ok=True)
            write_own(folder / REPORT, data)
    except (OSError, OutputError) as error:
        say(f"warning: {REPORT} could not be written: {shown(str(error))}")
