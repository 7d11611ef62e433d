"""One stream as propagate has it: how far it is, what is followed in it, and which prompts are still to come."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from streamseg import tracking
from streamseg.commands import Reply
from streamseg.errors import PromptError
from streamseg.messages import Stamp
from streamseg.prompts.model import ObjectPrompt, PendingPrompt
from streamseg.prompts.prepare import fit, prepare_one
from streamseg.tracking import FrameHistory, TrackerState
from streamseg_nodes.propagate.prompts import GivenPrompts, Moment, prepare_in_time


class StreamState:
    """The books of one stream.

    Args:
        name: of the stream.
        prompts: all that are planned, in order of frame or time; those for other streams too, since ids are shared.
    """

    def __init__(self, name: str, prompts: Sequence[PendingPrompt]) -> None:
        self.name = name
        self.planned = [pending for pending in prompts if pending.prompt.stream in (None, name)]
        """Its planned prompts, in order of frame or time."""
        self.given = GivenPrompts(name)
        """Its prompts that were given while it is running and have not come into force yet."""
        self.state = TrackerState()
        """After the last frame that was finished."""
        self.next_index = 0
        """Number of the next frame in the source."""
        self.last_seq = -1
        """Number of the last frame among those that enter the graph; -1 before the first."""
        self.history = FrameHistory()
        """The last frames, to carry clicks along with what moved."""
        self.over = False
        self._highest_planned_id = max((pending.id for pending in prompts), default=0)
        self._begun = False
        self._last_s: float | None = None
        self._frame_size: tuple[int, int] | None = None

    @property
    def free_id(self) -> int:
        """An id that no object had before and no prompt has; so are all above it."""
        return 1 + max(self.state.highest_id, self._highest_planned_id, *self.given.ids)

    @property
    def waiting(self) -> list[PendingPrompt]:
        """Its planned prompts that have not come into force yet, in their order."""
        return self.planned[self.state.prompts_done :]

    @property
    def known_ids(self) -> set[int]:
        """Ids of the objects that are followed, or will be by prompts that wait."""
        return {*(track.id for track in self.state.tracks), *(pending.id for pending in self.waiting)}

    @property
    def meant_ids(self) -> set[int]:
        """Ids that prompts have, those that have not come into force yet included."""
        return {*(pending.id for pending in self.planned), *self.given.ids}

    def resume(self, state: TrackerState, next_index: int, next_seq: int) -> None:
        """Go on from a state that was written down.

        Args:
            state: after the last frame that was finished.
            next_index: number of the next frame in the source.
            next_seq: its number among the frames that enter the graph.
        """
        self.next_index = next_index
        self.last_seq = next_seq - 1
        self.reach(state)

    def come(self, stamp: Stamp) -> None:
        """A frame has come.

        Raises:
            PromptError: prompts are for times, and it has none.
        """
        self.miss(stamp)
        self._last_s = stamp.pts_s
        timed = [p for p in self.waiting if p.prompt.time_s is not None]
        if timed and stamp.pts_s is None:
            raise PromptError(f"{timed[0].prompt.name}: this video has no times; say the number of a frame instead")

    def miss(self, stamp: Stamp) -> None:
        """A frame does not come, but its place in the stream has."""
        self.next_index = stamp.index + 1
        self.last_seq = stamp.seq

    def carried(self, pending: PendingPrompt) -> PendingPrompt:
        """A prompt with its box and clicks where they are in the last frame, if it says in which one they were seen."""
        prompt = pending.prompt
        if prompt.seen is None:
            return pending
        box = prompt.box
        if box is not None:
            x0, y0, x1, y1 = box
            box = list(self.history.carry_box((x0, y0, x1, y1), prompt.seen))
        points, negative = (self.history.carry_points(each, prompt.seen) for each in (prompt.points, prompt.negative))
        moved = msgspec.structs.replace(prompt, box=box, points=points, negative=negative)
        return msgspec.structs.replace(pending, prompt=moved)

    def check_fit(self, frame_size: tuple[int, int]) -> None:
        """With its first frame, check all planned prompts against (width, height) of the frames.

        Raises:
            PromptError: one does not fit; better now than after hours.
        """
        self._frame_size = frame_size
        if not self._begun:
            for pending in self.planned:
                fit(pending, *frame_size)

    def due(self, index: int, pts_s: float | None) -> list[PendingPrompt]:
        """Planned prompts that come into force at a frame, or were missed; see `tracking.due`."""
        return tracking.due(self.state, self.planned, index, pts_s)

    def reach(self, state: TrackerState) -> None:
        """A frame is finished, with this state."""
        self.state = state
        self._begun = True

    def take(self, prompt: ObjectPrompt, reply: Reply, *, has_feedback: bool) -> None:
        """Take a prompt that is given now; answered when it has come into force.

        Args:
            prompt: without frame and time it holds as soon as possible.
            reply: gets the answer.
            has_feedback: whether embed is told where to look.

        Raises:
            PromptError: that is not possible.
        """
        # Where to look in the next frame embed has been told already.
        now = self._now(self.next_index + has_feedback, self.waiting)
        self.given.take(prompt, reply, now)

    def plan(self, prompt: ObjectPrompt) -> PendingPrompt:
        """One more planned prompt, for a frame that embed has not been told of, or will be told of once more.

        Args:
            prompt: without a frame it holds for the next one. It says no time.

        Raises:
            PromptError: it cannot come into force, or there is one for the same object in the same frame.
        """
        frame = self.next_index if prompt.frame is None else prompt.frame
        before = [pending for pending in self.waiting if (pending.prompt.frame or 0) <= frame]
        after = self.waiting[len(before) :]
        pending = prepare_in_time(prompt, self.name, before, self._now(self.next_index, after))
        if any(each.id == pending.id and each.prompt.frame == frame for each in before):
            raise PromptError(
                f"{prompt.name}: there is a prompt for object {pending.id} in the same frame already; put box, clicks "
                f"and mask of one object into one prompt, or give this one after the frame"
            )
        pending = msgspec.structs.replace(pending, prompt=msgspec.structs.replace(pending.prompt, frame=frame))
        # Those that have come into force are let go of: whoever plans as he goes does so for ever.
        self.planned = [*before, pending, *after]
        self.state = msgspec.structs.replace(self.state, prompts_done=0)
        self._highest_planned_id = max(self._highest_planned_id, pending.id)
        return pending

    def plan_again(self, prompts: Sequence[ObjectPrompt]) -> None:
        """Planned prompts that waited when a state was written down, which is gone on with; in their order.

        Raises:
            PromptError: one cannot be meant.
        """
        self.planned = [prepare_one(prompt, (self.name,)) for prompt in prompts]
        self.state = msgspec.structs.replace(self.state, prompts_done=0)
        self._highest_planned_id = max((pending.id for pending in self.planned), default=0)

    def fit_waiting(self, frame_size: tuple[int, int]) -> None:
        """Check planned prompts against (width, height) of frames, before the first of them; a wrong one is dropped.

        Raises:
            PromptError: one does not fit.
        """
        for pending in self.waiting:
            try:
                fit(pending, *frame_size)
            except PromptError:
                self.planned = [each for each in self.planned if each is not pending]
                raise
        self._frame_size = frame_size

    def end(self) -> None:
        """No more frames come."""
        self.over = True
        self.given.end(self.next_index)

    def check_done(self) -> None:
        """Complain of planned prompts for frames that never came.

        Raises:
            PromptError: there is one.
        """
        frames = self.next_index
        missed = self.waiting
        if missed and not missed[0].due(frames - 1, self._last_s):
            span = f"has {frames} frames, 0 to {frames - 1}"
            until = "" if self._last_s is None else f", the last one at {self._last_s:g} s"
            raise PromptError(f"{missed[0].prompt.name}: there is no such frame; stream {self.name!r} {span}{until}")

    def _now(self, first_possible: int, planned: Sequence[PendingPrompt]) -> Moment:
        return Moment(self.state, planned, first_possible, self._last_s, self._frame_size)
