"""The tracker's queries, answered by the model in as few decoder calls as possible."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from streamseg import tracking
from streamseg.messages import View
from streamseg.tracking import Answer, EncodedView, Query, TrackingOptions, stack_templates

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

    def encoded_view(self, view: View) -> EncodedView:
        """A view as the tracker has it, with what it is compared by if it was made for an object."""
        keys = None
        if self._matching is not None and view.object_id is not None:
            keys = self._matching.keys(view.features)
        return EncodedView(view.region, view.image_size, view.features, view.object_id, keys)

    def answer(self, queries: list[Query]) -> list[Answer]:
        """One decoder call for all queries of one picture size and kind.

        Who points at something points at something that is there: where the single mask of a prompt is empty, the three
        that a click would get are asked for.
        """
        answers = self._answer(queries)
        empty = [
            position
            for position, query in enumerate(queries)
            if query.prompted and not query.multimask and not (answers[position].logits > 0).any()
        ]
        wider = self._answer([replace(queries[position], multimask=True) for position in empty])
        for position, answer in zip(empty, wider, strict=True):
            answers[position] = answer
        return answers

    def _answer(self, queries: list[Query]) -> list[Answer]:
        groups: dict[tuple[tuple[int, int], bool, bool], list[int]] = defaultdict(list)
        for position, query in enumerate(queries):
            groups[query.view.image_size, query.multimask, query.prompted].append(position)
        answers: dict[int, Answer] = {}
        for (image_size, multimask, _), members in groups.items():
            chosen = [queries[position] for position in members]
            decoded = self._decoder.decode(
                [self._features(query) for query in chosen],
                image_size,
                [query.prompt for query in chosen],
                multimask=multimask,
            )
            for position, logits, scores in zip(members, decoded.logits, decoded.scores, strict=True):
                answers[position] = Answer(queries[position], logits, scores)
        return [answers[position] for position in range(len(queries))]

    def refine(self, answers: list[Answer], image_rgb: np.ndarray, options: TrackingOptions) -> list[Answer]:
        """The second pass, for the answers that are worth one. Which of several masks is meant is not decided yet."""
        better = dict(enumerate(answers))
        repeats = {}
        for position, first in enumerate(answers):
            candidate = None if len(first.scores) > 1 else tracking.measure(first, 0, None, image_rgb, options)
            if candidate is not None:
                repeats[position] = tracking.refine_query(first, 0, candidate.box)
        better.update(zip(repeats, self.answer(list(repeats.values())), strict=True))
        return [better[position] for position in range(len(answers))]

    def _features(self, query: Query) -> np.ndarray:
        """Those of the view, with what earlier views of the object add to them."""
        if self._matching is None or query.view.keys is None or not query.templates:
            return query.view.features
        added = self._matching.added(query.view.keys, *stack_templates(query.templates))
        added += query.view.features
        return added
