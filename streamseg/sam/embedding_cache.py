"""Image embeddings that are kept, in memory and on disk, so that the same picture is encoded once.

What is kept is found by what it was made from: the pixels that the encoder saw, and the checksum of its weights. So it
holds for the same source, frame and view, whatever they are called, and never for others. Files are bounded in sum, the
oldest go first; each has its own checksum, and one that is damaged counts as not there.
"""

from __future__ import annotations

import hashlib
import struct
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from streamseg.errors import OutputError
from streamseg.sam.encoder import ImageEncoder
from streamseg.sam.files.kept_files import KeptFiles
from streamseg.sam.models import ModelInfo

_MAGIC = b"SSEMB1\0\0"
_HEAD = struct.Struct("<3I")
"""Channels, height, width; then float32."""
_LARGEST = 1 << 14
_SUFFIX = ".embedding"


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
        self._kept: OrderedDict[bytes, np.ndarray] = OrderedDict()
        self._held_bytes = 0
        self._lock = threading.Lock()
        self.hits = 0
        self.misses = 0
        self._files: KeptFiles | None = None
        if folder is not None:
            try:
                self._files = KeptFiles(folder, _SUFFIX, _MAGIC, disk_bytes)
            except OSError as error:
                raise OutputError(f"expected to keep embeddings in {folder}, got: {error.strerror}") from error

    def get(self, key: bytes) -> np.ndarray | None:
        """(C, h, w) float32, read-only; None if it is not there."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
        if found is None and self._files is not None:
            body = self._files.get(key)
            found = None if body is None else _unpacked(body)
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
        if self._files is not None:
            self._files.put(key, _HEAD.pack(*features.shape) + features.tobytes())

    def _keep(self, key: bytes, features: np.ndarray) -> None:
        with self._lock:
            old = self._kept.pop(key, None)
            self._held_bytes -= 0 if old is None else old.nbytes
            self._kept[key] = features
            self._held_bytes += features.nbytes
            while self._held_bytes > self._memory_bytes:
                _, gone = self._kept.popitem(last=False)
                self._held_bytes -= gone.nbytes


class CachedEncoder:
    """An image encoder that asks a cache first.

    Args:
        encoder: that encodes what is not there.
        cache: where it is looked for and kept.
    """

    def __init__(self, encoder: ImageEncoder, cache: EmbeddingCache) -> None:
        self._encoder = encoder
        self._cache = cache
        made_by = (encoder.sha256, encoder.engine, encoder.precision, encoder.device.partition(":")[0])
        self._model = " ".join(made_by).encode()

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

    @property
    def precision(self) -> str:
        """What it computes in."""
        return self._encoder.precision

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


def _unpacked(body: bytes) -> np.ndarray | None:
    if len(body) < _HEAD.size:
        return None
    channels, height, width = _HEAD.unpack_from(body)
    if max(channels, height, width) > _LARGEST or len(body) != _HEAD.size + 4 * channels * height * width:
        return None
    return np.frombuffer(body, np.float32, offset=_HEAD.size).reshape(channels, height, width)
