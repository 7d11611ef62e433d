"""A node that takes commands."""

from __future__ import annotations

import os
import time
from typing import Any, Literal

import msgspec

from streamseg.commands import Applied, Reply
from streamseg.errors import UsageError
from streamseg.messages import Frame
from streamseg.node import Node


class Order(msgspec.Struct, forbid_unknown_fields=True):
    """What it shall do."""

    do: Literal["answer", "wait", "refuse", "break", "die", "forget"]


class Told(Node[Frame, None]):
    """Answers at once, with the next frame, never, or dies."""

    takes_commands = Order

    def setup(self) -> None:
        self._waiting: list[Reply] = []

    def process(self, message: Frame) -> None:
        for reply in self._waiting:
            reply(Applied(what="done", id=1, stream=message.stamp.stream, frame=message.stamp.index))
        self._waiting.clear()

    def on_command(self, command: Any, reply: Reply) -> None:
        if command.do == "answer":
            reply(Applied(what="done", id=0, stream="", frame=0))
        elif command.do == "wait":
            self._waiting.append(reply)
        elif command.do == "refuse":
            raise UsageError("not today")
        elif command.do == "break":
            raise KeyError("something unforeseen")
        elif command.do == "die":
            os.kill(os.getpid(), 9)


class SlowTold(Told):
    """Takes its time to be set up, as a large model does."""

    def setup(self) -> None:
        super().setup()
        time.sleep(2)
