"""Who makes pictures: threads, or nobody but the caller."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class InlineExecutor(Executor):
    """Does at once, in the caller's thread, what it is given."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call it; what it raises is raised here."""
        future: Future[T] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def make_executor(workers: int) -> Executor:
    """An executor with so many threads; 0 for none. OpenCV and NumPy let other threads run while they work."""
    return ThreadPoolExecutor(workers, thread_name_prefix="pictures") if workers else InlineExecutor()
