"""Fetch one file over HTTP: resumable, verified, moved into place in one step."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from streamseg.errors import CheckpointError
from streamseg.sam.files.checksums import sha256_of

Progress = Callable[[int, int | None], None]
"""Called with (bytes here, bytes in all or None if unknown)."""

_CHUNK_BYTES = 1 << 20
_TIMEOUT_S = 30.0


def fetch(url: str, target: Path, sha256: str, size_bytes: int, progress: Progress | None = None) -> None:
    """Download `url` to `target`, going on where an earlier attempt stopped.

    The bytes collect in ``<target>.part``, which stays if the connection breaks and is removed if the finished file
    has the wrong sum. `target` appears only after its sum was found right. Several processes may ask for the same
    file: one downloads, the others wait for it.

    Raises:
        CheckpointError: the server cannot be reached, breaks off, or sends other bytes than expected; or the
            folder cannot be written. The message has the URL and the path to put the file at.
    """
    part = target.with_name(target.name + ".part")
    by_hand = f"get {url} by other means and put it at {target}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _only_one(target):
            if target.exists():
                return
            _fetch_all(url, part, size_bytes, progress or (lambda done, total: None))
            found = sha256_of(part)
            if found != sha256:
                part.unlink()
                raise CheckpointError(
                    f"{url} gave a file with SHA-256 {found} instead of {sha256}; it was removed. "
                    f"Try again, or {by_hand}"
                )
            part.replace(target)
    except urllib.error.HTTPError as error:
        # Read what it says, then close: it is also an open response.
        error.close()
        raise CheckpointError(
            f"{url}: the server answered {error.code} {error.reason}; try later, or {by_hand}"
        ) from None
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        kept = f" {part.stat().st_size:,} bytes are kept and the next try goes on from there." if part.exists() else ""
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise CheckpointError(f"cannot download {url}: {reason}.{kept} Offline? Then {by_hand}") from error
    except OSError as error:
        raise CheckpointError(
            f"cannot write {part}: {error.strerror or error}; free some space, or set STREAMSEG_CACHE to another folder"
        ) from error


@contextlib.contextmanager
def _only_one(target: Path) -> Iterator[None]:
    """Hold the lock of `target` among all processes of this machine; it goes with its holder."""
    with target.with_name(target.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch_all(url: str, part: Path, size_bytes: int, progress: Progress) -> None:
    """Ask again for the rest as long as every attempt brings something."""
    while (before := _size(part)) < size_bytes:
        try:
            _fetch_rest(url, part, size_bytes, progress)
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError):
            if _size(part) == before:
                raise
        else:
            if _size(part) == before:
                raise ConnectionError("the server sent nothing")


def _fetch_rest(url: str, part: Path, size_bytes: int, progress: Progress) -> None:
    done = _size(part)
    request = urllib.request.Request(url, headers={"User-Agent": "streamseg"})
    if done:
        request.add_header("Range", f"bytes={done}-")
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
        if done and response.status != http.client.PARTIAL_CONTENT:
            done = 0  # The server cannot resume and starts over; so do we.
        with part.open("ab" if done else "wb") as file:
            # Never more than expected: a wrong server must not fill the disk.
            while done < size_bytes and (chunk := response.read(min(_CHUNK_BYTES, size_bytes - done))):
                file.write(chunk)
                done += len(chunk)
                progress(done, size_bytes)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


class ProgressBar:
    """A `Progress` that draws one line on stderr, at most ten times a second."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._drawn_s = 0.0

    def __call__(self, done: int, total: int | None) -> None:
        """Draw `done` of `total` bytes."""
        now_s = time.monotonic()
        finished = done == total
        if not finished and now_s - self._drawn_s < 0.1:
            return
        self._drawn_s = now_s
        share = done / total if total else 0.0
        bar = "#" * round(30 * share)
        of = f" of {total / 1e6:,.0f}" if total else ""
        sys.stderr.write(f"\r{self._label} [{bar:<30}] {done / 1e6:,.0f}{of} MB" + ("\n" if finished else ""))
        sys.stderr.flush()
