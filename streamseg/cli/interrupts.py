"""Ctrl-C and SIGTERM: the handlers only note them; the loop that runs the graph acts on them."""

from __future__ import annotations

import signal
import time
from types import FrameType, TracebackType
from typing import Any

_PATIENCE_S = 10.0
_LOOK_S = 0.05
_ONE_S = 0.1
"""Signals so close together are one: `timeout` sends its own twice, to the process and to its group."""
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


class Interrupts:
    """Signals that came while the block ran.

    The first asks for an orderly end, a second one for an end at once. After SIGTERM ten seconds do the same as a
    second signal: whoever sent it, say a service manager, will not wait much longer. In a block within such a block
    what came in the outer one before holds too.
    """

    def __init__(self) -> None:
        self._first: int | None = None
        self._again = False
        self._first_s = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        for name in _NAMES:
            number = getattr(signal, name, None)
            # What the parent ignores (nohup, a background job of a shell without job control) stays ignored.
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)
        for handler in self._before.values():
            outer = getattr(handler, "__self__", None)
            if isinstance(outer, Interrupts) and self._first is None:
                self._first, self._first_s = outer._first, outer._first_s
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def name(self) -> str:
        """Name of the first signal; there is one."""
        return "" if self._first is None else signal.Signals(self._first).name

    @property
    def stop(self) -> bool:
        """Whether an end is asked for."""
        return self._first is not None

    @property
    def stop_now(self) -> bool:
        """Whether an end at once is asked for."""
        polite = self._first is not None and self._first != signal.SIGINT
        return self._again or (polite and time.monotonic() > self._first_s + _PATIENCE_S)

    def wait(self, seconds: float) -> bool:
        """Wait for so long, or until an end is asked for. Returns whether it is."""
        deadline_s = time.monotonic() + seconds
        while not self.stop and (left_s := deadline_s - time.monotonic()) > 0:
            time.sleep(min(left_s, _LOOK_S))
        return self.stop

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._first is None:
            self._first, self._first_s = number, time.monotonic()
        elif number != self._first or time.monotonic() > self._first_s + _ONE_S:
            self._again = True
