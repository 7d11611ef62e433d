"""The browsers that watch: each has room for one picture, and gets the next when it has shown those before.

A slow one gets fewer pictures, never older ones, and nobody waits for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

IN_FLIGHT = 2
"""Pictures on their way to a browser at once: with one a long line would be idle while the browser answers."""
MOST_WORDS = 500
"""Messages that wait for a browser which takes none; then it is let go."""


class Line(Protocol):
    """What is needed of a websocket."""

    async def send_text(self, data: str) -> None:
        """Send a message."""

    async def send_bytes(self, data: bytes) -> None:
        """Send a picture."""


class Viewer:
    """One browser.

    Args:
        number: tells it from others.
        stream: that it watches.
    """

    def __init__(self, number: int, stream: str) -> None:
        self.number = number
        self.stream = stream
        self._words: deque[str] = deque()
        self._latest: dict[str, str] = {}
        self._picture: bytes | None = None
        self._in_flight = 0
        self._news = asyncio.Event()
        self._gone = False

    @property
    def ready(self) -> bool:
        """Whether a picture would go to it at once. May be asked from any thread."""
        return self._picture is None and self._in_flight < IN_FLIGHT

    def say(self, text: str) -> None:
        """Send a message, as soon as it takes one."""
        self._words.append(text)
        self._gone |= len(self._words) > MOST_WORDS
        self._news.set()

    def say_latest(self, key: str, text: str) -> None:
        """Send a message in the place of one with the same key that is still waiting."""
        self._latest[key] = text
        self._news.set()

    def show(self, picture: bytes) -> None:
        """Send a picture, in the place of one that is still waiting."""
        self._picture = picture
        self._news.set()

    def shown(self) -> None:
        """It has shown a picture."""
        self._in_flight = max(0, self._in_flight - 1)
        self._news.set()

    def watch(self, stream: str) -> None:
        """From now on it watches another stream."""
        if stream != self.stream:
            self.stream, self._picture = stream, None

    def leave(self) -> None:
        """End `serve` once everything is said."""
        self._gone = True
        self._news.set()

    async def serve(self, line: Line) -> None:
        """Send until `leave`, or until it takes no more messages."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._words and len(self._words) <= MOST_WORDS:
                await line.send_text(self._words.popleft())
            while self._latest:
                await line.send_text(self._latest.pop(next(iter(self._latest))))
            if self._gone:
                return
            if self._picture is not None and self._in_flight < IN_FLIGHT:
                picture, self._picture = self._picture, None
                self._in_flight += 1
                await line.send_bytes(picture)
