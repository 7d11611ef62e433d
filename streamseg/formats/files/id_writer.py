"""Pictures of ids that are packed and written in threads, while the next ones are drawn."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from streamseg.formats.files.images import write_file
from streamseg.masks.png import encode_labels

_THREADS = 2
_AHEAD = 6
"""Pictures that are there at the most, drawn or written."""


class IdWriter:
    """Writes pictures of ids as PNGs: of 8 bits with the palette of VOC, of 16 bits in gray.

        with IdWriter(clip.size, np.uint8) as writer:
            picture = writer.blank()
            shape.paint(picture, 3)
            writer.write(path, picture)

    All is written once the block ends in good order. What went wrong is raised by a later call, or at the end.

    Args:
        size: (height, width) of the pictures.
        kind: uint8 or uint16.
    """

    def __init__(self, size: tuple[int, int], kind: type[np.uint8 | np.uint16]) -> None:
        self._size = size
        self._kind = kind
        self._threads = ThreadPoolExecutor(_THREADS, "pictures")
        self._written: deque[tuple[Future[None], np.ndarray]] = deque()

    def blank(self) -> np.ndarray:
        """(H, W) zeros to draw into, and to be given to `write`.

        Raises:
            OutputError: an earlier picture could not be written.
        """
        if len(self._written) < _AHEAD:
            return np.zeros(self._size, self._kind)
        # Again the same memory: to get fresh one takes about as long as to draw.
        done, picture = self._written.popleft()
        done.result()
        picture.fill(0)
        return picture

    def write(self, path: Path, picture: np.ndarray, pack: Callable[[np.ndarray], bytes] = encode_labels) -> None:
        """Write a picture that came from `blank`; its folder is made.

        Args:
            path: of the file.
            picture: not to be touched any more.
            pack: makes the file of it.
        """
        self._written.append((self._threads.submit(lambda: write_file(path, pack(picture))), picture))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(cancel_futures=kind is not None)
        for done, _ in self._written if kind is None else ():
            done.result()
