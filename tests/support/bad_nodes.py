"""Nodes with bad manners, each chosen by an option: what they do must cost their frame, or end in a sentence."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from support.toy_nodes import Counter, Summed

from streamseg.messages import Frame
from streamseg.node import Captured, Node, NodeConfig


class UnprintableError(Exception):
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


class Bad(Node[Frame, Summed]):
    """Behaves as `Sum`, except at frame 3, or at each frame as `hows` says."""

    class Config(NodeConfig):
        how: str = ""
        hows: list[str] = []
        path: str = ""

    def setup(self) -> None:
        self._kept: Summed | None = None
        if self.config.how == "set up":
            raise RuntimeError("boom")
        if self.config.how == "exit from setup":
            sys.exit(0)
        if self.config.how == "allow itself few files":
            resource.setrlimit(resource.RLIMIT_NOFILE, (12, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        if self.config.how == "use up all files":
            resource.setrlimit(resource.RLIMIT_NOFILE, (70, 70))
            self._open = [open(os.devnull) for _ in range(70)]  # noqa: PTH123, SIM115 (they stay open)
        if self.config.how == "leave a child":
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
            Path(self.config.path).write_text(str(child.pid))
        if self.config.how == "print":
            print('{"not": "a report"}', flush=True)

    def describe(self) -> dict[str, Any]:
        return {"x": object()} if self.config.how == "describe at last" and self._kept is not None else {}

    def close(self) -> None:
        if self.config.how == "close":
            raise RuntimeError("boom")
        if self.config.how == "exit from close":
            sys.exit(4)

    def ready(self, message: Frame) -> bool:
        if self._how(message.stamp.seq) == "ask":
            raise ValueError("is it ready?")
        return self.config.how != "never ready" or message.stamp.seq < 3

    def process(self, message: Frame) -> Any:
        good = Summed(message, int(message.image_rgb.sum()), message.image_rgb * 2)
        self._kept = self._kept or good
        how = self._how(message.stamp.seq).replace(" ", "_")
        return getattr(self, "_" + how, _good)(good) if how else good

    def _how(self, seq: int) -> str:
        if self.config.hows:
            return self.config.hows[seq] if seq < len(self.config.hows) else ""
        return self.config.how if seq == 3 else ""

    def _a_number(self, good: Summed) -> Any:
        return 42

    def _a_kept_one(self, good: Summed) -> Any:
        return self._kept

    def _another_message(self, good: Summed) -> Any:
        return good.frame

    def _complex_numbers(self, good: Summed) -> Any:
        return Summed(good.frame, 0, np.zeros(9, complex))

    def _an_object(self, good: Summed) -> Any:
        return Summed(good.frame, object(), good.doubled)  # type: ignore[arg-type]

    def _a_huge_number(self, good: Summed) -> Any:
        return Summed(good.frame, 1 << 70, good.doubled)

    def _half_a_letter(self, good: Summed) -> Any:
        return Summed(good.frame, "\ud800", good.doubled)  # type: ignore[arg-type]

    def _what_nobody_can_read(self, good: Summed) -> Any:
        return Summed(good.frame, "forty-two", good.doubled)  # type: ignore[arg-type]

    def _unprintable(self, good: Summed) -> Any:
        raise UnprintableError

    def _half_a_letter_in_an_error(self, good: Summed) -> Any:
        raise ValueError("a\ud800b")

    def _an_exit(self, good: Summed) -> Any:
        sys.exit(0)

    def _a_canceled_task(self, good: Summed) -> Any:
        raise asyncio.CancelledError("too late")

    def _a_long_error(self, good: Summed) -> Any:
        raise ValueError("x" * 100_000_000)

    def _a_long_line(self, good: Summed) -> Any:
        for _ in range(1000):
            os.write(2, b"y" * 65536)
        return good


class ExitingCounter(Counter):
    """Ends itself while it reads."""

    def produce(self) -> Iterator[Captured[Frame]]:
        for index, captured in enumerate(super().produce()):
            if index == 3:
                sys.exit(0)
            yield captured


def _good(good: Summed) -> Any:
    return good


class BadCounter(Counter):
    """Gives a frame that is none, one of another number, and two good ones."""

    def produce(self) -> Iterator[Captured[Frame]]:
        for index, captured in zip(range(4), super().produce(), strict=False):
            make = captured.make
            if index == 0:
                captured.make = lambda stamp: 42  # type: ignore[assignment,return-value]
            if index == 1:
                captured.make = lambda stamp, make=make: make(msgspec.structs.replace(stamp, seq=0))
            yield captured


class Post(Node[Frame, None]):
    """A sink whose copies each have a share of the frames."""

    replicable = True

    class Config(NodeConfig):
        folder: str

    def setup(self) -> None:
        self._seqs: list[int] = []
        self._ended: list[str] = []

    def process(self, message: Frame) -> None:
        time.sleep(0.005)
        self._seqs.append(message.stamp.seq)

    def finish(self, stream: str) -> None:
        self._ended.append(stream)

    def close(self) -> None:
        facts = {"seqs": self._seqs, "ended": self._ended, "stopped": sorted(self.context.stopped)}
        Path(self.config.folder, f"{os.getpid()}.json").write_text(json.dumps(facts))
