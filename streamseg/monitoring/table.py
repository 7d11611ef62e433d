"""Figures of a run as tables in a terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Group
from rich.table import Table
from rich.text import Text

from streamseg.monitoring.figures import Figures, ProcessFigures, StreamFigures

_NOTHING = "–"
_JOINED = "\N{NO-BREAK SPACE}"
_WORDS = ("NODE", "STREAM", "DROPPED", "OBJECTS")
_BUSY = 0.9
_SILENT_S = 3.0


def tables(found: Figures, address: str) -> Group:
    """A line about the run, a table of its processes, one of its streams.

    Args:
        found: the figures.
        address: where they are from.
    """
    return Group(_head(found, address), "", _processes(found.processes), "", _streams(found.streams))


def _head(found: Figures, address: str) -> Text:
    minutes, seconds = divmod(int(found.up_s), 60)
    head = Text(
        f"streamseg {found.version} at {address}  {found.state} for {minutes // 60}:{minutes % 60:02}:{seconds:02}"
    )
    head.append(f"  {found.restarts} restart{'' if found.restarts == 1 else 's'}  ")
    if found.unready is None:
        return head.append("ready", "green")
    return head.append(f"{'not ready' if found.unhealthy is None else 'unhealthy'}: {found.unready}", "bold red")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="left" if column in _WORDS else "right")
    return table


def _processes(found: list[ProcessFigures]) -> Table:
    table = _table("NODE", "FPS", "LOAD", "MS", "P95", "AGE MS", "QUEUE", "FAILED")
    for each in found:
        table.add_row(
            Text(each.name, "" if each.ready else "red"),
            f"{each.fps:.1f}",
            Text(f"{each.load:.0%}", "bold" if each.load >= _BUSY else ""),
            _ms(each.p50_ms),
            _ms(each.p95_ms),
            _ms(each.age_ms),
            str(each.queue),
            Text(str(each.failed), "red" if each.failed else ""),
        )
    return table


def _streams(found: list[StreamFigures]) -> Table:
    table = _table("STREAM", "IN", "OUT", "FPS", "AGE MS", "P95", "SILENT", "FAILED", "DROPPED", "OBJECTS")
    for each in found:
        # Why is in the first line.
        away = "away" if each.away else f"{each.silent_s:.1f} s"
        table.add_row(
            Text(each.name),
            str(each.frames_in),
            str(each.frames_out),
            f"{each.fps:.1f}",
            _ms(each.latency_p50_ms),
            _ms(each.latency_p95_ms),
            Text(away, "red" if each.away or (each.live and each.silent_s > _SILENT_S) else ""),
            Text(str(each.failed), "red" if each.failed else ""),
            Text(_counts(each.dropped)),
            Text(_counts(each.objects)),
        )
    return table


def _ms(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _counts(counts: Mapping[str, int]) -> str:
    # Never a number on one line and what it counts on the next.
    return ", ".join(f"{count}{_JOINED}{what}" for what, count in counts.items() if count) or _NOTHING
