"""The ways messages go between the two machines: which endpoints of a worker lead to the other one."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from streamseg.graph.plan import Placed, WorkerSpec


class WayOut(NamedTuple):
    """Where messages of a worker go that leave its machine."""

    endpoints: list[str]
    """On the machine that runs the graph; each message goes to one of them."""
    carries_frames: bool
    """Whether they are messages of a data edge."""


def endpoint_there(identity: str, number: int) -> str:
    """Name of the endpoint, on the worker's machine, that leads to way `number`."""
    return f"{identity}.to{number}"


def ways_out(spec: WorkerSpec) -> tuple[WorkerSpec, list[WayOut]]:
    """The spec as the worker over there gets it, and the ways that lead from there, by number."""
    ways: list[WayOut] = []
    numbers: dict[tuple[str, ...], int] = {}
    here = frozenset() if spec.placed is None else frozenset(spec.placed.endpoints)

    def led(endpoints: list[str], *, carries_frames: bool) -> list[str]:
        if not endpoints or here.issuperset(endpoints):
            return endpoints
        key = tuple(endpoints)
        if key not in numbers:
            numbers[key] = len(ways)
            ways.append(WayOut(endpoints, carries_frames))
        return [endpoint_there(spec.identity, numbers[key])]

    there = msgspec.structs.replace(
        spec,
        outbox=[led(group, carries_frames=True) for group in spec.outbox],
        feedback_outbox=[each for to in spec.feedback_outbox for each in led([to], carries_frames=False)],
        finished={stream: led([to], carries_frames=False)[0] for stream, to in spec.finished.items()},
        begun={stream: led([to], carries_frames=False)[0] for stream, to in spec.begun.items()},
        placed=None,
    )
    return there, ways


def buffers_there(placed: Placed | None) -> frozenset[int]:
    """Numbers of the buffers that are written on the other machine."""
    return frozenset() if placed is None else frozenset(placed.buffers)
