"""One step: masks predicted for a batch, and their loss."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn import functional as F

from streamseg.masks.boxes import box_of_mask, expand
from streamseg.tracking.candidate import without_specks
from streamseg.tracking.state import LOGIT_LIMIT
from streamseg.training.losses import prompt_losses
from streamseg.training.network import TrainingModel
from streamseg.training.tasks.corrections import correction_prompt
from streamseg.training.tasks.task import MASK_PX, VIEW_PX, Prompt, Template, ViewTask, make_prompt
from streamseg.training.tasks.whole_image_tasks import WholeImageTask

_REFINE_IOU = 0.3
"""A worse mask is not refined."""
_CORRECT_IOU = 0.1
"""A worse mask is not corrected."""
_SPECK = 0.1


@dataclass(frozen=True)
class Prediction:
    """The mask that counts of those predicted for one prompt, without gradients."""

    logits: np.ndarray
    """(M, M) float32."""
    iou: float
    score: float
    """What the model says its IoU is."""


@dataclass
class StepResult:
    """What a step has come to."""

    loss: torch.Tensor
    """Scalar: the mean over all prompts."""
    predictions: list[Prediction]
    """One a prompt, for views the one the episode goes on with."""
    pooled: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float16))
    """(N, C, T, T) float16: the features of the views at half their resolution; of whole images there are none."""
    figures: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """For the curves, by name."""


def view_step(
    model: TrainingModel, tasks: Sequence[ViewTask], refinement: np.random.Generator | None, correction_share: float
) -> StepResult:
    """A batch of views, one prompt each.

    Args:
        model: the network.
        tasks: at least one.
        refinement: if there is a generator, every good mask is predicted a second time, with the first one as prompt.
        correction_share: how many of those second prompts have clicks on what the first mask had wrong.
    """
    features = model.encode_views([task.picture_rgb for task in tasks])
    prompts = [task.prompt for task in tasks]
    losses, predictions = _predict(model, features, tasks, prompts, list(range(len(tasks))))
    figures: dict[str, list[float]] = defaultdict(list)
    for task, prediction in zip(tasks, predictions, strict=True):
        _record(figures, task.prompt.is_click, task.object_px == 0, prediction)
    if refinement is not None:
        second: list[tuple[int, Prompt]] = []
        corrected: set[int] = set()
        for i, prediction in enumerate(predictions):
            corrects = refinement.random() < correction_share and prediction.iou > _CORRECT_IOU
            prompt = correction_prompt(tasks[i], prompts[i], prediction.logits, refinement) if corrects else None
            if prompt is not None:
                corrected.add(i)
            elif prediction.iou > _REFINE_IOU:
                prompt = _refinement_prompt(prediction, prompts[i].templates, refinement)
            if prompt is not None:
                second.append((i, prompt))
        if second:
            members = [i for i, _ in second]
            more, refined = _predict(model, features, tasks, [prompt for _, prompt in second], members)
            losses = [*losses, *more]
            for i, prediction in zip(members, refined, strict=True):
                if i in corrected:
                    figures["gain_corrected"].append(prediction.iou - predictions[i].iou)
                else:
                    figures["iou_second"].append(prediction.iou)
                if refinement.random() < 0.5:
                    predictions[i] = prediction
    loss = torch.stack(losses).mean()
    figures["loss_view"].append(float(loss.detach()))
    pooled = F.avg_pool2d(features.detach().float(), 2).half().cpu().numpy()
    return StepResult(loss, predictions, pooled, figures)


def whole_image_step(model: TrainingModel, tasks: Sequence[WholeImageTask]) -> StepResult:
    """Whole images, several prompts each."""
    losses: list[torch.Tensor] = []
    predictions: list[Prediction] = []
    figures: dict[str, list[float]] = defaultdict(list)
    for task in tasks:
        features = model.encode_image(task.picture_rgb, task.square_px)
        logits, scores = model.decode(features, task.prompts)
        truth = torch.from_numpy(task.truth).to(model.device)
        is_click = torch.tensor([prompt.is_click for prompt in task.prompts], device=model.device)
        found_losses = prompt_losses(logits, scores, truth, truth.sum((-1, -2)).float(), is_click)
        losses.append(found_losses.loss)
        found = _predictions(logits, scores, found_losses.chosen, found_losses.iou)
        for prompt, prediction in zip(task.prompts, found, strict=True):
            figures["iou_whole_click" if prompt.is_click else "iou_whole_box"].append(prediction.iou)
        predictions += found
    loss = torch.cat(losses).mean()
    figures["loss_whole"].append(float(loss.detach()))
    return StepResult(loss, predictions, figures=figures)


def _predict(
    model: TrainingModel,
    features: torch.Tensor,
    tasks: Sequence[ViewTask],
    prompts: Sequence[Prompt],
    members: Sequence[int],
) -> tuple[list[torch.Tensor], list[Prediction]]:
    """Losses and predictions of prompts about the tasks at `members`; those with as many points go together."""
    groups: dict[int, list[int]] = defaultdict(list)
    for position, prompt in enumerate(prompts):
        groups[len(prompt.labels)].append(position)
    losses: list[torch.Tensor] = [features.new_zeros(())] * len(prompts)
    predictions: list[Prediction | None] = [None] * len(prompts)
    for positions in groups.values():
        asked = [prompts[position] for position in positions]
        about = [tasks[members[position]] for position in positions]
        rows = torch.tensor([members[position] for position in positions], device=model.device)
        logits, scores = model.decode(features.index_select(0, rows), asked)
        found_losses = prompt_losses(
            logits,
            scores,
            torch.from_numpy(np.stack([task.truth for task in about])).to(model.device),
            torch.tensor([task.object_px for task in about], dtype=torch.float32, device=model.device),
            torch.tensor([prompt.is_click for prompt in asked], device=model.device),
        )
        found = _predictions(logits, scores, found_losses.chosen, found_losses.iou)
        for place, position in enumerate(positions):
            losses[position], predictions[position] = found_losses.loss[place], found[place]
    return losses, [prediction for prediction in predictions if prediction is not None]


def _predictions(
    logits: torch.Tensor, scores: torch.Tensor, chosen: torch.Tensor, iou: torch.Tensor
) -> list[Prediction]:
    rows = torch.arange(len(chosen), device=chosen.device)
    masks = logits.detach()[rows, chosen].cpu().numpy()
    said = scores.detach()[rows, chosen].tolist()
    return [Prediction(mask, quality, score) for mask, quality, score in zip(masks, iou.tolist(), said, strict=True)]


def _refinement_prompt(
    prediction: Prediction, templates: tuple[Template, ...], rng: np.random.Generator
) -> Prompt | None:
    """The mask and its box as the next prompt; None if it is empty."""
    margin = rng.uniform(0, 0.08)
    box = box_of_mask(without_specks(prediction.logits, None, _SPECK) > 0)
    if box is None:
        return None
    scale = VIEW_PX / MASK_PX
    x0, y0, x1, y1 = expand(box, margin)
    return make_prompt(
        (x0 * scale, y0 * scale, x1 * scale, y1 * scale),
        mask_logits=np.clip(prediction.logits, -LOGIT_LIMIT, LOGIT_LIMIT),
        templates=templates,
    )


def _record(figures: dict[str, list[float]], is_click: bool, is_gone: bool, prediction: Prediction) -> None:
    if is_gone:
        figures["score_gone"].append(prediction.score)
        return
    figures["iou_click" if is_click else "iou_box"].append(prediction.iou)
    figures["score_error"].append(abs(prediction.score - prediction.iou))
