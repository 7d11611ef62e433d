"""Prompts from ROS 2: services named like those of Isaac ROS Segment Anything 2, and a topic for text."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

import msgspec

from streamseg.commands import LARGEST_BYTES, Applied
from streamseg.errors import PromptError, StreamsegError, nearest
from streamseg.robotics import ros_prompts
from streamseg.robotics.ros_prompts import Prompt
from streamseg.ros2 import types
from streamseg.ros2.middleware import SENSOR, Answer, Middleware, Qos, short

log = logging.getLogger(__name__)

Submit = Callable[[Prompt], Future[Applied]]
"""Gives a prompt to the graph; the future says from which frame on it holds."""

_STRING = "std_msgs/msg/String"


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """Full names of the topics and services."""

    prompt: str
    """Topic: a prompt as in a prompts file."""
    answers: str
    """Topic: what became of each."""
    add_objects: str
    correct_objects: str
    remove_object: str
    reset: str
    detections: str
    """Topic of the results: who there is."""


class PromptServer:
    """Takes prompts from ROS 2 to a running graph. Every one gets one answer; `close` lets go of the names.

    Args:
        middleware: this closes it.
        names: of the topics and services.
        submit: gives a prompt to the graph.
    """

    def __init__(self, middleware: Middleware, names: Names, submit: Submit) -> None:
        self._middleware = middleware
        self._submit = submit
        self._objects = Objects()
        self._answers = middleware.advertise(names.answers, _STRING, Qos())
        self.missing: list[str] = []
        """Services that this ROS environment lacks the types of, each with what to do."""
        middleware.subscribe(names.detections, "vision_msgs/msg/Detection2DArray", SENSOR, self._objects.see)
        middleware.subscribe(names.prompt, _STRING, Qos(), self._take_text)
        self._serve(names.add_objects, types.ADD_OBJECTS, self._add)
        self._serve(names.correct_objects, types.ADD_OBJECTS, self._correct)
        self._serve(names.remove_object, types.REMOVE_OBJECT, self._remove)
        self._serve(names.reset, types.TRIGGER, self._reset)

    def close(self) -> None:
        """Take no more prompts."""
        self._middleware.close()

    def _serve(self, name: str, kind: str, take: Callable[[Any, Answer], None]) -> None:
        try:
            self._middleware.serve(name, kind, take)
        except StreamsegError as error:
            # The topic does the same without any types of others.
            self.missing.append(f"no service {name}: {error}")

    def _take_text(self, message: Any) -> None:
        try:
            if len(message.data) > LARGEST_BYTES:
                raise PromptError(f"expected a prompt of at most {LARGEST_BYTES} characters, got {len(message.data)}")
            prompt = ros_prompts.prompt_of_text(message.data)
            future = self._submit(prompt)
        except StreamsegError as error:
            self._say(False, str(error), {})
            return

        def done(_: Future[Applied]) -> None:
            error = future.exception()
            if error is not None:
                self._say(False, str(error), {})
                return
            applied = future.result()
            self._objects.note(applied, None)
            self._say(True, str(applied), msgspec.to_builtins(applied))

        future.add_done_callback(done)

    def _say(self, success: bool, message: str, facts: Mapping[str, Any]) -> None:
        known = {name: facts[name] for name in ("what", "id", "stream", "frame", "pts_s") if name in facts}
        self._answers.publish({"data": json.dumps({"success": success, "message": message, **known})})

    def _add(self, request: Any, answer: Answer) -> None:
        def prompt_for(name: str, prompt: Prompt) -> Prompt:
            if self._objects.id_of(name) is not None:
                raise PromptError(f"object {name!r} is there already; correct_objects corrects it")
            number = ros_prompts.id_in(name)
            return {**prompt, "id": number} if number is not None else {**prompt, "label": name}

        self._take_request(request, answer, prompt_for)

    def _correct(self, request: Any, answer: Answer) -> None:
        self._take_request(request, answer, lambda name, prompt: {**prompt, "id": self._objects.known(name)})

    def _take_request(self, request: Any, answer: Answer, prompt_for: Callable[[str, Prompt], Prompt]) -> None:
        try:
            found = ros_prompts.prompts_of_request(request)
            # All of them before the first goes out: a request that cannot be meant changes nothing.
            prompts = {name: prompt_for(name, prompt) for name, prompt in found.items()}
        except StreamsegError as error:
            self._answer_objects(answer, False, str(error))
            return
        self._give(prompts, lambda success, message: self._answer_objects(answer, success, message))

    def _remove(self, request: Any, answer: Answer) -> None:
        try:
            prompts = {request.object_id: {"id": self._objects.known(request.object_id), "remove": True}}
        except StreamsegError as error:
            self._answer_objects(answer, False, str(error))
            return
        self._give(prompts, lambda success, message: self._answer_objects(answer, success, message))

    def _reset(self, request: Any, answer: Answer) -> None:
        prompts = {str(number): {"id": number, "remove": True} for number in self._objects.ids()}
        if not prompts:
            answer({"success": True, "message": "there is no object to remove"})
            return
        self._give(prompts, lambda success, message: answer({"success": success, "message": message}))

    def _give(self, prompts: Mapping[str, Prompt], done: Callable[[bool, str], None]) -> None:
        """Give prompts to the graph, and say once all of them have an answer."""
        left, lock, sentences = set(prompts), threading.Lock(), {}

        def finish(name: str, success: bool, sentence: str) -> None:
            with lock:
                left.discard(name)
                sentences[name] = (success, sentence)
                if left:
                    return
            done(all(good for good, _ in sentences.values()), "; ".join(text for _, text in sentences.values()))

        for name, prompt in prompts.items():
            try:
                future = self._submit(prompt)
            except StreamsegError as error:
                finish(name, False, str(error))
                continue
            future.add_done_callback(self._finisher(name, finish))

    def _finisher(self, name: str, finish: Callable[[str, bool, str], None]) -> Callable[[Future[Applied]], None]:
        def done(future: Future[Applied]) -> None:
            error = future.exception()
            if error is None:
                self._objects.note(future.result(), name)
            finish(name, error is None, str(future.result()) if error is None else str(error))

        return done

    def _answer_objects(self, answer: Answer, success: bool, message: str) -> None:
        names = self._objects.names()
        try:
            answer(
                {
                    "object_ids": list(names.values()),
                    "object_indices": list(names),
                    "success": success,
                    "message": message,
                }
            )
        except Exception as error:  # noqa: BLE001 (whoever asked has gone, and nobody else is the worse for it)
            log.warning("an answer could not be sent: %s", short(error))


class Objects:
    """Who there is: by the results, by the answers since, and by the names that clients gave."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[int, str] = {}
        self._new: dict[int, str] = {}
        """Added, but not in a result yet."""
        self._names: dict[int, str] = {}

    def see(self, message: Any) -> None:
        """Take in a ``Detection2DArray`` of ours."""
        found = {}
        for each in message.detections:
            number = ros_prompts.id_in(each.id)
            if number is not None:
                label = each.results[0].hypothesis.class_id if len(each.results) else ""
                found[number] = str(label)
        with self._lock:
            self._seen = found
            self._new = {number: name for number, name in self._new.items() if number not in found}

    def note(self, applied: Applied, name: str | None) -> None:
        """Take in what came into force.

        Args:
            applied: says it.
            name: what the client calls the object; None if nothing.
        """
        if applied.id is None:
            return
        with self._lock:
            if applied.what == "removed":
                for known in (self._seen, self._new, self._names):
                    known.pop(applied.id, None)
                return
            if name is not None:
                self._names.setdefault(applied.id, name)
            if applied.id not in self._seen:
                self._new[applied.id] = name or str(applied.id)

    def names(self) -> dict[int, str]:
        """Id -> what it is called: by a client, else by its label, else its id."""
        with self._lock:
            return {
                number: self._names.get(number, label) or str(number)
                for number, label in sorted({**self._seen, **self._new}.items())
            }

    def ids(self) -> list[int]:
        """Of all there are."""
        return list(self.names())

    def id_of(self, name: str) -> int | None:
        """The id of an object that is called so, or that has this id; None if there is none."""
        names = self.names()
        number = ros_prompts.id_in(name)
        if number in names:
            return number
        return next((each for each, called in names.items() if called == name), None)

    def known(self, name: str) -> int:
        """The same.

        Raises:
            PromptError: there is none.
        """
        number = self.id_of(name)
        if number is None:
            raise PromptError(f"there is no object {name!r}; {nearest(name, self.names().values())}")
        return number
