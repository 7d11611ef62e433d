"""A file on the page: played, paused, stepped through; pointed at in any frame, and followed from there."""

from __future__ import annotations

import base64
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Literal, Protocol

import cv2
import msgspec
import numpy as np

from streamseg.commands import Applied, Refused, Reply
from streamseg.errors import PromptError, StreamsegError
from streamseg.messages import ObjectResult, Segmented
from streamseg.prompts.model import ObjectPrompt
from streamseg.types import MASK_URL
from streamseg_nodes.decode_options import DecodeOptions
from streamseg_nodes.page import shown_frame
from streamseg_nodes.page.first_look import with_first_look
from streamseg_nodes.page.history import History
from streamseg_nodes.page.marks import Marks
from streamseg_nodes.page.spool import Spool
from streamseg_nodes.page.stepper import StepOptions, Stepper

Mode = Literal["paused", "playing", "following", "exporting"]
Save = Callable[["Player", str], str]
"""Writes what was followed, also in a format if one is named; says where."""

_BANDS_EVERY_S = 0.5
_IDLE_S = 0.5
_RESTING_S = 0.1
"""A frame that is shown for so long is looked at beforehand."""


class Screen(Protocol):
    """Where it is shown. Called from the player's thread."""

    def wants(self, stream: str) -> bool:
        """Whether somebody has time for a picture."""

    def show(self, stream: str, picture: bytes) -> None:
        """A picture."""

    def say(self, stream: str, kind: str, **values: object) -> None:
        """What else there is to be known."""


class Player:
    """One file, in a thread of its own. Its words may come from any thread.

    Args:
        stream: its name.
        decode: options of the nodes.
        options: likewise.
        screen: where it is shown.
        save: writes what was followed.
        width_px: of the pictures.
        quality: of the pictures.
        threads: that the encoder uses.
    """

    def __init__(
        self,
        stream: str,
        decode: DecodeOptions,
        options: StepOptions,
        screen: Screen,
        save: Save,
        *,
        width_px: int = 1280,
        quality: int = 80,
        threads: int = 1,
    ) -> None:
        self.stream = stream
        self._screen = screen
        self._save = save
        self._width_px, self._quality = width_px, quality
        self._log = logging.getLogger(f"streamseg.page.{stream}")
        self.spool = Spool(stream, decode)
        self.history = History()
        self.marks = Marks()
        try:
            self._stepper = Stepper(stream, options, threads)
        except BaseException:
            self.spool.close()
            raise
        self.mode: Mode = "paused"
        self.at = 0
        self._due_s = 0.0
        self._bands_s = 0.0
        self._prepared = -1
        """The frame that was seen beforehand as a whole."""
        self._told_all = False
        """Whether it was said that all of the file is unpacked."""
        self._jobs: deque[Callable[[], None]] = deque()
        self._change = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=f"play {stream}", daemon=True)

    def start(self) -> None:
        """Show the first frame and wait for what people do."""
        self._do(self._show)
        self._thread.start()

    def act(self, do: str, frame: int | None, also: str = "") -> None:
        """Play, pause, follow, export (also in a format), go to a frame, or show once more what there is."""
        actions: dict[str, Callable[[], None]] = {
            "play": lambda: self._set_mode("playing"),
            "pause": self._pause,
            "follow": lambda: self._set_mode("following"),
            "export": lambda: self._export(also),
            "show": self._show_all,
            "seek": lambda: self._seek(frame or 0),
        }
        self._do(actions[do])

    def give(self, body: bytes, reply: Reply) -> None:
        """Take a prompt (msgpack) for the frame that is shown."""

        def answer() -> None:
            try:
                prompt = msgspec.msgpack.decode(body, type=ObjectPrompt)
                applied = self._take(prompt)
                self._show_all()
                reply(self._with_meanings(applied) if prompt.meanings else applied)
            except Exception as error:
                reply(Refused("PromptError", str(error) or type(error).__name__))
                self._show_all()
                if not isinstance(error, (StreamsegError, msgspec.DecodeError)):
                    raise

        self._do(answer)

    def close(self) -> None:
        """Let go of the file and the models."""
        with self._change:
            self._closing = True
            self._change.notify_all()
        if self._thread.is_alive():
            self._thread.join()
        self.spool.close()
        self._stepper.close()

    # In its own thread from here on.

    def _do(self, job: Callable[[], None]) -> None:
        with self._change:
            self._jobs.append(job)
            self._change.notify_all()

    def _run(self) -> None:
        while True:
            with self._change:
                idle_s = _IDLE_S if self._prepared == self.at else _RESTING_S
                self._change.wait_for(lambda: self._jobs or self._closing or self.mode != "paused", idle_s)
                if self._closing:
                    return
                job = self._jobs.popleft() if self._jobs else self._idle
            try:
                job()
            except Exception as error:  # noqa: BLE001 (whatever it is, the file can still be looked at)
                if not isinstance(error, (StreamsegError, OSError)):
                    self._log.exception("%s failed", job)
                self._set_mode("paused")
                self._screen.say(self.stream, "event", about="refused", text=str(error) or type(error).__name__)

    def _idle(self) -> None:
        if self.mode == "playing":
            self._play()
        elif self.mode == "following":
            self._follow()
        else:
            if not self._told_all:
                self._told_all = self.spool.done
                self._tell_bands(often=self._told_all)
            if self._prepared != self.at and self.spool.wait(self.at, 0.0):
                self._prepared = self.at
                self._stepper.prepare(self.spool.frame(self.at))

    def _set_mode(self, mode: Mode) -> None:
        if mode == "following" and not self.marks.prompts:
            raise PromptError("There is nothing to follow yet: point at something first.")
        if mode == "following":
            # From here on, unless what comes before has not been followed to here.
            first = self.marks.first_frame() or 0
            self.at = max(first, min(self.at, self.history.first_open(first)))
        self.mode, self._due_s = mode, time.monotonic()
        self._tell_position()

    def _pause(self) -> None:
        self._set_mode("paused")
        self._show_all()

    def _seek(self, frame: int) -> None:
        last = max(0, len(self.spool) - 1)
        self.at = min(max(0, frame), last)
        if self.mode == "following":
            self.mode = "paused"
        self._due_s = time.monotonic()
        self._show()

    def _play(self) -> None:
        if not self.spool.wait(self.at + 1, 0.2):
            if self.spool.done:
                self._set_mode("paused")
                self._show()
            return
        wait_s = self._due_s - time.monotonic()
        if wait_s > 0:
            time.sleep(min(wait_s, 0.1))
            if wait_s > 0.1:
                return
        self.at += 1
        self._due_s = max(self._due_s + 1 / self.spool.fps, time.monotonic() - 0.5)
        self._show(always=False)

    def _follow(self) -> None:
        index = self.history.first_open(self.at)
        if not self.spool.wait(index, 0.2):
            if self.spool.done:
                self.at = max(0, len(self.spool) - 1)
                self._set_mode("paused")
                self._show_all()
            return
        self._look(index)
        self.at = index
        self._show(always=False)
        self._tell_bands(often=False)

    def _look(self, index: int) -> Segmented:
        """Follow in one frame, from the nearest state before it on, and keep what was found."""
        first, state = self.history.state_before(index)
        result = None
        for number in range(first, index + 1):
            result = self._stepper.step(self.spool.frame(number), self.marks.prompts, state)
            state = bytes(result.tracker)
        if result is None:
            raise PromptError(f"frame {index} cannot be looked at")
        self._keep(index, result)
        return result

    def _keep(self, index: int, result: Segmented) -> None:
        """Keep what was found; it holds only if what comes before does."""
        first = self.marks.first_frame() or 0
        self.history.put(index, result).stale = index > first and not self.history.holds(index - 1)

    def _take(self, prompt: ObjectPrompt) -> Applied:
        self.mode = "paused"
        frame = self.spool.frame(self.at)
        if prompt.undo:
            return self._undo()
        if prompt.renames:
            self.marks.rename(prompt.id or 0, prompt.label)
            return self._applied("renamed", prompt.id)
        if prompt.everything:
            return self._everything()
        known = {each.id for each in self._objects()}
        prompts, taken = self.marks.with_prompt(prompt, self.at)
        if taken.id not in known and taken.points_at and not taken.mask:
            self._show_first_look(taken)
        before = self.marks.prompts
        first, state = self.history.state_before(self.at)
        try:
            result = self._stepper.step(frame, prompts, state) if first == self.at else None
        except StreamsegError:
            # The next step begins anew with the prompts that hold.
            self.marks.prompts = list(before)
            raise
        self.marks.take(prompts)
        self.history.change(self.at - 1)
        if result is None:
            result = self._look(self.at)
        else:
            self._keep(self.at, result)
        if not prompt.remove and taken.id not in {each.id for each in result.objects}:
            self._undo()
            raise PromptError(f"object {taken.id} is not followed to this frame yet; follow first, or draw a box")
        what = "removed" if prompt.remove else "added" if taken.id not in known else "corrected"
        return self._applied(what, taken.id)

    def _show_first_look(self, prompt: ObjectPrompt) -> None:
        """Show at once what can be said at once; the answer follows."""
        seen = self._stepper.first_look(self.spool.frame(self.at), prompt)
        if seen is not None:
            self._show_result(with_first_look(self.result(self.at), prompt.id or 0, prompt.label, seen))

    def _with_meanings(self, applied: Applied) -> Applied:
        """With what the clicks on an object that is new in this frame may mean."""
        prompt = next((each for each in self.marks.prompts if each.id == applied.id and each.frame == self.at), None)
        if applied.what != "added" or prompt is None or not prompt.only_clicks:
            return applied
        return msgspec.structs.replace(applied, meanings=self._stepper.meanings(self.spool.frame(self.at), prompt))

    def _undo(self) -> Applied:
        changed = self.marks.undo()
        if changed is not None:
            self.history.change(changed - 1)
            if not self.marks.prompts:
                self.history.forget()
            elif self.at == changed:
                self._look(self.at)
        return self._applied("undone", None)

    def _everything(self) -> Applied:
        _, state = self.history.state_before(self.at)
        result, answer = self._stepper.everything(self.spool.frame(self.at), self.marks.prompts, state)
        prompts, ids = list(self.marks.prompts), []
        for position, found in enumerate(result.objects):
            if found.id in answer.ids and found.area_px:
                done, png = cv2.imencode(".png", result.mask(position).astype(np.uint8) * 255)
                url = MASK_URL + base64.b64encode(png.tobytes()).decode() if done else None
                prompts.append(ObjectPrompt(id=found.id, frame=self.at, mask=url))
                ids.append(found.id)
        if ids:
            self.marks.take(sorted(prompts, key=lambda each: each.frame or 0))
            self.history.change(self.at - 1)
            self._look(self.at)
        return msgspec.structs.replace(self._applied("found", None), ids=ids)

    def _objects(self) -> list[ObjectResult]:
        found = self.history.get(self.at)
        return [] if found is None else found.objects

    def _applied(self, what: str, identity: int | None) -> Applied:
        state = next((each.state for each in self._objects() if each.id == identity), "")
        return Applied(what=what, id=identity, stream=self.stream, frame=self.at, state=state)

    def _export(self, also: str) -> None:
        index = self.history.first_open(self.marks.first_frame() or 0)
        if not self.marks.prompts or not self.spool.done or index < len(self.spool):
            raise PromptError(
                f"Not all of it is followed yet: frame {index} is the first that is not. Follow, then export."
            )
        self.mode = "exporting"
        self._tell_position()
        try:
            where = self._save(self, also)
            self._screen.say(self.stream, "event", about="done", text=f"Written: {where}")
        finally:
            self._set_mode("paused")

    def result(self, index: int) -> Segmented:
        """What is known of a frame, with the names that objects have now."""
        found = self.history.message(self.spool.frame(index))
        objects = [
            msgspec.structs.replace(each, label=self.marks.labels.get(each.id, each.label)) for each in found.objects
        ]
        return msgspec.structs.replace(found, objects=objects)

    def facts(self) -> dict[str, dict[str, Any]]:
        """What the nodes say of themselves, by their names."""
        return {self.stream: self.spool.facts, **self._stepper.describe()}

    def _show_all(self) -> None:
        self._show()
        self._tell_bands(often=True)

    def _show(self, *, always: bool = True) -> None:
        if not self.spool.wait(self.at, 5.0):
            self._screen.say(self.stream, "event", about="refused", text=self.spool.note or "There is no such frame.")
            return
        if always or self._screen.wants(self.stream):
            self._show_result(self.result(self.at))
            self._tell_position()

    def _show_result(self, found: Segmented) -> None:
        sight = shown_frame.Sight(found.stamp, found.frame.image_rgb, found.labels, found.objects)
        self._screen.show(self.stream, shown_frame.encode(sight, self._width_px, self._quality))

    def _tell_position(self) -> None:
        self._screen.say(
            self.stream,
            "position",
            mode=self.mode,
            frame=self.at,
            frames=len(self.spool),
            expected=len(self.spool) if self.spool.done else self.spool.expected,
            fps=self.spool.fps,
            note=self.spool.note,
            stale=not self.history.holds(self.at) and self.history.get(self.at) is not None,
        )

    def _tell_bands(self, *, often: bool) -> None:
        now_s = time.monotonic()
        if not often and now_s - self._bands_s < _BANDS_EVERY_S:
            return
        self._bands_s = now_s
        bands = [
            {"id": identity, "label": self.marks.labels.get(identity, ""), "runs": runs}
            for identity, runs in self.history.bands()
        ]
        prompts = [(each.frame, each.id, "remove" if each.remove else "point") for each in self.marks.prompts]
        self._screen.say(self.stream, "timeline", bands=bands, prompts=prompts)
        self._tell_position()
