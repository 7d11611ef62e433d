"""What the tracker asks of the decoder, in as few calls as possible."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from streamseg.vision import tracking
from streamseg.vision.tracking import Answer, Ask, TrackingOptions

if TYPE_CHECKING:
    from streamseg.sam.decoder import MaskDecoding


def answer(decoder: MaskDecoding, asks: list[Ask]) -> list[Answer]:
    """One decoder call for all asks of one picture size and kind."""
    from streamseg.sam.prompts import Prompt

    groups: dict[tuple[tuple[int, int], bool, bool], list[int]] = defaultdict(list)
    for position, ask in enumerate(asks):
        groups[ask.seen.image_size, ask.multimask, ask.prompted].append(position)
    answers: dict[int, Answer] = {}
    for (image_size, multimask, _), members in groups.items():
        chosen = [asks[position] for position in members]
        decoded = decoder.decode(
            [ask.seen.features for ask in chosen],
            image_size,
            [Prompt(ask.box_xyxy, ask.points_xy, ask.point_labels, ask.mask_logits) for ask in chosen],
            multimask=multimask,
        )
        for position, logits, scores in zip(members, decoded.logits, decoded.scores, strict=True):
            answers[position] = Answer(asks[position], logits, scores)
    return [answers[position] for position in range(len(asks))]


def answer_again(
    decoder: MaskDecoding, answers: list[Answer], image_rgb: np.ndarray, options: TrackingOptions
) -> list[Answer]:
    """The second pass, for the answers that are worth one. Which of several masks is meant is not decided yet."""
    better = dict(enumerate(answers))
    repeats = {}
    for position, first in enumerate(answers):
        candidate = None if len(first.scores) > 1 else tracking.measure(first, 0, None, image_rgb, options)
        if candidate is not None:
            repeats[position] = tracking.again(first, 0, candidate.box)
    better.update(zip(repeats, answer(decoder, list(repeats.values())), strict=True))
    return [better[position] for position in range(len(answers))]
