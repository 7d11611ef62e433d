"""Following objects, last of three steps: from the decoder's answers to masks, states and what to remember."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from streamseg.vision.boxes import Box, area, box_of_mask, center_size
from streamseg.vision.prompts import Fitted
from streamseg.vision.tracking_appearance import scene_of, scene_similarity
from streamseg.vision.tracking_asking import Answer, Questions, mask_as_logits
from streamseg.vision.tracking_judging import judge, judge_lost
from streamseg.vision.tracking_measuring import NOWHERE, Candidate, Pasted, measure
from streamseg.vision.tracking_options import TrackingOptions
from streamseg.vision.tracking_state import LOGIT_LIMIT, Memory, State, Track, TrackerState
from streamseg.vision.views import resample_logits

_PULL = 0.5
"""How much of a new speed goes into the one that is kept."""
_SETTLE = 0.3
"""How much of a new area goes into the one that is kept."""
_RENEW = 0.05
"""How much of a new appearance goes into the one that is kept."""
_GIVEN_SIDE = 256
"""Side of the logits that are made of a mask prompt."""


@dataclass(frozen=True, eq=False)
class Followed:
    """What became of every object in one frame."""

    state: TrackerState
    masks: list[Pasted]
    """Parallel to ``state.tracks``; `NOWHERE` for an object that is not seen."""


def follow(
    state: TrackerState,
    questions: Questions,
    answers: Sequence[Answer],
    image_rgb: np.ndarray,
    options: TrackingOptions,
) -> Followed:
    """The state after this frame, and the masks.

    Args:
        state: after the frame before.
        questions: of this frame.
        answers: one for each ask.
        image_rgb: (H, W, 3) uint8, the frame.
        options: of the tracker.
    """
    scene = scene_of(image_rgb)
    cut = options.gates and bool(state.scene) and scene_similarity(scene, state.scene) < options.scene_cut
    by_object: dict[tuple[int, bool], list[Answer]] = {}
    for answer in answers:
        by_object.setdefault((answer.ask.object_id, answer.ask.prompted), []).append(answer)
    before = {track.id: track for track in state.tracks}
    followed: dict[int, tuple[Track, Pasted]] = {}
    for track in state.tracks:
        followed[track.id] = _continue(track, by_object.get((track.id, False), []), image_rgb, options, cut=cut)
    for identity, prompt in questions.prompts.items():
        known, own = before.get(identity), by_object.get((identity, True), [])
        if prompt.remove:
            followed.pop(identity, None)
        elif known is not None and known.has_mask and prompt.only_clicks:
            followed[identity] = _correct(prompt, followed[identity], own, image_rgb, options)
        else:
            followed[identity] = _start(prompt, known, own, image_rgb, options)
    new = TrackerState(
        tracks=[track for track, _ in followed.values()],
        everything_done=state.everything_done,
        highest_id=max(state.highest_id, *followed, 0),
        prompts_done=state.prompts_done + questions.prompts_taken,
        removed=[*state.removed, *(prompt.id for prompt in questions.prompts.values() if prompt.remove)],
        scene=scene,
    )
    return Followed(new, [mask for _, mask in followed.values()])


def _start(
    prompt: Fitted, known: Track | None, answers: Sequence[Answer], image_rgb: np.ndarray, options: TrackingOptions
) -> tuple[Track, Pasted]:
    label = prompt.label or (known.label if known else "")
    if prompt.mask is not None:
        return _start_from_mask(prompt, prompt.mask, label)
    best = _choose(answers, image_rgb, options)
    if best is None:
        x, y = prompt.points_xy[0].tolist() if len(prompt.points_xy) else (0.0, 0.0)
        box = prompt.box or (x, y, x, y)
        reason = "nothing found at the prompt"
        return Track(
            id=prompt.id, label=label, state="LOST", reason=reason, score=0.0, box=box, area_px=area(box), unseen=1
        ), NOWHERE
    return Track(
        id=prompt.id,
        label=label,
        state="TRACKED",
        reason="prompted",
        score=best.score,
        box=best.box,
        area_px=best.area_px,
        memory=Memory.of(best.logits, best.seen.square),
        appearance=best.appearance,
    ), _cut_out(best)


def _cut_out(found: Candidate) -> Pasted:
    """Only what is round the mask: of many objects that begin in a view of the whole frame, all takes gigabytes."""
    logits, (left, top, _, _) = found.pasted
    x0, y0, x1, y1 = (int(edge) for edge in found.box)
    return logits[y0 - top : y1 - top, x0 - left : x1 - left].copy(), (x0, y0, x1, y1)


def _correct(
    prompt: Fitted,
    followed: tuple[Track, Pasted],
    answers: Sequence[Answer],
    image_rgb: np.ndarray,
    options: TrackingOptions,
) -> tuple[Track, Pasted]:
    """The mask after clicks; as it would be without them if they leave nothing."""
    track, pasted = followed
    track = msgspec.structs.replace(track, label=track.label or prompt.label)
    best = _choose(answers, image_rgb, options)
    if best is None:
        return msgspec.structs.replace(track, reason=f"the correction left no mask; {track.reason}"), pasted
    corrected = msgspec.structs.replace(
        track,
        state="TRACKED",
        reason=_how_corrected(prompt, best.pasted),
        score=best.score,
        box=best.box,
        area_px=best.area_px,
        memory=Memory.of(best.logits, best.seen.square),
        appearance=best.appearance,
        unseen=0,
        hint=None,
    )
    return corrected, best.pasted


def _how_corrected(prompt: Fitted, pasted: Pasted) -> str:
    """Whether the mask does what the clicks say: a model may know better."""
    logits, (x0, y0, _, _) = pasted
    held = 0
    for (x, y), wanted in zip(prompt.points_xy.astype(int) - (x0, y0), prompt.point_labels, strict=True):
        inside = 0 <= x < logits.shape[1] and 0 <= y < logits.shape[0] and logits[y, x] > 0
        held += inside == bool(wanted)
    return "corrected" if held == len(prompt.points_xy) else f"corrected; {held} of {len(prompt.points_xy)} clicks hold"


def _choose(answers: Sequence[Answer], image_rgb: np.ndarray, options: TrackingOptions) -> Candidate | None:
    """The mask with the best score among all that were given for a prompt; None if every one is empty."""
    ranked = [(answer, k) for answer in answers for k in range(len(answer.scores))]
    ranked.sort(key=lambda entry: -float(entry[0].scores[entry[1]]))
    candidates = (measure(answer, k, None, image_rgb, options) for answer, k in ranked)
    return next((candidate for candidate in candidates if candidate is not None), None)


def _start_from_mask(prompt: Fitted, mask: np.ndarray, label: str) -> tuple[Track, Pasted]:
    """A given mask is the answer; how the object looks is learned in the next frame."""
    height, width = mask.shape
    side = float(max(width, height))
    logits = mask_as_logits(mask)
    small = resample_logits(logits, (0.0, 0.0, float(width), float(height)), (0.0, 0.0, side, side), _GIVEN_SIDE)
    track = Track(
        id=prompt.id,
        label=label,
        state="TRACKED",
        reason="prompted",
        score=1.0,
        box=box_of_mask(mask) or (0.0, 0.0, float(width), float(height)),
        area_px=float(np.count_nonzero(mask)),
        memory=Memory.of(small, (0.0, 0.0, side, side)),
    )
    return track, (logits, (0, 0, width, height))


def _continue(
    track: Track, answers: Sequence[Answer], image_rgb: np.ndarray, options: TrackingOptions, *, cut: bool
) -> tuple[Track, Pasted]:
    frame_size = (image_rgb.shape[0], image_rgb.shape[1])
    best = measure(_averaged(answers), 0, track, image_rgb, options) if answers else None
    if best is None:
        return _lose(track, None, _why_nothing(track, answers)), NOWHERE
    if not options.gates:
        return _keep(track, best, "TRACKED", f"score {best.score:.2f}, not judged"), best.pasted
    if cut or track.state == "LOST":
        state, reason = judge_lost(track, best, frame_size, options)
        reason = f"scene cut: {reason}" if cut else reason
    else:
        state, reason = judge(track, best, frame_size, options)
    if state == "LOST":
        return _lose(track, best, reason), NOWHERE
    if state == "UNCERTAIN":
        return _doubt(track, best, reason), best.pasted
    return _keep(track, best, state, reason), best.pasted


def _averaged(answers: Sequence[Answer]) -> Answer:
    """One answer of several to the same question: logits weighted by the square of their scores."""
    if len(answers) == 1:
        return answers[0]
    scores = np.maximum([float(answer.scores[0]) for answer in answers], 0.05)
    weights = (scores**2 / (scores**2).sum()).astype(np.float32)
    logits = sum(
        weight * np.clip(answer.logits, -LOGIT_LIMIT, LOGIT_LIMIT)
        for weight, answer in zip(weights, answers, strict=True)
    )
    return Answer(answers[0].ask, np.asarray(logits), np.array([float(weights @ scores)], np.float32))


def _why_nothing(track: Track, answers: Sequence[Answer]) -> str:
    if answers:
        return "the mask is empty"
    return "searching: nothing looks like it" if track.state == "LOST" else "its place is outside the frame"


def _velocity(track: Track, box: Box) -> tuple[float, float]:
    """Pixels a frame, of the box's middle, pulled towards what was just seen."""
    x, y, _, _ = center_size(box)
    last_x, last_y, _, _ = center_size(track.box)
    if track.unseen:
        return (0.0, 0.0)
    return (
        track.velocity[0] + _PULL * (x - last_x - track.velocity[0]),
        track.velocity[1] + _PULL * (y - last_y - track.velocity[1]),
    )


def _keep(track: Track, found: Candidate, state: State, reason: str) -> Track:
    """A mask that is trusted."""
    appearance = found.appearance if track.appearance is None else track.appearance.towards(found.appearance, _RENEW)
    doubted = _doubt(track, found, reason)
    return msgspec.structs.replace(
        doubted,
        state=state,
        area_px=track.area_px + _SETTLE * (found.area_px - track.area_px),
        appearance=appearance,
    )


def _doubt(track: Track, found: Candidate, reason: str) -> Track:
    """A mask that is given but half believed: it says where the object is, not how it looks or how large it is."""
    return msgspec.structs.replace(
        track,
        state="UNCERTAIN",
        reason=reason,
        score=found.score,
        box=found.box,
        area_px=track.area_px + _SETTLE / 3 * (found.area_px - track.area_px),
        velocity=_velocity(track, found.box),
        memory=Memory.of(found.logits, found.seen.square),
        unseen=0,
        hint=None,
    )


def _lose(track: Track, found: Candidate | None, reason: str) -> Track:
    """No mask. What was found in a view of the whole frame may still be worth a closer look."""
    hint = None
    if found is not None and found.seen.object_id is None and track.state == "LOST" and track.hint is None:
        hint = found.box
    return msgspec.structs.replace(
        track,
        state="LOST",
        reason=reason,
        score=0.0 if found is None else found.score,
        velocity=(0.0, 0.0),
        unseen=track.unseen + 1,
        hint=hint,
    )
