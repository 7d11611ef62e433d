"""Figures of a run: a line of JSON every few steps, and a picture of the curves."""

from __future__ import annotations

import json
import math
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from streamseg.errors import OutputError
from streamseg.regular_files import open_own, read_regular, write_own

Row = dict[str, Any]
"""``step`` and figures by name."""

_ROWS_MAX_BYTES = 1 << 30
_WIDTH, _PANEL_HEIGHT = 960, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 190, 30, 30
_COLORS_BGR = ((180, 80, 30), (40, 110, 230), (60, 160, 60), (170, 60, 170), (40, 40, 200), (150, 150, 0))
_PANELS = (
    ("loss", ("loss_view", "loss_whole")),
    ("IoU", ("iou_box", "iou_click", "iou_second", "iou_whole_box", "iou_whole_click", "validation_iou")),
)
_INK, _GRID = (40, 40, 40), (225, 225, 225)


class MetricMeans:
    """Means of figures since the last line."""

    def __init__(self) -> None:
        self._figures: dict[str, list[float]] = defaultdict(list)

    def add(self, figures: Mapping[str, Sequence[float]]) -> None:
        """Those of a step."""
        for name, values in figures.items():
            self._figures[name].extend(values)

    def take(self) -> dict[str, float]:
        """The mean of each; begins anew."""
        means = {name: round(float(np.mean(values)), 4) for name, values in sorted(self._figures.items()) if values}
        self._figures.clear()
        return means


class MetricsLog:
    """``metrics.jsonl`` and ``curves.png`` in a folder.

    Args:
        folder: of the run.
        done: steps that are done; later lines of a run that was cut off are taken out.

    Raises:
        OutputError: the folder cannot be written to.
    """

    def __init__(self, folder: Path, done: int) -> None:
        self._lines, self._picture = folder / "metrics.jsonl", folder / "curves.png"
        self.rows = [row for row in read_rows(self._lines) if row["step"] <= done]
        self._write("".join(json.dumps(row) + "\n" for row in self.rows), os.O_TRUNC)

    def add(self, row: Row) -> None:
        """Append a line.

        Raises:
            OutputError: it cannot be written.
        """
        self.rows.append(row)
        self._write(json.dumps(row) + "\n", os.O_APPEND)

    def draw(self) -> None:
        """Draw the curves again.

        Raises:
            OutputError: the picture cannot be written.
        """
        try:
            write_own(self._picture, cv2.imencode(".png", draw(self.rows))[1].tobytes())
        except OSError as error:
            raise OutputError(f"expected to write {self._picture}, got: {error.strerror or error}") from error

    def _write(self, text: str, how: int) -> None:
        try:
            with os.fdopen(open_own(self._lines, os.O_WRONLY | os.O_CREAT | how), "wb") as file:
                file.write(text.encode())
        except OSError as error:
            raise OutputError(f"expected to write {self._lines}, got: {error.strerror or error}") from error


def read_rows(path: Path) -> list[Row]:
    """The whole lines of a ``metrics.jsonl``; none if it is not there."""
    if not path.is_file():
        return []
    rows = []
    for line in read_regular(path, _ROWS_MAX_BYTES).decode("utf-8", "replace").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            # The last line of a run that was killed while it wrote.
            break
    return rows


def draw(rows: Sequence[Row]) -> np.ndarray:
    """(H, W, 3) uint8 BGR: a panel of losses above one of IoUs, over the steps."""
    return np.vstack([_panel(title, names, rows) for title, names in _PANELS])


def _panel(title: str, names: Sequence[str], rows: Sequence[Row]) -> np.ndarray:
    panel = np.full((_PANEL_HEIGHT, _WIDTH, 3), 255, np.uint8)
    values = [row[name] for row in rows for name in names if name in row and math.isfinite(row[name])]
    high = 1.0 if title == "IoU" else max([1e-6, *values])
    last = max([1, *(row["step"] for row in rows)])
    across, down = _WIDTH - _LEFT - _RIGHT, _PANEL_HEIGHT - _TOP - _BOTTOM

    def place(step: float, value: float) -> tuple[int, int]:
        return round(_LEFT + across * step / last), round(_TOP + down * (1 - min(value / high, 1.0)))

    for part in range(5):
        value = high * part / 4
        cv2.line(panel, place(0, value), place(last, value), _GRID, 1)
        _write(panel, f"{value:.2f}", (8, place(0, value)[1] + 4))
        _write(panel, f"{last * part / 4:.0f}", (place(last * part / 4, 0)[0] - 10, _PANEL_HEIGHT - 10))
    _write(panel, title, (_LEFT, 18))
    for number, name in enumerate(names):
        color = _COLORS_BGR[number]
        points = [place(row["step"], row[name]) for row in rows if name in row and math.isfinite(row[name])]
        if points:
            cv2.polylines(panel, [np.array(points, np.int32)], False, color, 1, cv2.LINE_AA)
            cv2.circle(panel, points[-1], 2, color, -1)
            _write(panel, name, (_WIDTH - _RIGHT + 12, _TOP + 18 * (number + 1)), color)
    return panel


def _write(panel: np.ndarray, text: str, at: tuple[int, int], color: tuple[int, int, int] = _INK) -> None:
    cv2.putText(panel, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, color, 1, cv2.LINE_AA)
