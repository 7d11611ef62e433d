"""What the tracker asks of the model, in as few calls as possible."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from streamseg import tracking
from streamseg.messages import View
from streamseg.tracking import Answer, Ask, Seen, TrackingOptions, together

if TYPE_CHECKING:
    from streamseg.sam.decoder import MaskDecoder
    from streamseg.sam.matching import Matching


class DecoderQueries:
    """A decoder, with what compares views beforehand.

    Args:
        decoder: of the model.
        matching: of the model; None if it has none or is not to be used.
    """

    def __init__(self, decoder: MaskDecoder, matching: Matching | None) -> None:
        self._decoder, self._matching = decoder, matching

    def seen(self, view: View) -> Seen:
        """A view as the tracker has it, with what it is compared by if it was made for an object."""
        keys = None
        if self._matching is not None and view.object_id is not None:
            keys = self._matching.keys(view.features)
        return Seen(view.region, view.image_size, view.features, view.object_id, keys)

    def answer(self, asks: list[Ask]) -> list[Answer]:
        """One decoder call for all asks of one picture size and kind.

        Who points at something points at something that is there: where the single mask of a prompt is empty, the three
        that a click would get are asked for.
        """
        answers = self._answer(asks)
        empty = [
            position
            for position, ask in enumerate(asks)
            if ask.prompted and not ask.multimask and not (answers[position].logits > 0).any()
        ]
        wider = self._answer([replace(asks[position], multimask=True) for position in empty])
        for position, answer in zip(empty, wider, strict=True):
            answers[position] = answer
        return answers

    def _answer(self, asks: list[Ask]) -> list[Answer]:
        from streamseg.sam.prompts import DecoderPrompt

        groups: dict[tuple[tuple[int, int], bool, bool], list[int]] = defaultdict(list)
        for position, ask in enumerate(asks):
            groups[ask.seen.image_size, ask.multimask, ask.prompted].append(position)
        answers: dict[int, Answer] = {}
        for (image_size, multimask, _), members in groups.items():
            chosen = [asks[position] for position in members]
            decoded = self._decoder.decode(
                [self._features(ask) for ask in chosen],
                image_size,
                [DecoderPrompt(ask.box_xyxy, ask.points_xy, ask.point_labels, ask.mask_logits) for ask in chosen],
                multimask=multimask,
            )
            for position, logits, scores in zip(members, decoded.logits, decoded.scores, strict=True):
                answers[position] = Answer(asks[position], logits, scores)
        return [answers[position] for position in range(len(asks))]

    def answer_again(self, answers: list[Answer], image_rgb: np.ndarray, options: TrackingOptions) -> list[Answer]:
        """The second pass, for the answers that are worth one. Which of several masks is meant is not decided yet."""
        better = dict(enumerate(answers))
        repeats = {}
        for position, first in enumerate(answers):
            candidate = None if len(first.scores) > 1 else tracking.measure(first, 0, None, image_rgb, options)
            if candidate is not None:
                repeats[position] = tracking.again(first, 0, candidate.box)
        better.update(zip(repeats, self.answer(list(repeats.values())), strict=True))
        return [better[position] for position in range(len(answers))]

    def _features(self, ask: Ask) -> np.ndarray:
        """Those of the view, with what earlier views of the object add to them."""
        if self._matching is None or ask.seen.keys is None or not ask.templates:
            return ask.seen.features
        return np.asarray(ask.seen.features + self._matching.added(ask.seen.keys, *together(ask.templates)))
