"""The commits of a recording: when one is due, the thread that makes it, and the log that they are written to."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from streamseg import commits
from streamseg.commits import Began, CommitLog, Committed
from streamseg.jobs import Job

_PIECE_S = 2.0
_MOST_IN_PIECE = 250
"""Frames after which a commit waits for the one before rather than grow the next one further."""


class Commits:
    """Makes the commits of one folder, one after the other. Without a job there is no log of them.

    Args:
        folder: where the log is.
        root: a folder from which on no part of the path may be a link; None for `folder`.
        job: what the log is about; it goes on with a log of the same job, and begins a new one otherwise.

    Raises:
        OutputError: the log cannot be read or written.
    """

    def __init__(self, folder: Path, job: Job | None, root: Path | None = None) -> None:
        self.last: Committed | None = None
        """The last commit of an earlier run of the job, to go on from there."""
        self._log = None if job is None else self._open(folder, job, root)
        self._every_s = _PIECE_S if job is None else job.commit_s
        self._last_s = time.monotonic()
        self._since = 0
        self._soon = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._in_progress: Future[None] | None = None
        self.failed = False
        """Whether one failed. There are no further ones then: what they would cover has a hole."""

    @property
    def logged(self) -> bool:
        """Whether there is a log, so that files have to be durable before a commit is in it."""
        return self._log is not None

    @property
    def behind(self) -> bool:
        """Whether there are frames that no commit has begun to cover, and one may still do it."""
        return self._since > 0 and not self.failed

    @property
    def due(self) -> bool:
        """Whether it is time to begin the next one."""
        if self.failed:
            return False
        if self._since >= _MOST_IN_PIECE:
            return True
        busy = self._in_progress is not None and not self._in_progress.done()
        return not busy and (self._soon or time.monotonic() - self._last_s >= self._every_s)

    def count(self, *, soon: bool = False) -> None:
        """One more frame is whole in every file.

        Args:
            soon: commit it as soon as the commit before is over.
        """
        self._since += 1
        self._soon |= soon

    def begin(self, work: Callable[[], Committed]) -> None:
        """Let the thread make one that covers all frames so far; the one before must have been waited for.

        Args:
            work: finishes the files, which have to be durable then if there is a log, and says how far they are.
        """
        self._in_progress = self._thread.submit(self._commit, work)
        self._since = 0
        self._soon = False
        self._last_s = time.monotonic()

    def wait(self) -> None:
        """Wait for the one in progress.

        Raises:
            OutputError: it failed; said once.
        """
        in_progress, self._in_progress = self._in_progress, None
        if in_progress is not None:
            try:
                in_progress.result()
            except BaseException:
                self.failed = True
                raise

    def close(self) -> None:
        """Wait for the thread and let go of the log."""
        self._thread.shutdown()
        if self._log is not None:
            self._log.close()

    def _open(self, folder: Path, job: Job, root: Path | None) -> CommitLog:
        before = commits.read(folder) if job.begun else None
        if before is not None and before.began.facts != job.facts:
            before = None
        self.last = None if before is None else before.last
        return CommitLog(folder, Began(job.facts, job.restarts), before, root=root)

    def _commit(self, work: Callable[[], Committed]) -> None:
        committed = work()
        if self._log is not None:
            self._log.append(committed)
