"""Prompts for a graph that is running: from values to a command, and from the answer to a result or an error."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec

from streamseg.commands import LARGEST_BYTES, Answer, Applied
from streamseg.errors import PromptError, rebuild
from streamseg.regular_files import read_regular
from streamseg.runtime.library import given
from streamseg.runtime.supervision.command_queue import CommandQueue
from streamseg.transport import command_socket
from streamseg.types import MASK_URL

_MASK_MAX_BYTES = LARGEST_BYTES * 3 // 4
"""As text it is a third longer."""


def send_prompt(
    control: str | os.PathLike[str],
    prompt: Mapping[str, Any],
    *,
    node: str | None = None,
    timeout_s: float | None = None,
    waiting: Callable[[], None] | None = None,
) -> Applied:
    """Add, correct or remove an object of a run that was started with ``--control PATH``, and wait until it is done.

        streamseg.send_prompt("run.sock", {"id": 3, "label": "cup", "box": [10, 20, 30, 40]})

    Args:
        control: the path.
        prompt: as the entries of a prompts file, say ``{"id": 3, "negative": [[5, 6]]}`` or
            ``{"id": 3, "remove": True}``; a mask may also be an array (height, width). Without a frame and a time it
            holds as soon as possible.
        node: which node it is for, if several of the graph take prompts.
        timeout_s: how long to wait for the answer; None waits until the run answers or ends. Ctrl-C takes the prompt
            back.
        waiting: called once if the answer takes more than two seconds and there is no `timeout_s`.

    Returns:
        Which object, and from which frame on.

    Raises:
        PromptError: the run refused it; says what is possible. Nothing was changed.
        RunError: nobody listens there, or the run ended first.
    """
    return _result(command_socket.ask(Path(control), node, command_of(prompt), timeout_s, waiting))


def submit(command_queue: CommandQueue, prompt: Mapping[str, Any], node: str | None = None) -> Future[Applied]:
    """The same for a run of this process; the result comes while the graph goes on."""
    future: Future[Applied] = Future()
    future.set_running_or_notify_cancel()

    def reply(answer: Answer) -> None:
        if isinstance(answer, Applied):
            future.set_result(answer)
        else:
            future.set_exception(rebuild(answer.kind, answer.message))

    command_queue.submit(node, command_of(prompt), reply)
    return future


def command_of(prompt: Mapping[str, Any]) -> bytes:
    """A prompt as msgpack for the node that takes it; the picture of its mask travels along.

    Raises:
        PromptError: the mask cannot be read, or a value is of no type that a prompt may have.
    """
    found = given.prompt(prompt)
    mask = found.get("mask")
    if mask is not None and not mask.startswith(MASK_URL):
        try:
            picture = read_regular(Path(mask).expanduser(), _MASK_MAX_BYTES)
        except OSError as error:
            reason = error.strerror or error
            raise PromptError(
                f"prompt for object {prompt.get('id')}: the mask {mask} cannot be read: {reason}"
            ) from error
        found["mask"] = MASK_URL + base64.b64encode(picture).decode()
    try:
        return msgspec.msgpack.encode(found, enc_hook=_plain)
    except (TypeError, ValueError, OverflowError) as error:
        raise PromptError(f"prompt for object {prompt.get('id')}: {error}") from error


def _plain(value: Any) -> Any:
    """Numbers and arrays of numpy as Python's own."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"expected numbers, text and lists, got {type(value).__name__}")


def _result(answer: Answer) -> Applied:
    if isinstance(answer, Applied):
        return answer
    raise rebuild(answer.kind, answer.message)
