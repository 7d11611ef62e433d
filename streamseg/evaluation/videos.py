"""Following on video sequences with true masks, measured as DAVIS does it (semi-supervised).

Each object is given once, in the first frame where it is visible at sequence start, by its box or its mask; then
the shipped graph runs in this process. J and F are averaged over all frames but the first, which was given, and the
last, as the benchmark's own code does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from PIL import Image

from streamseg.errors import MediaError
from streamseg.evaluation.metrics import Summary, boundary_accuracy, region_similarity, summarize
from streamseg.evaluation.sequences import Sequence as VideoSequence
from streamseg.evaluation.sequences import read_ids
from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.masks.boxes import box_of_mask
from streamseg.messages import Message, Segmented
from streamseg.runtime.inline import InlineRun

Init = Literal["box", "mask"]


class Measured(msgspec.Struct, frozen=True):
    """One object of one sequence, or the mean over several."""

    name: str
    j: Summary
    f: Summary

    @property
    def j_and_f(self) -> float:
        """The mean of J and F."""
        return (self.j.mean + self.f.mean) / 2


def evaluate_sequence(
    sequence: VideoSequence, *, init: Init, embed: dict[str, Any], propagate: dict[str, Any]
) -> list[Measured]:
    """J and F of every object of the first frame.

    Args:
        sequence: video and masks.
        init: what is given in the first frame.
        embed: options of the embed node.
        propagate: options of the propagate node, without prompts.

    Raises:
        MediaError: no object in the first mask, or video and masks do not belong together.
    """
    if not sequence.mask_files:
        raise MediaError(f"{sequence.name}: no mask files")
    first = read_ids(sequence.mask_files[0])
    ids = [int(i) for i in np.unique(first) if i]
    if not ids:
        raise MediaError(f"{sequence.name}: no object in {sequence.mask_files[0].name}, where each has to be given")
    with tempfile.TemporaryDirectory() as folder:
        prompts = [_prompt(first == i, i, init, Path(folder)) for i in ids]
        scores = Scores(sequence, ids)
        graph = _graph(sequence.source, embed, {**propagate, "prompts": prompts})
        InlineRun(Plan(graph, results_from="cleanup"), scores.take).run()
    return scores.measured()


def mean(measured: Sequence[Measured], name: str = "mean") -> Measured:
    """The mean over objects, as the benchmark takes it (each object counts the same)."""
    return Measured(name, _mean_of([m.j for m in measured]), _mean_of([m.f for m in measured]))


class Scores:
    """Compares frames with the truth as they come."""

    def __init__(self, sequence: VideoSequence, ids: Sequence[int]) -> None:
        self._sequence = sequence
        self._j: dict[int, list[float]] = {i: [] for i in ids}
        self._f: dict[int, list[float]] = {i: [] for i in ids}
        self._frames = 0

    def take(self, message: Message) -> None:
        """The next frame: its masks, or a `Gap` in its place."""
        self._frames += 1
        index = message.stamp.index
        last = len(self._sequence.mask_files) - 1
        if not 0 < index < last:
            return
        truth = read_ids(self._sequence.mask_files[index])
        found = dict(_masks(message)) if isinstance(message, Segmented) else {}
        for i in self._j:
            mask = found.get(i, np.zeros(truth.shape, bool))
            if mask.shape != truth.shape:
                raise MediaError(
                    f"{self._sequence.name}: the video is {mask.shape[1]}x{mask.shape[0]}, its masks are "
                    f"{truth.shape[1]}x{truth.shape[0]}"
                )
            self._j[i].append(region_similarity(truth == i, mask))
            self._f[i].append(boundary_accuracy(truth == i, mask))

    def measured(self) -> list[Measured]:
        """J and F of each object.

        Raises:
            MediaError: not as many frames as masks, or too few.
        """
        name, masks = self._sequence.name, len(self._sequence.mask_files)
        if self._frames != masks:
            raise MediaError(f"{name}: {self._frames} frames but {masks} mask files; expected one for each frame")
        if masks < 3:
            raise MediaError(f"{name}: {masks} frames; expected at least 3, since first and last do not count")
        several = len(self._j) > 1
        return [
            Measured(f"{name}.{i}" if several else name, summarize(self._j[i]), summarize(self._f[i])) for i in self._j
        ]


def _masks(message: Segmented) -> Iterator[tuple[int, np.ndarray]]:
    for position, found in enumerate(message.objects):
        yield found.id, message.mask(position)


def _prompt(mask: np.ndarray, object_id: int, init: Init, folder: Path) -> dict[str, Any]:
    if init == "mask":
        path = folder / f"{object_id}.png"
        Image.fromarray(mask.astype(np.uint8) * 255).save(path)
        return {"id": object_id, "mask": str(path)}
    return {"id": object_id, "box": list(box_of_mask(mask) or ())}


def _graph(source: Path, embed: dict[str, Any], propagate: dict[str, Any]) -> config.Graph:
    return config.parse(
        {
            "nodes": {
                "decode": {"options": {"source": str(source)}},
                "embed": {"options": embed},
                "propagate": {"options": propagate},
                "cleanup": {},
            },
            "links": ["decode -> embed -> propagate -> cleanup"],
            "feedback": ["propagate -> embed"],
        }
    )


def _mean_of(parts: Sequence[Summary]) -> Summary:
    means = np.array(parts, np.float64).mean(axis=0)
    return Summary(*(float(value) for value in means))
