"""Noticing processes that live but do nothing: stopped, deadlocked, or stuck in a driver."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence

from streamseg.runtime.supervision.processes import Child
from streamseg.transport.heartbeats import Heartbeats

STARTING_S = 600.0
"""Silence allowed until the first frame is done: loading a large model, the first call to a GPU, compiling."""
STUCK_S = 900.0
"""One thing, say one frame, may take so long; the slowest model takes a minute on a slow processor."""
_EVERY_S = 0.5
_AWAY_S = 5.0
_MOMENT_S = 1.0


class Watchdog:
    """Kills what hangs; that it is dead is then seen like any other death.

    Args:
        fd: of the heartbeats.
        identities: of the processes, in the order of their numbers.
        hang_s: silence that counts as a hang.
    """

    def __init__(self, fd: int, identities: Sequence[str], hang_s: float) -> None:
        self._heartbeats = Heartbeats(fd, len(identities))
        self._identities = identities
        self._hang_s = hang_s
        self._checked_s = time.monotonic()
        self._started_s = dict.fromkeys(identities, self._checked_s)

    def reset(self, identity: str) -> int:
        """Another process takes this identity. Returns its number."""
        number = self._identities.index(identity)
        self._heartbeats.clear(number)
        self._started_s[identity] = time.monotonic()
        return number

    def kill_hung(self, children: Mapping[str, Child], past_first_frame: Collection[str]) -> None:
        """Kill every process that hangs.

        Args:
            children: the processes by identity.
            past_first_frame: those that have finished a frame.
        """
        now_s = time.monotonic()
        if now_s - self._checked_s < _EVERY_S:
            return
        # Were we ourselves away (stopped, the machine asleep), the others may have been, and get time to come back.
        away = now_s - self._checked_s > _AWAY_S
        self._checked_s = now_s
        for number, identity in enumerate(self._identities if not away else ()):
            child = children[identity]
            verdict = self._verdict(number, child, identity in past_first_frame) if child.alive else ""
            if verdict:
                child.verdict = verdict
                child.kill()

    def working(self, children: Mapping[str, Child]) -> bool:
        """Whether some living process has been at one thing for more than a moment."""
        busy_s = [self._heartbeats.busy_s(n) for n, identity in enumerate(self._identities) if children[identity].alive]
        return any(each is not None and each > _MOMENT_S for each in busy_s)

    def _verdict(self, number: int, child: Child, past_first_frame: bool) -> str:
        silent_s = self._heartbeats.silent_s(number)
        if silent_s is None:
            silent_s = time.monotonic() - self._started_s[child.identity]
        if silent_s > self._hang_s and child.stopped:
            return f"was stopped by a signal and gave no sign of life for {silent_s:.0f} s, so it was killed"
        if silent_s > (self._hang_s if past_first_frame else max(self._hang_s, STARTING_S)):
            return f"gave no sign of life for {silent_s:.0f} s, so it was killed"
        busy_s = self._heartbeats.busy_s(number)
        if busy_s is not None and busy_s > STUCK_S:
            return f"was at one thing for {busy_s:.0f} s, so it was killed"
        return ""
