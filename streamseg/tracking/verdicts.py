"""What to make of the answers for all objects of a frame together: one thing cannot be two of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec
import numpy as np

from streamseg.tracking.association import Judged, give_back, is_of, settle_claims, tell_apart
from streamseg.tracking.candidate import Candidate, measure
from streamseg.tracking.gating import judge, judge_lost, likeness, of_its_size, reachable
from streamseg.tracking.options import TrackingOptions
from streamseg.tracking.questions import Answer
from streamseg.tracking.state import LOGIT_LIMIT, Track


def judge_all(
    tracks: Sequence[Track],
    answers: Mapping[int, Sequence[Answer]],
    image_rgb: np.ndarray,
    options: TrackingOptions,
    *,
    cut: bool,
) -> list[tuple[Track, Judged]]:
    """A verdict for each track.

    Args:
        tracks: as they were in the frame before.
        answers: by object id.
        image_rgb: (H, W, 3) uint8, the frame.
        options: of the tracker.
        cut: whether this frame is of another scene than the one before.
    """
    verdicts: dict[int, Judged] = {}
    searched = [track for track in tracks if options.gates and (cut or track.state == "LOST")]
    for track in tracks:
        if track not in searched:
            verdicts[track.id] = _judge(track, answers.get(track.id, ()), image_rgb, options)
    if options.gates:
        settle_claims(tracks, verdicts, image_rgb, options)
    for track in searched:
        taken = [
            (other, verdict.found)
            for other in tracks
            if (verdict := verdicts.get(other.id)) and verdict.found and verdict.state != "LOST"
        ]
        verdicts[track.id] = _judge_lost(track, answers.get(track.id, ()), image_rgb, taken, options, cut=cut)
        for other, _ in taken:
            give_back(track, other, verdicts, image_rgb, options)
    tell_apart(tracks, verdicts)
    return [(track, verdicts[track.id]) for track in tracks]


def _judge(track: Track, answers: Sequence[Answer], image_rgb: np.ndarray, options: TrackingOptions) -> Judged:
    found = measure(_averaged(answers), 0, track, image_rgb, options) if answers else None
    if found is None:
        return Judged("LOST", "the mask is empty" if answers else "its place is outside the frame")
    if not options.gates:
        return Judged("TRACKED", f"score {found.score:.2f}, not judged", found)
    return Judged(*judge(track, found, image_rgb.shape[:2], options), found)


def _judge_lost(
    track: Track,
    answers: Sequence[Answer],
    image_rgb: np.ndarray,
    taken: Sequence[tuple[Track, Candidate]],
    options: TrackingOptions,
    *,
    cut: bool,
) -> Judged:
    """The most likely of the places that were asked about."""
    prefix = "scene cut: " if cut else "searching: "
    best = Judged("LOST", prefix + "nothing looks like it", cut=cut)
    if cut:
        track = msgspec.structs.replace(track, displaced=True)
    hider = next((its.box for other, its in taken if other.id == track.hidden_by), None)
    within = reachable(track, hider, options)
    best_likeness = -1.0
    for answer in answers:
        found = measure(answer, 0, track, image_rgb, options)
        if found is None:
            continue
        owner = next((other.id for other, its in taken if is_of(track, found, other, its, options)), None)
        if owner is not None:
            if best.found is None:
                best = replace(best, reason=f"{prefix}what looks like it is object {owner}")
            continue
        state, reason = judge_lost(track, found, image_rgb.shape[:2], within, options)
        fits = of_its_size(track, found, options)
        how_like = likeness(track, found) + fits + (state == "REACQUIRED")
        if how_like > best_likeness:
            best_likeness = how_like
            best = Judged(state, prefix + reason if state == "LOST" else reason, found, near_miss=fits, cut=cut)
    return best


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
