"""One frame after another through embed, propagate and cleanup, from any frame on, in this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from streamseg import tracking
from streamseg.commands import Answer, Applied, Meaning, Refused
from streamseg.errors import rebuild
from streamseg.messages import Frame, Message, Segmented
from streamseg.node import NodeContext
from streamseg.prompts.model import ObjectPrompt
from streamseg.prompts.prepare import prepare_one
from streamseg.tracking import Candidate, TrackerState
from streamseg_nodes.cleanup import Cleanup
from streamseg_nodes.embed import Embed
from streamseg_nodes.propagate.meanings import pictured
from streamseg_nodes.propagate.node import Propagate

_MEMORY_MB = 512


class StepOptions(msgspec.Struct, frozen=True):
    """Options of the nodes, as in a graph."""

    embed: Embed.Config
    propagate: Propagate.Config
    cleanup: Cleanup.Config
    focus: bool
    """Whether there is a way back from propagate to embed."""


class Stepper:
    """The nodes of one stream. What they give for a frame is what a run with the same prompts gives.

    Args:
        stream: name of the stream.
        options: of the nodes.
        threads: that the encoder uses.
    """

    def __init__(self, stream: str, options: StepOptions, threads: int) -> None:
        self._stream = stream
        streams = (stream,)
        embed = NodeContext("embed", streams=streams, threads=threads, has_feedback=options.focus)
        # A second prompt in a frame is answered the sooner.
        cached = msgspec.structs.replace(options.embed, cache_memory_mb=_MEMORY_MB)
        self._embed = Embed(cached, embed)
        context = NodeContext("propagate", streams=streams, feedback=self._feed, has_feedback=options.focus)
        self._focus = options.focus
        self._propagate = Propagate(options.propagate, context)
        self._cleanup = Cleanup(options.cleanup, NodeContext("cleanup", streams=streams))
        self._embed.setup()
        self._propagate.setup()
        self._cleanup.setup()
        self._next: tuple[int, Sequence[ObjectPrompt]] | None = None

    def step(self, frame: Frame, prompts: Sequence[ObjectPrompt], before: bytes | None) -> Segmented:
        """What is in a frame.

        Args:
            frame: its index is its number in the stream.
            prompts: all of the stream, each with an id and a frame.
            before: `Segmented.tracker` of the frame before; None before the first, or if nothing was followed there.

        Raises:
            PromptError: the prompts cannot be meant.
        """
        index = frame.stamp.index
        if self._next is None or self._next[0] != index or self._next[1] is not prompts:
            self._begin(index, prompts, before)
        self._next = None
        result = self._cleanup.process(self._propagate.process(self._embed.process(frame)))
        self._next = (index + 1, prompts)
        return result

    def everything(
        self, frame: Frame, prompts: Sequence[ObjectPrompt], before: bytes | None
    ) -> tuple[Segmented, Applied]:
        """The same frame with all objects that are not followed yet, and which of them are new.

        Raises:
            PromptError: that cannot be done.
        """
        answers: list[Answer] = []
        self._next = None
        self._begin(frame.stamp.index, prompts, before)
        self._propagate.on_command(ObjectPrompt(everything=True), answers.append)
        self._restore(frame.stamp.index, prompts, before)
        result = self._cleanup.process(self._propagate.process(self._embed.process(frame)))
        answer = answers[0] if answers else Refused("PromptError", "nothing came of it")
        if isinstance(answer, Refused):
            raise rebuild(answer.kind, answer.message)
        return result, answer

    def prepare(self, frame: Frame) -> None:
        """See the frame as a whole beforehand, so that who points at something in it waits the less."""
        self._embed.prepare(frame)

    def first_look(self, frame: Frame, prompt: ObjectPrompt) -> Candidate | None:
        """What a prompt for a new object seems to mean, seen from afar; None if nothing, or if that is no quicker.

        Raises:
            PromptError: the prompt cannot be meant.
        """
        embedded = self._embed.overview(frame)
        if embedded is None:
            return None
        found = self._propagate.choices(embedded, prepare_one(prompt, (self._stream,)), only_best=True)
        return found[0] if found else None

    def meanings(self, frame: Frame, prompt: ObjectPrompt) -> list[Meaning]:
        """What the clicks of a prompt for a new object in this frame may mean.

        Raises:
            PromptError: the prompt cannot be meant.
        """
        self._next = None
        self._begin(frame.stamp.index, [prompt], None)
        found = self._propagate.choices(self._embed.process(frame))
        return pictured(found, frame.image_rgb)

    def describe(self) -> dict[str, dict[str, Any]]:
        """What the nodes say of themselves, by their names."""
        return {"embed": self._embed.describe(), "propagate": self._propagate.describe()}

    def close(self) -> None:
        """Let go of the models."""
        for node in (self._embed, self._propagate, self._cleanup):
            node.close()

    def _feed(self, message: Message) -> None:
        """Tell embed where to look, if there is a way back."""
        if self._focus:
            self._embed.on_feedback(message)  # type: ignore[arg-type]

    def _begin(self, index: int, prompts: Sequence[ObjectPrompt], before: bytes | None) -> None:
        self._propagate.begin(list(prompts))
        self._restore(index, prompts, before)

    def _restore(self, index: int, prompts: Sequence[ObjectPrompt], before: bytes | None) -> None:
        state = TrackerState() if before is None else tracking.from_bytes(before)
        done = sum((prompt.frame or 0) < index for prompt in prompts)
        state = msgspec.structs.replace(state, prompts_done=done)
        self._propagate.restore(self._stream, state, index, index)
