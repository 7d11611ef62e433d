"""Image embeddings that are kept, in memory and on disk, so that the same picture is encoded once.

What is kept is found by what it was made from: the pixels that the encoder saw, and the checksum of its weights. So it
holds for the same source, frame and view, whatever they are called, and never for others. Files are bounded in sum, the
oldest go first; each has its own checksum, and one that is damaged counts as not there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from streamseg.errors import OutputError
from streamseg.sam.encoder import ImageEncoder
from streamseg.sam.models import ModelInfo

_MAGIC = b"SSEMB1\0\0"
_HEAD = struct.Struct("<8s32s3I")
"""Magic, checksum of what follows it, channels, height, width; then float32."""
_LARGEST = 1 << 14
_SUFFIX = ".embedding"
_SWEEP_EVERY = 64


class EmbeddingCache:
    """Embeddings by key.

    Args:
        memory_bytes: as much of them as may be in memory.
        folder: where they are on disk; None keeps none there. It is made.
        disk_bytes: as much of them as may be there.

    Raises:
        OutputError: the folder cannot be made.
    """

    def __init__(self, memory_bytes: int, folder: Path | None = None, disk_bytes: int = 0) -> None:
        self._memory_bytes = memory_bytes
        self._folder = folder
        self._disk_bytes = disk_bytes
        self._kept: OrderedDict[bytes, np.ndarray] = OrderedDict()
        self._held_bytes = 0
        self._lock = threading.Lock()
        self._written = 0
        self.hits = 0
        self.misses = 0
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            except OSError as error:
                raise OutputError(f"expected to keep embeddings in {folder}, got: {error.strerror}") from error
            self._sweep()

    def get(self, key: bytes) -> np.ndarray | None:
        """(C, h, w) float32, read-only; None if it is not there."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
        if found is None:
            found = self._read(key)
            if found is not None:
                self._keep(key, found)
        self.hits += found is not None
        self.misses += found is None
        return found

    def put(self, key: bytes, features: np.ndarray) -> None:
        """Keep (C, h, w) float32."""
        features = np.array(features, np.float32)
        features.flags.writeable = False
        self._keep(key, features)
        if self._folder is not None:
            self._write(self._folder, key, features)

    def _keep(self, key: bytes, features: np.ndarray) -> None:
        with self._lock:
            old = self._kept.pop(key, None)
            self._held_bytes -= 0 if old is None else old.nbytes
            self._kept[key] = features
            self._held_bytes += features.nbytes
            while self._held_bytes > self._memory_bytes:
                _, gone = self._kept.popitem(last=False)
                self._held_bytes -= gone.nbytes

    def _path(self, folder: Path, key: bytes) -> Path:
        return folder / f"{key.hex()}{_SUFFIX}"

    def _read(self, key: bytes) -> np.ndarray | None:
        if self._folder is None:
            return None
        path = self._path(self._folder, key)
        try:
            if path.stat().st_size > self._disk_bytes:
                return None
            data = path.read_bytes()
        except OSError:
            return None
        found = _unpacked(key, data)
        # The last that were used stay.
        with contextlib.suppress(OSError):
            if found is None:
                path.unlink()
            else:
                os.utime(path)
        return found

    def _write(self, folder: Path, key: bytes, features: np.ndarray) -> None:
        data = _packed(key, features)
        # Nobody ever sees half a file; where there is no room nothing is kept, which only costs time.
        with contextlib.suppress(OSError), tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            try:
                file.write(data)
                Path(file.name).replace(self._path(folder, key))
            except OSError:
                Path(file.name).unlink(missing_ok=True)
                raise
        self._written += 1
        if self._written % _SWEEP_EVERY == 0 or len(data) * _SWEEP_EVERY > self._disk_bytes:
            self._sweep()

    def _sweep(self) -> None:
        """Remove the files that were used longest ago until the rest is within bounds."""
        if self._folder is None:
            return
        found = []
        for path in self._folder.glob(f"*{_SUFFIX}"):
            with contextlib.suppress(OSError):
                facts = path.stat()
                found.append((facts.st_mtime_ns, facts.st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= self._disk_bytes:
                return
            with contextlib.suppress(OSError):
                path.unlink()
            total -= size


class CachedEncoder:
    """An image encoder that asks a cache first.

    Args:
        encoder: that encodes what is not there.
        cache: where it is looked for and kept.
    """

    def __init__(self, encoder: ImageEncoder, cache: EmbeddingCache) -> None:
        self._encoder = encoder
        self._cache = cache
        self._model = f"{encoder.sha256} {encoder.engine} {encoder.device.partition(':')[0]}".encode()

    @property
    def info(self) -> ModelInfo:
        """Of the model."""
        return self._encoder.info

    @property
    def sha256(self) -> str:
        """Of the checkpoint file."""
        return self._encoder.sha256

    @property
    def device(self) -> str:
        """As torch names it."""
        return self._encoder.device

    @property
    def engine(self) -> str:
        """What computes."""
        return self._encoder.engine

    def encode(self, images_rgb: Sequence[np.ndarray]) -> list[np.ndarray]:
        """As `ImageEncoder.encode`; what is given is read-only."""
        keys = [self._key(image) for image in images_rgb]
        found = [self._cache.get(key) for key in keys]
        missing = [position for position, each in enumerate(found) if each is None]
        made = self._encoder.encode([images_rgb[position] for position in missing]) if missing else []
        for position, features in zip(missing, made, strict=True):
            self._cache.put(keys[position], features)
            found[position] = features
        return [each for each in found if each is not None]

    def _key(self, image_rgb: np.ndarray) -> bytes:
        digest = hashlib.blake2b(self._model, digest_size=32)
        digest.update(str(image_rgb.shape).encode())
        digest.update(np.ascontiguousarray(image_rgb).data)
        return digest.digest()


def _packed(key: bytes, features: np.ndarray) -> bytes:
    body = struct.pack("<3I", *features.shape) + features.tobytes()
    return _MAGIC + _checksum(key, body) + body


def _unpacked(key: bytes, data: bytes) -> np.ndarray | None:
    if len(data) < _HEAD.size:
        return None
    magic, checksum, channels, height, width = _HEAD.unpack_from(data)
    if magic != _MAGIC or max(channels, height, width) > _LARGEST or checksum != _checksum(key, data[40:]):
        return None
    if len(data) != _HEAD.size + 4 * channels * height * width:
        return None
    return np.frombuffer(data, np.float32, offset=_HEAD.size).reshape(channels, height, width)


def _checksum(key: bytes, body: bytes) -> bytes:
    return hashlib.blake2b(key + body, digest_size=32).digest()
