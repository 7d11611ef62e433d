"""Reading a source that may block for long, so that the iteration can still be ended at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from streamseg.video.open import Picture, Reader


class Handover:
    """Iterates over a reader that runs in a thread of its own.

    A read from a camera or a network that has gone silent cannot be interrupted, it only times out. Here nobody has to
    wait for that: `stop` ends the iteration, and the thread closes the reader whenever the read comes back.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._change = threading.Condition()
        self._picture: Picture | None = None
        self._error: Exception | None = None
        self._ended = False
        self._stopped = False
        self._thread = threading.Thread(target=self._read, name="capture", daemon=True)

    def __iter__(self) -> Iterator[Picture]:
        self._thread.start()
        try:
            while (picture := self._take()) is not None:
                yield picture
        finally:
            self.stop()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """End the iteration. May be called from any thread, and twice."""
        self._reader.stop()
        with self._change:
            self._stopped = True
            self._change.notify_all()

    def _take(self) -> Picture | None:
        with self._change:
            self._change.wait_for(lambda: self._picture is not None or self._ended or self._stopped)
            picture, self._picture = self._picture, None
            self._change.notify_all()
            return None if self._stopped else picture

    def _read(self) -> None:
        try:
            with self._reader as pictures:
                for picture in pictures:
                    if not self._hand(picture):
                        break
        except Exception as error:  # noqa: BLE001 (it is raised again by the iteration)
            self._error = error
        with self._change:
            self._ended = True
            self._change.notify_all()

    def _hand(self, picture: Picture) -> bool:
        with self._change:
            self._change.wait_for(lambda: self._picture is None or self._stopped)
            self._picture = picture
            self._change.notify_all()
            return not self._stopped
