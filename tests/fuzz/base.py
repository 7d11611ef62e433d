"""What the targets of fuzzing share."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

SEPARATOR = b"\xc1\xc1"
"""Between the parts of a message; msgpack never uses this byte."""
PIXELS_MAX = 1 << 22
"""What is allowed but larger is slow."""


class Target(NamedTuple):
    """Something that takes bytes, and a few that it takes gladly."""

    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    max_bytes: int = 4096


def file_of(suffix: str, data: bytes) -> Path:
    path = folder_of_inputs() / f"input{suffix}"
    path.write_bytes(data)
    return path


@functools.cache
def folder_of_inputs() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="streamseg-fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
