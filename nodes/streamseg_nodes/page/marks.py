"""What people have pointed at in a file: prompts at frames, one for each object and frame, and every step back."""

from __future__ import annotations

import msgspec

from streamseg.errors import PromptError
from streamseg.prompts.model import ObjectPrompt

_MOST_STEPS = 100


class Marks:
    """Prompts with ids and frames. A second prompt for the same object in the same frame joins the first."""

    def __init__(self) -> None:
        self.prompts: list[ObjectPrompt] = []
        """In order of their frames. A new list after every change."""
        self.labels: dict[int, str] = {}
        self._before: list[tuple[list[ObjectPrompt], dict[int, str]]] = []
        self._highest_id = 0

    def with_prompt(self, prompt: ObjectPrompt, frame: int) -> tuple[list[ObjectPrompt], ObjectPrompt]:
        """The prompts there would be with one more, and what became of it.

        Raises:
            PromptError: it cannot be.
        """
        identity = prompt.id
        if identity is None and prompt.remove:
            raise PromptError("remove without an id; say which object is to be removed")
        identity = self._highest_id + 1 if identity is None else identity
        prompt = msgspec.structs.replace(
            prompt,
            id=identity,
            frame=frame,
            label=self.labels.get(identity, prompt.label),
            stream=None,
            seen=None,
            meanings=False,
        )
        there = next((each for each in self.prompts if each.id == identity and each.frame == frame), None)
        rest = [each for each in self.prompts if each is not there]
        if prompt.remove:
            rest = [each for each in rest if each.id != identity or (each.frame or 0) < frame]
            if not any(each.id == identity for each in rest):
                if there is None:
                    raise PromptError(f"there is no object {identity} to remove in frame {frame}")
                return rest, prompt
        elif there is not None and prompt.box is None and prompt.mask is None:
            prompt = msgspec.structs.replace(
                there,
                points=[*there.points, *prompt.points],
                negative=[*there.negative, *prompt.negative],
                choice=prompt.choice if prompt.choice is not None else there.choice,
            )
        if there is None or prompt.remove:
            return sorted([*rest, prompt], key=lambda each: each.frame or 0), prompt
        # In its place: the order of objects is that of their first prompts.
        return [prompt if each is there else each for each in self.prompts], prompt

    def take(self, prompts: list[ObjectPrompt]) -> None:
        """These are the prompts from now on."""
        self._remember()
        self.prompts = prompts
        self._highest_id = max([self._highest_id, *(each.id or 0 for each in prompts)])

    def rename(self, identity: int, label: str) -> None:
        """An object is called something else."""
        self._remember()
        self.labels = {**self.labels, identity: label}
        self.prompts = [
            msgspec.structs.replace(each, label="" if each.remove else label) if each.id == identity else each
            for each in self.prompts
        ]

    def undo(self) -> int | None:
        """One step back. Returns the first frame whose prompts are others now; None if none are.

        Raises:
            PromptError: there is no step to take back.
        """
        if not self._before:
            raise PromptError("there is nothing to undo")
        now = self.prompts
        self.prompts, self.labels = self._before.pop()
        changed = [each.frame or 0 for each in now if each not in self.prompts]
        changed += [each.frame or 0 for each in self.prompts if each not in now]
        return min(changed, default=None)

    def first_frame(self) -> int | None:
        """Of the first prompt."""
        return self.prompts[0].frame if self.prompts else None

    def _remember(self) -> None:
        self._before = [*self._before, (self.prompts, self.labels)][-_MOST_STEPS:]
