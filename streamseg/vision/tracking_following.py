"""Following objects, second half: from the decoder's answers to masks, states and what to remember."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import msgspec
import numpy as np

from streamseg.vision.boxes import Box, area, box_of_mask, center_size
from streamseg.vision.prompts import Fitted
from streamseg.vision.tracking_asking import Answer, Questions, Seen, expected_box, mask_as_logits
from streamseg.vision.tracking_options import TrackingOptions
from streamseg.vision.tracking_state import Memory, State, Track, TrackerState
from streamseg.vision.views import Window, paste_logits, resample_logits

Pasted = tuple[np.ndarray, Window]
"""Logits and the window of the frame they belong to."""

NOWHERE: Pasted = (np.zeros((0, 0), np.float32), (0, 0, 0, 0))
"""An empty mask."""

_PULL = 0.5
"""How much of a new speed goes into the one that is kept."""
_SETTLE = 0.3
"""How much of a new area goes into the one that is kept."""
_RENEW = 0.05
"""How much of a new appearance goes into the one that is kept."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """One mask for an object, measured."""

    logits: np.ndarray
    """(side, side) float32, far specks taken out."""
    seen: Seen
    score: float
    stability: float
    """Area at logit +1 over area at logit -1."""
    pasted: Pasted
    box: Box | None
    area_px: float
    similarity: float
    """Cosine of its mean feature with the one that is kept; 1 if there is none to compare with."""
    appearance: np.ndarray
    """(C,) float32, unit length."""


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
    frame_size: tuple[int, int],
    options: TrackingOptions,
) -> Followed:
    """The state after this frame, and the masks.

    Args:
        state: after the frame before.
        questions: of this frame.
        answers: one for each ask, in order.
        frame_size: (H, W).
        options: of the tracker.
    """
    by_object: dict[int, list[Answer]] = {}
    for answer in answers:
        by_object.setdefault(answer.ask.object_id, []).append(answer)
    tracks, masks = [], []
    known = {track.id: track for track in state.tracks}
    for identity in dict.fromkeys([*known, *questions.prompts]):
        prompt, track = questions.prompts.get(identity), known.get(identity)
        given = by_object.get(identity, [])
        if prompt is not None:
            new, mask = _start(prompt, track, given, frame_size, options)
        elif track is not None:
            new, mask = _continue(track, given, frame_size, options)
        tracks.append(new)
        masks.append(mask)
    return Followed(TrackerState(tracks=tracks, prompts_done=state.prompts_done + questions.prompts_taken), masks)


def choose(answers: Sequence[Answer], frame_size: tuple[int, int], options: TrackingOptions) -> Candidate | None:
    """The mask with the best score among all that were given for a prompt; None if every one is empty."""
    ranked = sorted(
        (
            (float(score), -order, answer, k)
            for order, answer in enumerate(answers)
            for k, score in enumerate(answer.scores)
        ),
        key=lambda entry: entry[:2],
        reverse=True,
    )
    for _, _, answer, k in ranked:
        candidate = measure(answer, k, None, frame_size, options)
        if candidate.box is not None:
            return candidate
    return None


def measure(
    answer: Answer, k: int, track: Track | None, frame_size: tuple[int, int], options: TrackingOptions
) -> Candidate:
    """Mask `k` of an answer, cleaned of specks and measured."""
    seen = answer.ask.seen
    logits = answer.logits[k]
    if options.speck > 0:
        logits = without_specks(logits, _last_mask(track, seen), options.speck)
    pasted = paste_logits(logits, seen.square, frame_size)
    inside = pasted[0] > 0
    box = box_of_mask(inside) if inside.size else None
    if box is not None:
        x0, y0 = pasted[1][:2]
        box = (box[0] + x0, box[1] + y0, box[2] + x0, box[3] + y0)
    wide = np.count_nonzero(logits > -1)
    appearance = mean_feature(seen.features, logits)
    similarity = 1.0
    if track is not None and track.appearance:
        similarity = float(np.frombuffer(track.appearance, np.float16).astype(np.float32) @ appearance)
    return Candidate(
        logits=logits,
        seen=seen,
        score=float(np.clip(answer.scores[k], 0, 1)),
        stability=np.count_nonzero(logits > 1) / wide if wide else 0.0,
        pasted=pasted,
        box=box,
        area_px=float(np.count_nonzero(inside)),
        similarity=similarity,
        appearance=appearance,
    )


def without_specks(logits: np.ndarray, last: np.ndarray | None, fraction: float) -> np.ndarray:
    """Logits with small parts of the mask pushed below 0: those under `fraction` of the largest, off the last mask.

    Args:
        logits: (h, w) float32.
        last: (h, w) bool, the mask of the frame before; None if there is none.
        fraction: of the largest part's area.
    """
    count, parts, stats, _ = cv2.connectedComponentsWithStats((logits > 0).view(np.uint8), connectivity=8)
    if count <= 2:
        return logits
    areas = stats[1:, cv2.CC_STAT_AREA]
    keep = np.concatenate([[True], areas >= fraction * areas.max()])
    if last is not None:
        keep[np.unique(parts[last])] = True
    if keep.all():
        return logits
    return np.where(keep[parts], logits, np.minimum(logits, -1.0)).astype(np.float32)


def mean_feature(features: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """(C,) float32 of unit length: the mean feature under a mask; zeros if the mask is empty.

    Args:
        features: (C, h, w).
        logits: (4h, 4w).
    """
    c, h, w = features.shape
    weight = (logits > 0).reshape(h, 4, w, 4).mean(axis=(1, 3), dtype=np.float32).reshape(-1)
    mean = features.reshape(c, -1).astype(np.float32, copy=False) @ weight
    length = float(np.linalg.norm(mean))
    return np.asarray(mean / length if length > 0 else np.zeros(c, np.float32))


def _last_mask(track: Track | None, seen: Seen) -> np.ndarray | None:
    if track is None or track.memory is None:
        return None
    return np.asarray(resample_logits(track.memory.logits, track.memory.region, seen.square, seen.mask_side) > 0)


def _start(
    prompt: Fitted,
    track: Track | None,
    answers: Sequence[Answer],
    frame_size: tuple[int, int],
    options: TrackingOptions,
) -> tuple[Track, Pasted]:
    label = prompt.label or (track.label if track else "")
    if prompt.mask is not None:
        return _start_from_mask(prompt, prompt.mask, label, frame_size)
    best = choose(answers, frame_size, options)
    if best is None or best.box is None:
        x, y = prompt.points_xy[0].tolist() if len(prompt.points_xy) else (0.0, 0.0)
        box = prompt.box or (x, y, x, y)
        lost = Track(
            id=prompt.id,
            label=label,
            state="LOST",
            reason="nothing found at the prompt",
            score=0.0,
            box=box,
            area_px=area(box) / 2,
            unseen=1,
        )
        return lost, NOWHERE
    started = Track(
        id=prompt.id,
        label=label,
        state="TRACKED",
        reason="prompted",
        score=best.score,
        box=best.box,
        area_px=best.area_px,
        memory=Memory.of(best.logits, best.seen.square),
        appearance=best.appearance.astype(np.float16).tobytes(),
    )
    return started, best.pasted


def _start_from_mask(prompt: Fitted, mask: np.ndarray, label: str, frame_size: tuple[int, int]) -> tuple[Track, Pasted]:
    height, width = frame_size
    box = box_of_mask(mask)
    assert box is not None, "prepare() refuses empty masks"
    side = max(width, height)
    logits = mask_as_logits(mask)
    small = resample_logits(logits, (0, 0, width, height), (0, 0, side, side), 256)
    track = Track(
        id=prompt.id,
        label=label,
        state="TRACKED",
        reason="prompted",
        score=1.0,
        box=box,
        area_px=float(np.count_nonzero(mask)),
        memory=Memory.of(small, (0.0, 0.0, float(side), float(side))),
    )
    return track, (logits, (0, 0, width, height))


def _continue(
    track: Track, answers: Sequence[Answer], frame_size: tuple[int, int], options: TrackingOptions
) -> tuple[Track, Pasted]:
    if not answers:
        return _lose(track, "its place is outside the frame"), NOWHERE
    candidates = [
        measure(answer, k, track, frame_size, options) for answer in answers for k in range(len(answer.scores))
    ]
    best = max(candidates, key=lambda candidate: candidate.score)
    if best.box is None:
        return _lose(track, "the mask is empty"), NOWHERE
    if not options.gates:
        return _keep(track, best, "TRACKED", "not gated"), best.pasted
    verdict, reason = judge(track, best, frame_size, options)
    if verdict == "LOST":
        return _lose(track, reason, best.score), NOWHERE
    if verdict == "UNCERTAIN":
        return _doubt(track, best, reason), best.pasted
    return _keep(track, best, verdict, reason), best.pasted


def judge(track: Track, found: Candidate, frame_size: tuple[int, int], options: TrackingOptions) -> tuple[State, str]:
    """How far to believe a mask, and why.

    Args:
        track: before this frame.
        found: a mask that is not empty.
        frame_size: (H, W).
        options: of the tracker.
    """
    o = options
    growth = found.area_px / max(track.area_px, 1.0)
    change = max(growth, 1 / max(growth, 1e-6))
    whole = frame_size[0] * frame_size[1] * o.whole_frame
    if found.area_px > whole and track.area_px < whole / 2:
        return "LOST", "the mask is the whole frame"
    if track.state == "LOST":
        if found.score < o.found_score:
            return "LOST", f"searching: score {found.score:.2f} below {o.found_score:g}"
        if found.similarity < o.found_similarity:
            return "LOST", f"searching: similarity {found.similarity:.2f} below {o.found_similarity:g}"
        if change > o.found_area:
            return "LOST", f"searching: area x{growth:.2f}"
        return "REACQUIRED", f"score {found.score:.2f}, similarity {found.similarity:.2f}"
    jump = _jump(track, found, o)
    if found.score < o.lost_score:
        return "LOST", f"score {found.score:.2f} below {o.lost_score:g}"
    if change > o.lost_area:
        return "LOST", f"area x{growth:.2f} within a frame"
    if jump > o.lost_jump:
        return "LOST", f"jumped by {jump:.1f} box sizes"
    if found.score < o.uncertain_score:
        return "UNCERTAIN", f"score {found.score:.2f} below {o.uncertain_score:g}"
    if found.stability < o.uncertain_stability:
        return "UNCERTAIN", f"stability {found.stability:.2f} below {o.uncertain_stability:g}"
    if change > o.uncertain_area:
        return "UNCERTAIN", f"area x{growth:.2f}"
    return "TRACKED", f"score {found.score:.2f}"


def _jump(track: Track, found: Candidate, options: TrackingOptions) -> float:
    """How far the middle is off the expected one, in mean box sides."""
    assert found.box is not None
    x, y, _, _ = center_size(found.box)
    expected_x, expected_y, width, height = center_size(expected_box(track, options))
    return float(np.hypot(x - expected_x, y - expected_y) / max(1.0, (width + height) / 2))


def _velocity(track: Track, box: Box) -> tuple[float, float]:
    x, y, _, _ = center_size(box)
    last_x, last_y, _, _ = center_size(track.box)
    frames = track.unseen + 1
    dx, dy = (x - last_x) / frames, (y - last_y) / frames
    return (
        track.velocity[0] + _PULL * (dx - track.velocity[0]),
        track.velocity[1] + _PULL * (dy - track.velocity[1]),
    )


def _keep(track: Track, found: Candidate, state: State, reason: str) -> Track:
    """A mask that is trusted."""
    assert found.box is not None
    appearance = found.appearance
    if track.appearance:
        old = np.frombuffer(track.appearance, np.float16).astype(np.float32)
        appearance = old + np.float32(_RENEW) * (appearance - old)
        appearance = appearance / max(float(np.linalg.norm(appearance)), 1e-6)
    return msgspec.structs.replace(
        track,
        state=state,
        reason=reason,
        score=found.score,
        box=found.box,
        area_px=track.area_px + _SETTLE * (found.area_px - track.area_px),
        velocity=_velocity(track, found.box),
        memory=Memory.of(found.logits, found.seen.square),
        appearance=appearance.astype(np.float16).tobytes(),
        unseen=0,
    )


def _doubt(track: Track, found: Candidate, reason: str) -> Track:
    """A mask that is given but only half believed: where it is counts, how it looks does not."""
    assert found.box is not None
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
    )


def _lose(track: Track, reason: str, score: float = 0.0) -> Track:
    return msgspec.structs.replace(
        track, state="LOST", reason=reason, score=score, velocity=(0.0, 0.0), unseen=track.unseen + 1
    )
