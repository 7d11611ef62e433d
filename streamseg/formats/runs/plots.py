"""Pictures of how a run went."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from streamseg.errors import OutputError, UsageError
from streamseg.extras import load
from streamseg.formats.clip import Clip
from streamseg.formats.runs.tracks import Tracks
from streamseg.masks.overlay import color_of

_STATES = ("LOST", "UNCERTAIN", "TRACKED", "REACQUIRED")
_MOST_NAMED = 20


def plot(run: Clip, path: Path | None) -> Any:
    """Areas, scores and states over the frames, a line an object.

    Args:
        run: with `tracks`.
        path: where to write it too; None does not.

    Returns:
        A ``matplotlib.figure.Figure``.

    Raises:
        UsageError: matplotlib is not installed, or there is no object.
        OutputError: the file cannot be written.
    """
    figures = load("matplotlib.figure", "formats", "to plot a run")
    tracks: Tracks = run.tracks  # type: ignore[attr-defined]
    if not len(tracks):
        raise UsageError(f"expected an object in {run.name} to plot, there is none")
    figure = figures.Figure(figsize=(10, 7), layout="constrained")
    areas, scores, states = figure.subplots(3, 1, sharex=True)
    for object_id in run.objects:
        at = tracks.id == object_id
        frames, color = tracks.frame[at], np.array(color_of(object_id)) / 255
        name = f"{object_id} {run.objects[object_id]}".strip()
        areas.plot(frames, tracks.area_px[at], color=color, label=name)
        scores.plot(frames, tracks.score[at], color=color)
        states.step(frames, [_STATES.index(each) for each in tracks.state[at]], color=color, where="mid")
    areas.set_ylabel("area (pixels)")
    scores.set_ylabel("score")
    scores.set_ylim(0, 1.05)
    states.set_yticks(range(len(_STATES)), _STATES)
    states.set_xlabel("frame")
    if len(run.objects) <= _MOST_NAMED:
        areas.legend(loc="upper right")
    figure.suptitle(run.name)
    if path is not None:
        try:
            figure.savefig(path)
        except (OSError, ValueError) as error:
            raise OutputError(f"expected to write the plot {path}, got: {error}; name a .png, .pdf or .svg") from error
    return figure
