"""Tasks on the machines of a Ray cluster.

A task and what became of it are a few hundred bytes of JSON; frames and masks never go through Ray. The machines read
and write files themselves: in a folder that all of them have, or in an object store.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence

import msgspec

from streamseg import extras
from streamseg.batches.one_task import do
from streamseg.batches.task import Ended, Task, ended
from streamseg.errors import RunError

_LOOK_S = 0.2
_ANSWERS_WITHIN_S = 5.0


def run(
    tasks: Sequence[Task],
    stopped: Callable[[], bool],
    *,
    address: str,
    cores: float,
    gpus: float,
    retries: int,
) -> Iterator[Ended]:
    """Do tasks, and tell of each when it has ended.

    Args:
        tasks: what to do.
        stopped: whether no more shall be begun, and what is under way be ended.
        address: of the cluster: ``HOST:PORT``, ``ray://HOST:PORT``, ``auto`` for the one that this machine is part of,
            or ``local`` for one that is started here.
        cores: that each task takes.
        gpus: that each task takes; parts of one are shared.
        retries: how often a task is begun again whose machine or process was lost.

    Raises:
        UsageError: Ray is not installed.
        RunError: there is no such cluster.
    """
    ray = extras.load("ray", "ray", "to spread a batch over machines")
    _check_reached(address)
    # One that is started here does not tell its makers of it.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, ignore_reinit_error=True)
    except Exception as error:
        raise RunError(f"expected a Ray cluster at {address}, got: {error}; 'ray start --head' starts one") from error
    try:
        work = ray.remote(num_cpus=cores, num_gpus=gpus, max_retries=retries)(_work)
        waiting = {work.remote(msgspec.json.encode(task), max(1, int(cores))): task for task in tasks}
        while waiting:
            ready, _ = ray.wait(list(waiting), timeout=_LOOK_S)
            for each in ready:
                yield _result(ray, each, waiting.pop(each))
            if stopped():
                for each in waiting:
                    ray.cancel(each)
                return
    finally:
        ray.shutdown()


def _check_reached(address: str) -> None:
    """Refuse an address where nobody answers: Ray would try for minutes.

    Raises:
        RunError: nobody does.
    """
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if not separator or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWERS_WITHIN_S).close()
    except (OSError, OverflowError) as error:
        raise RunError(
            f"expected a Ray cluster at {address}, nobody answers there: {error}; 'ray start --head' says the address"
        ) from error


def _work(task: bytes, cores: int) -> bytes:
    """On a machine of the cluster."""
    return msgspec.json.encode(do(msgspec.json.decode(task, type=Task), lambda: False, cores=cores))


def _result(ray, reference, task: Task) -> Ended:  # type: ignore[no-untyped-def]
    try:
        found: Ended = msgspec.json.decode(ray.get(reference), type=Ended)
    except ray.exceptions.RayError as error:
        with contextlib.suppress(AttributeError):
            error = error.cause
        first = str(error).strip().partition("\n")[0]
        return ended(task, RunError.exit_code, f"its machine or process was lost, or had no room: {first}")
    return found
