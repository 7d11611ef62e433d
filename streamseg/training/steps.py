"""One step: a batch answered and judged."""

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
from streamseg.training.corrections import correction
from streamseg.training.losses import judge
from streamseg.training.network import Learner
from streamseg.training.tasks import MASK_PX, VIEW_PX, Question, Task, Template, asking
from streamseg.training.whole_image_tasks import WholeTask

_ASK_AGAIN_IOU = 0.3
"""A worse answer is not asked about again."""
_CORRECT_IOU = 0.1
"""A worse answer is not corrected."""
_SPECK = 0.1


@dataclass(frozen=True)
class Reply:
    """The mask that counts of one answer, without gradients."""

    logits: np.ndarray
    """(M, M) float32."""
    iou: float
    score: float
    """What the model says its IoU is."""


@dataclass
class Result:
    """What a step has come to."""

    loss: torch.Tensor
    """Scalar: the mean over all questions."""
    replies: list[Reply]
    """One a question, for views the one the episode goes on with."""
    pooled: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float16))
    """(N, C, T, T) float16: the features of the views at half their resolution; of whole photos there are none."""
    figures: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """For the curves, by name."""


def look_at_views(
    learner: Learner, tasks: Sequence[Task], again: np.random.Generator | None, correction_share: float
) -> Result:
    """A batch of views, one question each.

    Args:
        learner: the network.
        tasks: at least one.
        again: if there is one, answers are asked about a second time, with the answer as prompt.
        correction_share: how many of those second questions have clicks on what the answer had wrong.
    """
    features = learner.encode_views([task.picture_rgb for task in tasks])
    questions = [task.question for task in tasks]
    losses, replies = _ask(learner, features, tasks, questions, list(range(len(tasks))))
    figures: dict[str, list[float]] = defaultdict(list)
    for task, reply in zip(tasks, replies, strict=True):
        _note(figures, task.question.is_click, task.object_px == 0, reply)
    if again is not None:
        asked: list[tuple[int, Question]] = []
        corrected: set[int] = set()
        for i, reply in enumerate(replies):
            corrects = again.random() < correction_share and reply.iou > _CORRECT_IOU
            question = correction(tasks[i], questions[i], reply.logits, again) if corrects else None
            if question is not None:
                corrected.add(i)
            elif reply.iou > _ASK_AGAIN_IOU:
                question = _second(reply, questions[i].templates, again)
            if question is not None:
                asked.append((i, question))
        if asked:
            members = [i for i, _ in asked]
            more, answers = _ask(learner, features, tasks, [question for _, question in asked], members)
            losses = [*losses, *more]
            for i, answer in zip(members, answers, strict=True):
                if i in corrected:
                    figures["gain_corrected"].append(answer.iou - replies[i].iou)
                else:
                    figures["iou_second"].append(answer.iou)
                if again.random() < 0.5:
                    replies[i] = answer
    loss = torch.stack(losses).mean()
    figures["loss_view"].append(float(loss.detach()))
    pooled = F.avg_pool2d(features.detach().float(), 2).half().cpu().numpy()
    return Result(loss, replies, pooled, figures)


def look_at_wholes(learner: Learner, tasks: Sequence[WholeTask]) -> Result:
    """Whole photos, several questions each."""
    losses: list[torch.Tensor] = []
    replies: list[Reply] = []
    figures: dict[str, list[float]] = defaultdict(list)
    for task in tasks:
        features = learner.encode_whole(task.picture_rgb, task.square_px)
        logits, scores = learner.answer(features, task.questions)
        truth = torch.from_numpy(task.truth).to(learner.device)
        is_click = torch.tensor([question.is_click for question in task.questions], device=learner.device)
        judged = judge(logits, scores, truth, truth.sum((-1, -2)).float(), is_click)
        losses.append(judged.loss)
        found = _replies(logits, scores, judged.chosen, judged.iou)
        for question, reply in zip(task.questions, found, strict=True):
            figures["iou_whole_click" if question.is_click else "iou_whole_box"].append(reply.iou)
        replies += found
    loss = torch.cat(losses).mean()
    figures["loss_whole"].append(float(loss.detach()))
    return Result(loss, replies, figures=figures)


def _ask(
    learner: Learner,
    features: torch.Tensor,
    tasks: Sequence[Task],
    questions: Sequence[Question],
    members: Sequence[int],
) -> tuple[list[torch.Tensor], list[Reply]]:
    """Losses and replies of questions about the tasks at `members`; those with as many points go together."""
    groups: dict[int, list[int]] = defaultdict(list)
    for position, question in enumerate(questions):
        groups[len(question.labels)].append(position)
    losses: list[torch.Tensor] = [features.new_zeros(())] * len(questions)
    replies: list[Reply | None] = [None] * len(questions)
    for positions in groups.values():
        asked = [questions[position] for position in positions]
        about = [tasks[members[position]] for position in positions]
        rows = torch.tensor([members[position] for position in positions], device=learner.device)
        logits, scores = learner.answer(features.index_select(0, rows), asked)
        judged = judge(
            logits,
            scores,
            torch.from_numpy(np.stack([task.truth for task in about])).to(learner.device),
            torch.tensor([task.object_px for task in about], dtype=torch.float32, device=learner.device),
            torch.tensor([question.is_click for question in asked], device=learner.device),
        )
        found = _replies(logits, scores, judged.chosen, judged.iou)
        for place, position in enumerate(positions):
            losses[position], replies[position] = judged.loss[place], found[place]
    return losses, [reply for reply in replies if reply is not None]


def _replies(logits: torch.Tensor, scores: torch.Tensor, chosen: torch.Tensor, iou: torch.Tensor) -> list[Reply]:
    rows = torch.arange(len(chosen), device=chosen.device)
    masks = logits.detach()[rows, chosen].cpu().numpy()
    said = scores.detach()[rows, chosen].tolist()
    return [Reply(mask, quality, score) for mask, quality, score in zip(masks, iou.tolist(), said, strict=True)]


def _second(reply: Reply, templates: tuple[Template, ...], rng: np.random.Generator) -> Question | None:
    """The answer and its box as the next question; None if it is empty."""
    margin = rng.uniform(0, 0.08)
    box = box_of_mask(without_specks(reply.logits, None, _SPECK) > 0)
    if box is None:
        return None
    scale = VIEW_PX / MASK_PX
    x0, y0, x1, y1 = expand(box, margin)
    return asking(
        (x0 * scale, y0 * scale, x1 * scale, y1 * scale),
        mask_logits=np.clip(reply.logits, -LOGIT_LIMIT, LOGIT_LIMIT),
        templates=templates,
    )


def _note(figures: dict[str, list[float]], is_click: bool, is_gone: bool, reply: Reply) -> None:
    if is_gone:
        figures["score_gone"].append(reply.score)
        return
    figures["iou_click" if is_click else "iou_box"].append(reply.iou)
    figures["score_error"].append(abs(reply.score - reply.iou))
