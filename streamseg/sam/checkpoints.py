"""Find a model's weights: bundled, in the user's cache, given as a file, or downloaded. No torch here."""

from __future__ import annotations

import logging
import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from streamseg.errors import CheckpointError
from streamseg.sam.files.checksums import sha256_of
from streamseg.sam.models import ModelInfo, brought_by, find

if TYPE_CHECKING:
    from streamseg.sam.files.download import Progress

log = logging.getLogger(__name__)

_LARGEST_WEIGHT = 1e6
"""Far above those of all models here, whose largest, a variance, is below 1000."""


def cache_dir() -> Path:
    """Where downloaded checkpoints are kept: ``$STREAMSEG_CACHE``, or the user's cache folder."""
    chosen = os.environ.get("STREAMSEG_CACHE")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("streamseg")


def expected_path(info: ModelInfo) -> Path:
    """Where the model's own checkpoint is, or will be once it is downloaded."""
    return (cache_dir() if info.folder is None else info.folder) / info.file_name


def is_here(info: ModelInfo) -> bool:
    """Whether its own checkpoint is here."""
    return bool(info.file_name) and expected_path(info).is_file()


def fingerprint(path: Path) -> str:
    """Hexadecimal SHA-256 of a file; read once, and again only if its size or time changes."""
    stat = path.stat()
    return _fingerprint(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=32)
def _fingerprint(path: Path, size_bytes: int, mtime_ns: int) -> str:
    return sha256_of(path)


def weights_of(model: str, checkpoint: str | None) -> dict[str, str | int] | None:
    """Which weights a model runs with: their sum, or size and time of the user's own file. Nothing is read.

    Raises:
        ModelError: there is no such model.
    """
    info = find(model)
    if checkpoint is None:
        return {"sha256": info.sha256 or ""}
    try:
        found = Path(checkpoint).expanduser().stat()
    except OSError:
        return None
    return {"size_bytes": found.st_size, "mtime_ns": found.st_mtime_ns}


def locate(
    info: ModelInfo, checkpoint: Path | None = None, download: bool | None = None, progress: Progress | None = None
) -> Path:
    """The file with the model's weights, its sum verified unless the user chose the file.

    Args:
        info: the model.
        checkpoint: the user's own file. Its sum may be any, since a fine-tuned model is welcome; that it fits the
            network is seen when it is loaded.
        download: whether the model may be downloaded into `cache_dir` if it is not there; None: as is usual for it.
        progress: told of the download; by default a bar on stderr if that is a terminal.

    Raises:
        CheckpointError: the file is missing, damaged, or cannot be had; the message says what to do.
    """
    if checkpoint is not None:
        return _given(info, checkpoint)
    if not info.file_name:
        raise CheckpointError(f"model {info.name!r} has no checkpoint of its own; give yours (--checkpoint FILE)")
    path = expected_path(info)
    if path.is_file():
        _verify(info, path)
        return path
    if info.bundled:
        raise CheckpointError(f"the weights of {info.name!r} should be at {path}; reinstall {_package(info)}")
    if info.url is None or info.sha256 is None or info.size_bytes is None:
        raise CheckpointError(
            f"the checkpoint of {info.name!r} is not here: put it at {path}, or give it with --checkpoint FILE"
        )
    if download is None and info.on_request:
        raise CheckpointError(
            f"the checkpoint of {info.name!r} is not here: 'streamseg models --get {info.name}' downloads "
            f"{info.size_bytes / 1e6:,.0f} MB from {info.url}; or give yours with --checkpoint FILE"
        )
    if download is False:
        raise CheckpointError(
            f"the checkpoint of {info.name!r} is not here: get {info.url} and put it at {path}, or let it be downloaded"
        )
    # Only now: a client of HTTP takes longer to import than a model that is here to be found.
    from streamseg.sam.files.download import ProgressBar, fetch

    if progress is None and sys.stderr.isatty():
        progress = ProgressBar(f"{info.name}: {info.file_name}")
    fetch(info.url, path, info.sha256, info.size_bytes, progress)
    _verify(info, path)
    return path


def check_largest(path: Path, name: str, largest: float) -> None:
    """See whether a weight can be computed with.

    Args:
        path: of the checkpoint.
        name: of the weight.
        largest: of the absolute values of its numbers; NaN if one of them is.

    Raises:
        CheckpointError: it is not finite, or so large that what comes out would not be.
    """
    if not largest <= _LARGEST_WEIGHT:
        raise CheckpointError(
            f"checkpoint {path} cannot be used: expected finite weights up to {_LARGEST_WEIGHT:g}, but {name!r} has "
            f"{largest:g} in it; it is damaged, or its training went wrong"
        )


def _package(info: ModelInfo) -> str:
    return brought_by(info.name).partition(" ")[0] or "its package"


def _given(info: ModelInfo, checkpoint: Path) -> Path:
    path = checkpoint.expanduser()
    if path.is_dir():
        raise CheckpointError(f"checkpoint {path} is a folder; expected a .pth or .safetensors file")
    if path.exists() and not path.is_file():
        raise CheckpointError(f"checkpoint {path} is no regular file; expected a .pth or .safetensors file")
    if not path.is_file():
        raise CheckpointError(f"checkpoint {path} does not exist; check the path, or leave it out to use {info.name!r}")
    try:
        size_bytes = path.stat().st_size
        found = fingerprint(path)
    except OSError as error:
        raise CheckpointError(f"checkpoint {path} cannot be read: {error.strerror or error}") from error
    if path.name == info.file_name and info.size_bytes is not None and size_bytes < info.size_bytes:
        raise CheckpointError(
            f"checkpoint {path} is truncated: {size_bytes:,} bytes of {info.size_bytes:,}; download it again"
        )
    if found != info.sha256:
        log.info("%s is not the original checkpoint of %s (SHA-256 %s); it is used as it is", path, info.name, found)
    return path


def _verify(info: ModelInfo, path: Path) -> None:
    """Raise unless a file of ours has the sum it should have."""
    try:
        found = fingerprint(path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    if found == info.sha256 or info.sha256 is None:
        return
    remedy = f"reinstall {_package(info)}" if info.bundled else "remove it, and it will be downloaded again"
    raise CheckpointError(f"{path} is damaged: SHA-256 {found} instead of {info.sha256}; {remedy}")
