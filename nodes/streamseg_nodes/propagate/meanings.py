"""What else a click may mean: small pictures of the masks that the model sees there, to choose between."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import cv2
import msgspec
import numpy as np

from streamseg import tracking
from streamseg.commands import Answer as Said
from streamseg.commands import Applied, Meaning, Reply
from streamseg.messages import Embedded
from streamseg.prompts.model import FramePrompt, PendingPrompt
from streamseg.prompts.prepare import fit
from streamseg.tracking import Answer, Candidate, TrackerState, TrackingOptions, full_mask
from streamseg_nodes.propagate.decoder_queries import DecoderQueries
from streamseg_nodes.propagate.prompts import TakenPrompt

_SIDE_PX = 96
_MARGIN = 0.3
"""Of the longer side of the mask's box, round it."""
_DIMMED = 0.35
_QUALITY = 80
_WHITE = (255, 255, 255)


class MeaningsToTell:
    """Answers that wait until their frame is on its way: what clicks may mean takes a while to find out."""

    def __init__(self) -> None:
        self._waiting: list[Callable[[], None]] = []

    def tell_of(
        self,
        given: Iterable[tuple[TakenPrompt, FramePrompt]],
        answers: Sequence[Answer],
        image_rgb: np.ndarray,
        options: TrackingOptions,
    ) -> None:
        """Those of the prompts that ask for meanings get their answers with them, once `tell` is called.

        Args:
            given: prompts that have no answer yet, as `GivenPrompts.fit` gives them.
            answers: of the decoder; those to a click have several masks.
            image_rgb: (H, W, 3) uint8, the frame, which is only lent.
            options: of the tracker.
        """
        for each, _ in given:
            own = [one for one in answers if one.query.object_id == each.pending.id and one.query.multimask]
            if each.pending.prompt.meanings and own and each.pending.prompt.only_clicks:
                each.reply = partial(self._keep, each.reply, own, image_rgb.copy(), options)

    def tell(self) -> None:
        """Give the answers."""
        while self._waiting:
            self._waiting.pop(0)()

    def _keep(
        self, reply: Reply, answers: Sequence[Answer], image_rgb: np.ndarray, options: TrackingOptions, answer: Said
    ) -> None:
        if isinstance(answer, Applied) and answer.what == "added":
            self._waiting.append(lambda: reply(_with_meanings(answer, answers, image_rgb, options)))
        else:
            reply(answer)


def _with_meanings(
    applied: Applied, answers: Sequence[Answer], image_rgb: np.ndarray, options: TrackingOptions
) -> Applied:
    found = pictured(tracking.choices(answers, image_rgb, options), image_rgb)
    return msgspec.structs.replace(applied, meanings=found)


def choices_at(
    message: Embedded, pending: PendingPrompt, queries: DecoderQueries, options: TrackingOptions, *, only_best: bool
) -> list[Candidate]:
    """What a prompt for a new object may mean in a frame, the largest first.

    Args:
        message: the frame and its views.
        pending: the prompt.
        queries: to the decoder.
        options: of the tracker.
        only_best: nothing but what a run would take.

    Raises:
        PromptError: it lies outside the frame.
    """
    image_rgb = message.frame.image_rgb
    prompt = fit(pending, image_rgb.shape[1], image_rgb.shape[0])
    views = [queries.encoded_view(view) for view in message.views]
    built = tracking.build_queries(TrackerState(), [prompt], views, image_rgb, options)
    find = tracking.likeliest if only_best else tracking.choices
    return find(queries.answer(built.queries), image_rgb, options)


def pictured(choices: Sequence[Candidate], image_rgb: np.ndarray) -> list[Meaning]:
    """Choices as people are shown them, in their order."""
    return [Meaning(each.box, round(each.score, 3), _picture(each, image_rgb)) for each in choices]


def _picture(choice: Candidate, image_rgb: np.ndarray) -> str:
    """A data URL of the mask and what is round it, that dimmed: a JPEG of 96 pixels at most."""
    height, width = image_rgb.shape[:2]
    x0, y0, x1, y1 = choice.box
    margin = _MARGIN * max(x1 - x0, y1 - y0)
    left, top = max(0, int(x0 - margin)), max(0, int(y0 - margin))
    right, bottom = min(width, int(np.ceil(x1 + margin))), min(height, int(np.ceil(y1 + margin)))
    part = image_rgb[top:bottom, left:right]
    mask = full_mask(choice, (height, width))[top:bottom, left:right].astype(np.uint8)
    scale = _SIDE_PX / max(part.shape[:2])
    size = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
    small = cv2.resize(part, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    inside = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
    drawn = np.where(inside[..., None] > 0, small, (small * _DIMMED).astype(np.uint8))
    lines, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(drawn, lines, -1, _WHITE, 1)
    _, data = cv2.imencode(".jpg", drawn[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
