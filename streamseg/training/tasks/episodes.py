"""Episodes: roll-outs of a scene through the model's own predictions, so that it learns to mend its own mistakes.

At the first moment the prompt is a box, a click, or what a bad tracker might have left; at every later one it is the
box and the mask that the model itself gave for the moment before. An episode is a function of the seed and its number;
what it has come to is an `EpisodeState`, which is all that a checkpoint keeps of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np

from streamseg.masks.boxes import box_of_mask, center_size, clip, expand, from_center_size
from streamseg.masks.measures import deepest_point
from streamseg.masks.roi import resample_logits, to_frame
from streamseg.tracking.candidate import without_specks
from streamseg.tracking.state import LOGIT_LIMIT
from streamseg.training.data.scene_sampler import SceneSampler
from streamseg.training.data.scenes import Scene
from streamseg.training.seeding import Purpose, generator
from streamseg.training.tasks.prompt_noise import corrupt_mask, jitter_box, mask_to_logits
from streamseg.training.tasks.prompt_sampling import (
    if_in_view,
    prompt_of_mode,
    sample_mode,
    sample_point,
    scene_box,
)
from streamseg.training.tasks.task import (
    MASK_PX,
    TEMPLATE_SIDE,
    VIEW_PX,
    Prompt,
    Template,
    ViewTask,
    box_to_view,
    click_prompt,
    make_prompt,
    point_to_view,
)
from streamseg.types import Box

Start = Literal["box", "click", "state"]

_LENGTHS, _LENGTH_SHARES = (2, 3, 4, 6, 10), (0.15, 0.25, 0.25, 0.2, 0.15)
_LEAST_TO_START_PX, _LEAST_TO_GO_ON_PX = 30, 20
"""Area of the object in the scene at half its size."""
_LOST_IOU = 0.15
"""A tracker that is so wrong has nothing to go on from."""
_SPECK = 0.1
"""Parts of a mask below this fraction of its largest one have no say in its box."""
_LEAST_VIEW_PX = 16.0
_TEMPLATES_SHARE = 0.85
"""Of the moments after the first in which the model is shown earlier views."""
_FIRST_ONLY_SHARE = 0.25
_SEARCH_SHARE = 0.15
"""Of the moments after the first, those in which the object has been lost: all there is, is what it looked like."""

_OTHERS_SHARE = 0.6
"""Of the moments after the first, those in which the prompt has points on other objects, if there are any."""
_POINT_SHARE = 0.5
"""Of the moments after the first in which there are earlier views, those in which all else is a point inside the last
mask: what following asks."""


@dataclass(frozen=True, eq=False)
class Belief:
    """Where the model last saw the object; scene pixels."""

    box: Box
    point_xy: tuple[float, float]
    """The point deepest inside its mask."""
    logits: np.ndarray
    """(MASK_PX, MASK_PX) float32 over `region`."""
    region: Box
    templates: tuple[Template, ...] = ()
    """The first view of the object, and the last one if that is another."""


@dataclass(frozen=True, eq=False)
class EpisodeState:
    """How far an episode is."""

    number: int
    moment: int = 0
    gone_from: int | None = None
    """The moment from which the object is not there any more."""
    belief: Belief | None = None


class Episode:
    """One scene from its first moment to its last. `next_task`, then `update`, until `done`.

    Args:
        sampler: draws the scene.
        seed: of the run.
        number: of the episode.
        gone_share: of episodes whose object vanishes.
    """

    def __init__(self, sampler: SceneSampler, seed: int, number: int, gone_share: float) -> None:
        rng = generator(seed, Purpose.EPISODE, number)
        self._sampler, self._seed = sampler, seed
        self._length = int(rng.choice(_LENGTHS, p=_LENGTH_SHARES))
        gone_from = int(rng.integers(self._length)) if rng.random() < gone_share else None
        chance = rng.random()
        self._start: Start = "box" if chance < 0.38 else "click" if chance < 0.62 else "state"
        if gone_from == 0:
            # Who points at something points at something that is there.
            self._start = "state"
        self._scene: Scene = sampler.sample_scene(rng, self._length)
        self.state = EpisodeState(number, gone_from=gone_from)
        self.usable = int(np.count_nonzero(self._scene.half_size_mask(0))) >= _LEAST_TO_START_PX
        """Whether there is enough of the object to be seen at the start."""
        self.done = not self.usable

    @property
    def _gone(self) -> bool:
        return self.state.gone_from is not None and self.state.moment >= self.state.gone_from

    def next_task(self) -> ViewTask:
        """The task of this moment; it changes nothing, and is the same however often it is called."""
        rng = generator(self._seed, Purpose.MOMENT, self.state.number, self.state.moment)
        half_size = self._scene.half_size_mask(self.state.moment)
        if self.state.belief is not None:
            region, prompt = self._prompt_from_belief(self.state.belief, rng)
        elif self._start == "click":
            region, prompt = self._prompt_by_click(half_size, rng)
        else:
            region, prompt = self._prompt_by_box(half_size, rng)
        if self._gone:
            picture = self._render_without_object(region, rng)
            return ViewTask(picture, region, prompt, np.zeros((MASK_PX, MASK_PX), bool), 0.0)
        picture = self._scene.render(self.state.moment, region, (VIEW_PX, VIEW_PX), rng)
        truth = self._truth(region) > 127
        scale = 2 * MASK_PX / (region[2] - region[0])
        area_px = max(np.count_nonzero(half_size) * scale**2, float(np.count_nonzero(truth))) if truth.any() else 0.0
        return ViewTask(picture, region, prompt, truth, area_px)

    def update(self, task: ViewTask, logits: np.ndarray, iou: float, features: np.ndarray) -> None:
        """Take the model's mask as the belief for the next moment, or end.

        Args:
            task: of this moment.
            logits: (MASK_PX, MASK_PX) float32, the mask.
            iou: of the mask with the truth.
            features: (C, T, T) float16 of the view, at half their resolution.
        """
        state = self.state
        belief = state.belief
        if not self._gone and task.truth.any():
            belief = _belief_from(task, logits, features, state.belief) if iou >= _LOST_IOU else None
        moment, gone_from = state.moment + 1, state.gone_from
        if moment >= self._length or belief is None:
            self.done = True
            return
        gone = gone_from is not None and moment >= gone_from
        if not gone and np.count_nonzero(self._scene.half_size_mask(moment)) < _LEAST_TO_GO_ON_PX:
            # It has left the picture, or is hidden.
            gone_from = moment
            self.done = not self._scene.removable
        self.state = EpisodeState(state.number, moment, gone_from, belief)

    def _truth(self, region: Box) -> np.ndarray:
        """(MASK_PX, MASK_PX) uint8: how much of each pixel the object covers."""
        fine = self._scene.coverage(self.state.moment, region, (VIEW_PX, VIEW_PX))
        return np.asarray(cv2.resize(fine, (MASK_PX, MASK_PX), interpolation=cv2.INTER_AREA))

    def _prompt_by_click(self, half_size: np.ndarray, rng: np.random.Generator) -> tuple[Box, Prompt]:
        """A click on the object, in a view of it, of some part of the scene, or of all of it."""
        x, y = sample_point(half_size, rng)
        height, width = self._scene.size
        longer = float(max(height, width))
        _, _, object_width, object_height = center_size(scene_box(half_size))
        kind = rng.random()
        if kind < 0.35:
            region = from_center_size(width / 2, height / 2, longer, longer)
        else:
            near = max(object_width, object_height) * np.exp(rng.uniform(np.log(1.1), np.log(3)))
            side = min(near if kind < 0.75 else longer * np.exp(rng.uniform(np.log(0.2), 0)), longer)
            region = from_center_size(x, y, float(side), float(side))
        return region, click_prompt(point_to_view((x, y), region))

    def _prompt_by_box(self, half_size: np.ndarray, rng: np.random.Generator) -> tuple[Box, Prompt]:
        """A box as a person draws it, or a box and a mask as a bad tracker leaves them."""
        own = self._start == "state"
        box = jitter_box(scene_box(half_size), rng.uniform(0.05, 0.3) if own else rng.uniform(0, 0.15), rng)
        margin = rng.uniform(0, 0.1) if own else 0.0
        box, region = self._view(box, margin, rng)
        point = point_to_view(sample_point(half_size, rng, anywhere=True), region) if rng.random() < 0.15 else None
        if not own:
            return region, make_prompt(box_to_view(box, region), if_in_view(point))
        # Without a mask there is nothing by which to see that the object is gone.
        mode = sample_mode(rng, box_only=0.06 if self._gone else 0.2)
        mask = (self._truth(region) > 127).view(np.uint8)
        logits = None if mode == "box" else mask_to_logits(corrupt_mask(mask, rng), rng)
        return region, prompt_of_mode(mode, box_to_view(box, region), point, logits)

    def _prompt_from_belief(self, belief: Belief, rng: np.random.Generator) -> tuple[Box, Prompt]:
        """The model's own box and mask of the moment before."""
        if belief.templates and rng.random() < _SEARCH_SHARE:
            return self._prompt_lost(belief, rng)
        box, region = self._view(belief.box, rng.uniform(0, 0.1), rng)
        mode = sample_mode(rng, box_only=0.28)
        templates = belief.templates if rng.random() < _TEMPLATES_SHARE else ()
        if templates and rng.random() < _POINT_SHARE:
            mode = "point"
        logits = None
        if mode in ("mask", "both"):
            clipped = np.clip(belief.logits, -LOGIT_LIMIT, LOGIT_LIMIT)
            logits = resample_logits(clipped, belief.region, region, MASK_PX)
        point = point_to_view(belief.point_xy, region) if mode == "point" or rng.random() < 0.15 else None
        if rng.random() < _FIRST_ONLY_SHARE:
            templates = templates[:1]
        others = self._points_on_distractors(region, rng) if rng.random() < _OTHERS_SHARE else []
        prompt = prompt_of_mode(mode, box_to_view(box, region), point, logits, others)
        return region, replace(prompt, templates=templates)

    def _points_on_distractors(self, region: Box, rng: np.random.Generator) -> list[tuple[float, float]]:
        """Points well inside other objects in a view, about where they are, in the view's picture."""
        points = []
        for mask in self._scene.distractors(self.state.moment):
            if np.count_nonzero(mask) >= _LEAST_TO_GO_ON_PX:
                off_x, off_y = (float(off) for off in rng.normal(0, 0.04, 2))
                _, _, width, height = center_size(scene_box(mask))
                x, y = deepest_point(mask)
                points.append(if_in_view(point_to_view((2 * x + off_x * width, 2 * y + off_y * height), region)))
        return [point for point in points if point is not None]

    def _prompt_lost(self, belief: Belief, rng: np.random.Generator) -> tuple[Box, Prompt]:
        """A box of its old size where the object may be: about there, or anywhere."""
        center_x, center_y, _, _ = center_size(scene_box(self._scene.half_size_mask(self.state.moment)))
        _, _, width, height = center_size(belief.box)
        width, height = (float(side * by) for side, by in zip((width, height), _sample_size_error(rng), strict=True))
        if rng.random() < 0.55:
            off_x, off_y = (float(off) for off in rng.normal(0, 0.25, 2))
            center_x, center_y = center_x + off_x * width, center_y + off_y * height
        else:
            center_x, center_y = (float(rng.uniform(0, side)) for side in self._scene.size[::-1])
        box, region = self._view(from_center_size(center_x, center_y, width, height), rng.uniform(0, 0.2), rng)
        templates = belief.templates[:1] if rng.random() < _FIRST_ONLY_SHARE else belief.templates
        return region, replace(make_prompt(box_to_view(box, region)), templates=templates)

    def _view(self, box: Box, margin: float, rng: np.random.Generator) -> tuple[Box, Box]:
        """A box as the prompt has it, and the square round it that is looked at."""
        height, width = self._scene.size
        inside = clip(box, width, height) or box
        wide = rng.random() < 0.5
        factor = rng.uniform(1.3, 2.6) if wide else rng.uniform(1.65, 2.0)
        center_x, center_y, box_width, box_height = center_size(inside)
        side = max(factor * max(box_width, box_height), _LEAST_VIEW_PX)
        off_x, off_y = (float(off) for off in rng.normal(0, 0.06, 2))
        region = from_center_size(center_x + off_x * box_width, center_y + off_y * box_height, side, side)
        return expand(inside, margin), region

    def _render_without_object(self, region: Box, rng: np.random.Generator) -> np.ndarray:
        """The same place without the object; or another scene, where there is nothing known in the middle."""
        size = (VIEW_PX, VIEW_PX)
        if self._scene.removable and rng.random() < 0.75:
            return self._scene.render(self.state.moment, region, size, rng, without_object=True)
        best: tuple[float, np.ndarray] | None = None
        quarter = VIEW_PX // 4
        for _ in range(6):
            scene = self._sampler.sample_scene(rng, 1)
            height, width = scene.size
            side = min(region[2] - region[0], 1.2 * max(height, width))
            place = from_center_size(rng.uniform(0, width), rng.uniform(0, height), side, side)
            middle = scene.coverage(0, place, size)[quarter:-quarter, quarter:-quarter]
            known = float((middle > 127).mean())
            if best is None or known < best[0]:
                best = known, scene.render(0, place, size, rng)
            if known < 0.03:
                break
        return best[1] if best is not None else np.zeros((*size, 3), np.uint8)


def _belief_from(task: ViewTask, logits: np.ndarray, features: np.ndarray, before: Belief | None) -> Belief | None:
    """Where a mask says the object is; None if it says nowhere."""
    inside = without_specks(logits, None, _SPECK) > 0
    box = box_of_mask(inside)
    if box is None:
        return None
    x0, y0, x1, y1 = to_frame(np.array(box), task.region, MASK_PX)
    point = to_frame(np.array(deepest_point(inside)), task.region, MASK_PX)
    found_box = (float(x0), float(y0), float(x1), float(y1))
    block = MASK_PX // TEMPLATE_SIDE
    covered = inside.reshape(TEMPLATE_SIDE, block, TEMPLATE_SIDE, block).mean(axis=(1, 3), dtype=np.float32)
    first = before.templates[:1] if before is not None else ()
    templates = (*first, Template(features, covered))
    return Belief(found_box, (float(point[0]), float(point[1])), logits, task.region, templates)


def _sample_size_error(rng: np.random.Generator) -> np.ndarray:
    """How wrong a remembered width and height are."""
    return np.asarray(np.exp(rng.normal(0, 0.2) + rng.normal(0, 0.1, 2)))
