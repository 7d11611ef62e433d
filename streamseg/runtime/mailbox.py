"""Where a source's reading thread leaves the next frame for its sending thread."""

from __future__ import annotations

import threading
from typing import Any, Literal

from streamseg.node import Captured


class Mailbox:
    """Room for one frame.

    With ``every-frame`` the reader waits until it is taken; with ``freshest`` a newer frame takes the place of one
    that nobody has taken, which is counted. That is the only place where live frames are dropped.
    """

    def __init__(self, policy: Literal["every-frame", "freshest"]) -> None:
        self._policy = policy
        self._change = threading.Condition()
        self._item: Captured[Any] | None = None
        self._closed = False
        self.dropped = 0

    def put(self, item: Captured[Any]) -> bool:
        """Leave a frame. False if the mailbox has been closed, so that the reader should end."""
        with self._change:
            if self._policy == "every-frame":
                self._change.wait_for(lambda: self._item is None or self._closed)
            if self._closed:
                return False
            self.dropped += self._item is not None
            self._item = item
            return True

    def take(self) -> Captured[Any] | None:
        """The waiting frame, if there is one."""
        with self._change:
            item, self._item = self._item, None
            self._change.notify_all()
            return item

    @property
    def waiting(self) -> bool:
        """Whether a frame is waiting to be taken."""
        return self._item is not None

    def close(self) -> None:
        """Take no more frames and let a waiting reader go; a frame that still waits can be taken."""
        with self._change:
            self._closed = True
            self._change.notify_all()
