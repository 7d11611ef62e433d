"""Worker processes that have done their part of one run and wait for another: what they have loaded is loaded."""

from __future__ import annotations

from types import TracebackType

from streamseg.graph.plan import WorkerSpec
from streamseg.runtime.supervision.processes import Child, end_all

_END_WITHIN_S = 5.0
_Place = tuple[str, str, int]
"""Where a process fits in: its identity in the graph, its node and its number of threads."""


class Spares:
    """For runs of like graphs, one after the other. Use as a context manager: leaving ends those that wait.

    A node of the next run is made anew in its process, so it knows nothing of the run before; only modules and models
    are there already. A process that has died or whose node has left threads behind is not among them.
    """

    def __init__(self) -> None:
        self._waiting: dict[_Place, Child] = {}

    def __enter__(self) -> Spares:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        children = list(self._waiting.values())
        self._waiting.clear()
        for child in children:
            child.hang_up()
        end_all(children, _END_WITHIN_S)
        for child in children:
            child.close()

    def put(self, spec: WorkerSpec, child: Child) -> None:
        """Keep a process that rests."""
        before = self._waiting.pop(_place(spec), None)
        self._waiting[_place(spec)] = child
        if before is not None:
            _end(before)

    def take(self, spec: WorkerSpec) -> Child | None:
        """A process for this part of a run; None if a new one is needed."""
        child = self._waiting.pop(_place(spec), None)
        if child is not None and not child.alive:
            _end(child)
            return None
        return child


def _place(spec: WorkerSpec) -> _Place:
    return spec.identity, spec.use, spec.threads


def _end(child: Child) -> None:
    child.hang_up()
    end_all([child], _END_WITHIN_S)
    child.close()
