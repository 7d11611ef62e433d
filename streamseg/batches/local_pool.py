"""Tasks side by side on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from streamseg.batches.one_task import do
from streamseg.batches.task import Ended, Task


def run(tasks: Sequence[Task], stopped: Callable[[], bool], *, jobs: int, cores: int) -> Iterator[Ended]:
    """Do tasks, and tell of each when it has ended.

    Args:
        tasks: what to do.
        stopped: whether no more shall be begun, and what is under way be ended.
        jobs: so many at once.
        cores: that each may use.
    """
    with ThreadPoolExecutor(jobs, thread_name_prefix="batch") as pool:
        futures = [pool.submit(_unless_stopped, task, stopped, cores) for task in tasks]
        for future in as_completed(futures):
            result = future.result()
            if result is not None:
                yield result


def _unless_stopped(task: Task, stopped: Callable[[], bool], cores: int) -> Ended | None:
    return None if stopped() else do(task, stopped, cores=cores)
