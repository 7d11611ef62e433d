"""Automatic masks, as propagate has them: all objects of one frame, without being pointed at any."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from streamseg.errors import PromptError
from streamseg.masks.label_map import MAX_ID
from streamseg.masks.roi import resample_logits, to_frame, to_view
from streamseg.messages import Crops, Stamp
from streamseg.prompts.model import FramePrompt, ObjectPrompt, PendingPrompt
from streamseg.sam.automatic_masks import (
    AutomaticMaskOptions,
    Crop,
    CropProposals,
    Proposal,
    Proposals,
    generate_masks,
    merge_crops,
    object_logits,
    select_objects,
)
from streamseg.sam.decoder import MaskDecoder
from streamseg.tracking import Answer, EncodedView, TrackerState
from streamseg.types import Region


@dataclass(frozen=True, eq=False)
class ChosenMask:
    """Which answer to a click an object is."""

    view: EncodedView
    """Where it was seen; if that is a crop, as if it had been made for the object."""
    point_xy: tuple[float, float]
    """The click, in pixels of that view's picture."""
    choice: int
    """Which of the three masks it is."""


@dataclass(frozen=True, eq=False)
class FoundObjects:
    """Objects that nobody pointed at."""

    prompts: list[FramePrompt] = field(default_factory=list)
    """One click for each."""
    chosen: dict[int, ChosenMask] = field(default_factory=dict)
    """By object id."""
    planned: bool = False
    """Whether this was the look that the options ask for."""

    @property
    def ids(self) -> list[int]:
        """In their order."""
        return [prompt.id for prompt in self.prompts]

    @property
    def views(self) -> list[EncodedView]:
        """Those of crops, which are needed to build their queries."""
        return [each.view for each in self.chosen.values() if each.view.object_id is not None]


class Everything:
    """Looks for all objects of one frame of each stream.

    Args:
        options: what to look for, and in which frame; None looks only when somebody asks for it meanwhile.
        decoder: of the model that makes the features.
        log: told what was found and what was sorted out.
    """

    def __init__(self, options: AutomaticMaskOptions | None, decoder: MaskDecoder, log: logging.Logger) -> None:
        self._planned = options is not None
        # Frames pass while somebody waits for what was asked meanwhile: crops would take five times as long.
        self._options = options = options or AutomaticMaskOptions(crop_n_layers=0)
        self._when = PendingPrompt(prompt=ObjectPrompt(frame=options.frame, time_s=options.time_s), id=0)
        self._decoder = decoder
        self._settings = options.settings(decoder.info.name)
        self._log = log
        self.facts: dict[str, dict[str, Any]] = {}
        """By stream: the frame, how many masks the model gave, how many each filter removed, and how many stayed."""

    @property
    def used(self) -> bool:
        """Whether all objects are, or have been, looked for at all."""
        return self._planned or bool(self.facts)

    def wanted(self, state: TrackerState, stream: str, index: int, pts_s: float | None) -> bool:
        """Whether a frame is the one to look at, or comes after it and it was missed.

        Args:
            state: after the frame before.
            stream: of the frame.
            index: its position in the stream.
            pts_s: its presentation time; None if it is not known yet, or never.
        """
        if not self._planned or state.everything_done or self._options.stream not in (None, stream):
            return False
        return self._when.due(index, pts_s)

    def where(
        self, state: TrackerState, stream: str, index: int, *, asked: bool = False
    ) -> tuple[list[Region], Crops | None]:
        """What embed should show of the next frame.

        Args:
            state: after this frame.
            stream: of the frame.
            index: of the next one.
            asked: whether somebody has asked for all objects meanwhile.
        """
        if not asked and not self.wanted(state, stream, index, math.inf):
            return [], None
        # All of it, from the time on if there is one.
        options, layers = self._options, self._settings.crop_n_layers
        from_s = None if asked else options.time_s
        crops = Crops(layers, options.crop_overlap_ratio, from_s) if layers else None
        return [Region((0.0, 0.0, 0.0, 0.0), None, (1.0,), from_s)], crops

    def find(
        self,
        stamp: Stamp,
        views: Sequence[EncodedView],
        crops: Sequence[tuple[EncodedView, int]],
        state: TrackerState,
        prompts: Sequence[FramePrompt],
        first_id: int,
        *,
        asked: bool = False,
    ) -> FoundObjects:
        """All objects but those there are already, if this is the frame to look for them and all of it was encoded.

        Args:
            stamp: of the frame.
            views: of it.
            crops: more of them, of crops of it, each with its layer.
            state: after the frame before.
            prompts: that come into force in this frame.
            first_id: of the new objects; they are numbered from there on.
            asked: whether somebody has asked for all objects meanwhile, and this is the frame for that.

        Raises:
            PromptError: a time is asked for, and frames have none.
        """
        if self._planned and self._options.time_s is not None and stamp.pts_s is None:
            raise PromptError(
                f"everything at {self._options.time_s:g} s: this video has no times; say the number of a frame instead"
            )
        view = next((view for view in views if view.object_id is None), None)
        planned = self.wanted(state, stamp.stream, stamp.index, stamp.pts_s)
        if view is None or not (planned or asked):
            return FoundObjects()
        known = [*_tracked_masks(view, state), *(_prompted_mask(view, prompt) for prompt in prompts)]
        with_layers = [(view, 0), *crops]
        proposals = select_objects(self._propose(with_layers), view.image_size, known, self._options)
        kept = proposals.proposals[: max(0, MAX_ID + 1 - first_id)]
        facts = {"frame": stamp.index, "asked": proposals.asked, "removed": proposals.removed, "objects": len(kept)}
        self.facts[stamp.stream] = facts
        taken = ", ".join(f"{name} {count}" for name, count in proposals.removed.items() if count)
        say = self._log.info if kept else self._log.warning
        say(
            "everything in frame %d of %s: %d objects of %d masks; removed by %s",
            *(stamp.index, stamp.stream, len(kept), proposals.asked, taken or "no filter"),
        )
        found = dict(enumerate(kept, first_id))
        clicks = [_click(view, proposal, identity) for identity, proposal in found.items()]
        chosen = {
            identity: _chosen_mask(identity, proposal, view, *with_layers[proposal.view])
            for identity, proposal in found.items()
        }
        return FoundObjects(clicks, chosen, planned=planned)

    def pick(self, found: FoundObjects, answers: Sequence[Answer]) -> list[Answer]:
        """The answers, of those to clicks of `find` only the mask that was chosen, in the view that it was seen in."""
        picked = []
        for answer in answers:
            chosen = found.chosen.get(answer.query.object_id)
            if chosen is None:
                picked.append(answer)
            elif chosen.view is answer.query.view:
                picked.append(self._picked(chosen, answer))
        return picked

    def check_done(self, state: TrackerState, stream: str, frames: int) -> None:
        """Complain of a frame that never came.

        Raises:
            PromptError: it did not.
        """
        if self._planned and self._options.stream in (None, stream) and not state.everything_done:
            options = self._options
            when = f"frame {options.frame}" if options.time_s is None else f"{options.time_s:g} s"
            raise PromptError(f"everything at {when}: there is no such frame; stream {stream!r} has {frames} frames")

    def _propose(self, views: Sequence[tuple[EncodedView, int]]) -> Proposals:
        """What the model sees in the whole frame, which comes first, and in crops of it, in the whole one's picture."""
        whole, _ = views[0]
        _, _, width, height = (int(edge) for edge in whole.region)
        found = []
        for view, layer in views:
            x0, y0, x1, y1 = (int(edge) for edge in view.region)
            crop = Crop((x0, y0, x1, y1), layer)
            proposals = generate_masks(
                self._decoder,
                view.features,
                view.image_size,
                self._options,
                points_per_side=self._settings.points_per_side_in(layer),
                share=crop.area_px / (width * height),
            )
            found.append(CropProposals(crop, view.image_size, proposals))
        return merge_crops(found, (height, width), whole.image_size, self._options)

    def _picked(self, chosen: ChosenMask, answer: Answer) -> Answer:
        logits, smallest_px = answer.logits[chosen.choice], self._options.min_mask_region_area
        kept = object_logits(logits, chosen.point_xy, chosen.view.image_size, self._settings, smallest_px)
        return Answer(answer.query, kept[None], answer.scores[[chosen.choice]])


def _chosen_mask(identity: int, proposal: Proposal, whole: EncodedView, view: EncodedView, layer: int) -> ChosenMask:
    if layer == 0:
        return ChosenMask(view, proposal.point_xy, proposal.choice)
    in_frame = to_frame(np.array(proposal.point_xy), whole.region, whole.image_size)
    x, y = to_view(in_frame, view.region, view.image_size)
    return ChosenMask(replace(view, object_id=identity), (float(x), float(y)), proposal.choice)


def _tracked_masks(view: EncodedView, state: TrackerState) -> list[np.ndarray]:
    """(h, w) bool in the picture: where the objects were in the frame before."""
    memories = [track.memory for track in state.tracks if track.memory is not None and track.state != "LOST"]
    return [
        np.asarray(resample_logits(memory.logits, memory.region, view.region, view.image_size) > 0)
        for memory in memories
    ]


def _prompted_mask(view: EncodedView, prompt: FramePrompt) -> np.ndarray:
    """(h, w) bool in the picture: the mask of a prompt, all of its box, or the places of its clicks."""
    height, width = view.image_size
    if prompt.mask is not None:
        logits = np.where(prompt.mask, np.float32(1), np.float32(-1))
        full_height, full_width = prompt.mask.shape
        whole = (0.0, 0.0, float(full_width), float(full_height))
        return np.asarray(resample_logits(logits, whole, view.region, view.image_size) > 0)
    mask = np.zeros((height, width), bool)
    if prompt.box is not None:
        x0, y0, x1, y1 = np.rint(to_view(np.array(prompt.box), view.region, view.image_size)).astype(int)
        mask[max(0, y0) : y1, max(0, x0) : x1] = True
    for x, y in to_view(prompt.points_xy[prompt.point_labels == 1], view.region, view.image_size):
        mask[min(int(y), height - 1), min(int(x), width - 1)] = True
    return mask


def _click(view: EncodedView, proposal: Proposal, identity: int) -> FramePrompt:
    # The decoder counts from the middle of the first pixel.
    point = to_frame(np.array([proposal.point_xy]) + 0.5, view.region, view.image_size)
    labels = np.ones(1, np.int32)
    return FramePrompt(id=identity, label="", box=None, points_xy=point, point_labels=labels, mask=None)
