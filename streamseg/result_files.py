"""What the files and folders of a recorded run are called, for who writes them and who reads them."""

from __future__ import annotations

import re

OVERLAY = "overlay.mp4"
TRACKS = "tracks.jsonl"
MCAP = "results.mcap"
MASKS = "masks"
RUN = "run.json"
"""Written by whoever started the graph, but part of the same results."""

SEGMENT = re.compile(r"segment-(\d{9,})")
"""Names of the folders that one recording after the other is in."""


def mask_name(index: int) -> str:
    """File name of the mask of a frame by its number in the source; more digits than five where it needs them."""
    return f"{index:05d}.png"


def is_finished(report: object) -> bool:
    """Whether the content of a ``run.json`` says that its run has come to its end."""
    return isinstance(report, dict) and report.get("error", "") is None and report.get("stopped_early") is False
