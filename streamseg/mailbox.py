"""Where a reading thread leaves what it has read for the thread that works with it."""

from __future__ import annotations

import threading
from typing import Generic, Literal, TypeVar

Item = TypeVar("Item")
Policy = Literal["every-frame", "freshest"]


class Mailbox(Generic[Item]):
    """Room for one item.

    With ``every-frame`` the reader waits until it is taken; with ``freshest`` a newer one takes the place of one that
    nobody has taken, which is counted.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._change = threading.Condition()
        self._item: Item | None = None
        self._closed = False
        self.dropped = 0

    def put(self, item: Item) -> bool:
        """Leave an item. False if the mailbox has been closed, so that the reader should end."""
        with self._change:
            self._change.wait_for(lambda: self._item is None or self._policy == "freshest" or self._closed)
            if self._closed:
                return False
            self.dropped += self._item is not None
            self._item = item
            self._change.notify_all()
            return True

    def take(self) -> Item | None:
        """The waiting item, if there is one."""
        with self._change:
            return self._take()

    def wait(self) -> Item | None:
        """The next item; None once the mailbox is closed and empty."""
        with self._change:
            self._change.wait_for(lambda: self._item is not None or self._closed)
            return self._take()

    @property
    def closed(self) -> bool:
        """Whether it takes no more items."""
        return self._closed

    @property
    def waiting(self) -> bool:
        """Whether an item is waiting to be taken."""
        return self._item is not None

    def keep_every(self) -> None:
        """From now on no item is dropped for a newer one."""
        with self._change:
            self._policy = "every-frame"

    def close(self) -> None:
        """Take no more items and let whoever waits go; an item that still waits can be taken."""
        with self._change:
            self._closed = True
            self._change.notify_all()

    def _take(self) -> Item | None:
        item, self._item = self._item, None
        self._change.notify_all()
        return item
