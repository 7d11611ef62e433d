"""Prompts that are given while a stream is running: from the command to the frame that they come into force at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from streamseg import tracking
from streamseg.commands import Answer, Applied, Refused, Reply
from streamseg.errors import PromptError
from streamseg.jobs import PastCommand
from streamseg.messages import GivenPrompt, Stamp
from streamseg.prompts.model import FramePrompt, ObjectPrompt, PendingPrompt
from streamseg.prompts.prepare import fit, prepare_one
from streamseg.prompts.rules import check_sequel, free_id
from streamseg.tracking import EncodedView, TrackerState


@dataclass(eq=False)
class TakenPrompt:
    """A prompt that has not come into force yet, and who waits for its answer."""

    pending: PendingPrompt
    reply: Reply
    told_seq: int | None = None
    """The frame after which embed was told to look for it; None if it was not yet."""


@dataclass
class Moment:
    """How far a stream is."""

    state: TrackerState
    planned: Sequence[PendingPrompt]
    """Its planned prompts that have not come into force yet."""
    first_possible: int
    """The first frame that a prompt can hold for now."""
    last_s: float | None
    """Presentation time of the last frame."""
    frame_size: tuple[int, int] | None
    """(width, height); None before the first frame."""


def _no_reply(answer: Answer) -> None:
    """Whoever gave it has had the answer."""


class GivenPrompts:
    """Of one stream."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._waiting: list[TakenPrompt] = []

    @property
    def ids(self) -> list[int]:
        """Of the objects that prompts wait for."""
        return [given.pending.id for given in self._waiting]

    def take(self, prompt: ObjectPrompt, reply: Reply, now: Moment) -> None:
        """A command that can come into force, as far as that can be said before its frame.

        Raises:
            PromptError: it cannot; says what is possible.
        """
        pending = prepare_in_time(prompt, self._stream, [given.pending for given in self._waiting], now)
        self._waiting.append(TakenPrompt(pending, reply))

    def repeat(self, past: PastCommand) -> None:
        """One that had come into force at a frame which comes once more, or whose state was lost: it does so again."""
        prompt = msgspec.msgpack.decode(past.body, type=ObjectPrompt)
        prompt = msgspec.structs.replace(prompt, id=past.id, frame=past.frame, time_s=None)
        self._waiting.append(TakenPrompt(prepare_one(prompt, (self._stream,)), _no_reply))

    def withdraw(self, reply: Reply) -> None:
        """Its sender wants the prompt with this reply no more."""
        for given in [given for given in self._waiting if given.reply == reply]:
            self._waiting.remove(given)
            given.reply(Refused.of(PromptError(f"{given.pending.prompt.name}: taken back before it came into force")))

    def to_look_for(self, seq: int, next_index: int) -> list[PendingPrompt]:
        """Those that embed has to be told of after frame `seq`, since they may come into force at the next one."""
        found = []
        for given in self._waiting:
            prompt = given.pending.prompt
            if prompt.time_s is not None or (prompt.frame or 0) <= next_index:
                if given.told_seq is None:
                    given.told_seq = seq
                found.append(given.pending)
        return found

    def due(
        self, stamp: Stamp, views: Sequence[EncodedView], busy: set[int], *, has_feedback: bool
    ) -> list[TakenPrompt]:
        """Those that come into force at a frame.

        Args:
            stamp: of the frame.
            views: of it.
            busy: ids of the objects that another prompt comes into force for: they wait for the next frame.
            has_feedback: whether embed is told where to look.
        """
        found: list[TakenPrompt] = []
        for given in self._waiting:
            told = not has_feedback or (given.told_seq is not None and given.told_seq < stamp.seq)
            reached = given.pending.due(stamp.index, stamp.pts_s)
            if told and reached and given.pending.id not in busy and tracking.has_view(given.pending, views):
                found.append(given)
            # In the order they were given, those for one object.
            busy.add(given.pending.id)
        return found

    def fit(
        self,
        due: Sequence[TakenPrompt],
        state: TrackerState,
        frame_size: tuple[int, int],
        carried: Callable[[PendingPrompt], PendingPrompt],
    ) -> list[tuple[TakenPrompt, FramePrompt]]:
        """Those of the due ones that fit their frame (width, height); the others are refused.

        Args:
            due: those.
            state: after the frame before.
            frame_size: (width, height).
            carried: gives a prompt where it is in this frame.
        """
        fitted = []
        for given in due:
            try:
                tracking.check_possible(given.pending, state)
                fitted.append((given, fit(carried(given.pending), *frame_size)))
            except PromptError as error:
                self._waiting.remove(given)
                given.reply(Refused.of(error))
        return fitted

    def applied(
        self,
        given: Sequence[TakenPrompt],
        stamp: Stamp,
        before: TrackerState,
        after: TrackerState,
        found_ids: Sequence[int] = (),
    ) -> None:
        """They have come into force at a frame.

        Args:
            given: those.
            stamp: of the frame.
            before: the state after the frame before.
            after: the state after the frame.
            found_ids: of the objects that were found because somebody asked for all.
        """
        known = {track.id for track in before.tracks}
        tracks = {track.id: track for track in after.tracks}
        for each in given:
            self._waiting.remove(each)
            prompt, track = each.pending.prompt, tracks.get(each.pending.id)
            each.reply(
                Applied(
                    what=_what(prompt, known=each.pending.id in known),
                    id=None if prompt.everything else each.pending.id,
                    ids=list(found_ids) if prompt.everything else [],
                    stream=stamp.stream,
                    frame=stamp.index,
                    pts_s=stamp.pts_s,
                    state="" if track is None else track.state,
                    reason="" if track is None else track.reason,
                )
            )

    def end(self, frames: int) -> None:
        """The stream is over, after so many frames."""
        for given in self._waiting:
            given.reply(
                Refused.of(
                    PromptError(
                        f"{given.pending.prompt.name}: stream {self._stream!r} ended before the prompt could come into "
                        f"force; it had {frames} frames"
                    )
                )
            )
        self._waiting.clear()


def prepare_in_time(prompt: ObjectPrompt, stream: str, before: Sequence[PendingPrompt], now: Moment) -> PendingPrompt:
    """A prompt that is given while a stream is running, checked as far as that goes before its frame.

    Args:
        prompt: without an id it gets the next free one.
        stream: it is for.
        before: prompts that have not come into force yet and do so before it.
        now: how far the stream is.

    Raises:
        PromptError: it cannot come into force; says what is possible.
    """
    _check_when(prompt, now)
    known, removed = _objects(now.state, before)
    taken = {*known, *removed, *(pending.id for pending in now.planned)}
    if prompt.id is None and not (prompt.remove or prompt.undo or prompt.everything):
        prompt = msgspec.structs.replace(prompt, id=free_id(taken))
    pending = prepare_one(prompt, (stream,))
    later = next((each for each in now.planned if each.id == pending.id), None)
    if later is not None and pending.id not in known and pending.id not in removed:
        raise PromptError(
            f"{prompt.name}: object {pending.id} is planned to come{later.prompt.when}; a new object can have id "
            f"{free_id(taken)}"
        )
    check_sequel(prompt, known, removed)
    if all(each.id != pending.id for each in before):
        tracking.check_possible(pending, now.state)
    if now.frame_size is not None:
        fit(pending, *now.frame_size)
    return pending


def _objects(state: TrackerState, before: Sequence[PendingPrompt]) -> tuple[dict[int, str], set[int]]:
    """Labels of the objects that there are after these prompts, and ids of the removed ones."""
    known = {track.id: track.label for track in state.tracks}
    removed = state.former_ids
    for pending in before:
        if pending.prompt.everything:
            continue
        if pending.prompt.undo:
            removed.discard(pending.id)
        if pending.prompt.remove:
            removed.add(pending.id)
            known.pop(pending.id, None)
        else:
            known[pending.id] = known.get(pending.id, "") or pending.prompt.label
    return known, removed


def _check_when(prompt: ObjectPrompt, now: Moment) -> None:
    possible = f"the next that is possible is frame {now.first_possible}; without a frame it is taken"
    if prompt.frame is not None and 0 <= prompt.frame < now.first_possible:
        raise PromptError(f"{prompt.name}: frame {prompt.frame} has gone by; {possible}")
    if prompt.time_s is not None and now.last_s is not None and 0 <= prompt.time_s <= now.last_s:
        raise PromptError(f"{prompt.name}: {prompt.time_s:g} s has gone by, it is {now.last_s:g} s; {possible}")


def as_given(prompt: FramePrompt) -> GivenPrompt:
    """A prompt that has come into force, as sinks are told of it."""
    on, off = ([(float(x), float(y)) for x, y in prompt.points_xy[prompt.point_labels == label]] for label in (1, 0))
    return GivenPrompt(prompt.id, prompt.label, prompt.box, on, off, prompt.mask is not None, prompt.remove)


def _what(prompt: ObjectPrompt, *, known: bool) -> str:
    """What a prompt did, in a word."""
    for what, said in (
        ("found", prompt.everything),
        ("undone", prompt.undo),
        ("removed", prompt.remove),
        ("renamed", prompt.renames),
        ("added", not known),
        ("corrected", prompt.only_clicks),
    ):
        if said:
            return what
    return "pointed anew"
