"""A folder of files that can be made anew: bounded in sum, those used longest ago go first, none trusted when damaged.

Each has a checksum of its own, over its key too, so one that is damaged or renamed counts as not there. Nobody ever
sees half of one, so several processes may use a folder at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

_CHECKSUM_BYTES = 32
_SWEEP_EVERY = 64


class KeptFiles:
    """Bytes by key, on disk.

    Args:
        folder: where; it is made.
        suffix: of the files' names.
        magic: what the files begin with: their format.
        most_bytes: as much as may be there.

    Raises:
        OSError: the folder cannot be made.
    """

    def __init__(self, folder: Path, suffix: str, magic: bytes, most_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder, self._suffix, self._magic, self._most_bytes = folder, suffix, magic, most_bytes
        self._written = 0
        self._sweep()

    def get(self, key: bytes) -> bytes | None:
        """What was kept; None if it is not there. What is damaged is removed."""
        path = self._path(key)
        try:
            if path.stat().st_size > self._most_bytes:
                return None
            data = path.read_bytes()
        except OSError:
            return None
        head = len(self._magic) + _CHECKSUM_BYTES
        body = data[head:]
        whole = len(data) >= head and data[:head] == self._magic + _checksum(key, body)
        # The last that were used stay.
        with contextlib.suppress(OSError):
            if whole:
                os.utime(path)
            else:
                path.unlink()
        return body if whole else None

    def put(self, key: bytes, body: bytes) -> None:
        """Keep it; where there is no room nothing is kept, which only costs time."""
        with contextlib.suppress(OSError), tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
            try:
                file.write(self._magic + _checksum(key, body))
                file.write(body)
                file.flush()
                Path(file.name).replace(self._path(key))
            except OSError:
                Path(file.name).unlink(missing_ok=True)
                raise
        self._written += 1
        if self._written % _SWEEP_EVERY == 0 or len(body) * _SWEEP_EVERY > self._most_bytes:
            self._sweep()

    def _path(self, key: bytes) -> Path:
        return self._folder / f"{key.hex()}{self._suffix}"

    def _sweep(self) -> None:
        """Remove the files that were used longest ago until the rest is within bounds."""
        found = []
        for path in self._folder.glob(f"*{self._suffix}"):
            with contextlib.suppress(OSError):
                facts = path.stat()
                found.append((facts.st_mtime_ns, facts.st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= self._most_bytes:
                return
            with contextlib.suppress(OSError):
                path.unlink()
            total -= size


def _checksum(key: bytes, body: bytes) -> bytes:
    digest = hashlib.blake2b(key, digest_size=_CHECKSUM_BYTES)
    digest.update(body)
    return digest.digest()
