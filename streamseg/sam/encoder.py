"""The first half of SAM: pictures in, features out. No torch here: an engine computes them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from PIL import Image

from streamseg.errors import UsageError
from streamseg.sam.engines import EncoderEngine
from streamseg.sam.geometry import Geometry, fit
from streamseg.sam.models import ModelInfo


class ImageEncoder:
    """A model's image encoder with its weights, on a device. See `loading.load_encoder`."""

    def __init__(self, info: ModelInfo, engine: EncoderEngine, sha256: str) -> None:
        self.info = info
        self.sha256 = sha256
        """Of the checkpoint file."""
        self._engine = engine

    @property
    def device(self) -> str:
        """As torch names it: ``cpu``, ``cuda:N`` or ``mps``."""
        return self._engine.device

    @property
    def engine(self) -> str:
        """What computes: ``torch``, ``onnxruntime`` or ``openvino``."""
        return self._engine.name

    @property
    def precision(self) -> str:
        """What it computes in: ``f32`` or ``bf16``."""
        return self._engine.precision

    def without_focus(self) -> ImageEncoder:
        """The same half with the same weights, for which no picture is a focus view."""
        return ImageEncoder(self.info.without_focus(), self._engine, self.sha256)

    def encode(self, images_rgb: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Image embeddings, in the order of the pictures.

        Each picture is resized so that its long side is ``info.whole_size``; a focus view
        (`streamseg.sam.geometry.fit`) is taken as it is. Pictures that come to the same size share one forward pass. On
        the CPU in float32, or, in OpenVINO on a processor that has it, in bfloat16, which moves tiny's features by 2 %
        in norm; on CUDA in bfloat16 autocast (1 %; 0.6 % in norm for tiny, measured with the bfloat16 of a CPU).
        SAM's own on a CPU in bfloat16 if that was asked for (0.5 %).

        Args:
            images_rgb: (H, W, 3) uint8 RGB each, of any size.

        Returns:
            (C, h, w) float32 each, `streamseg.sam.geometry.features_shape` of the picture's size; where the picture
            does not reach, SAM's padding (zeros for a convolutional encoder).

        Raises:
            UsageError: a picture is not (H, W, 3) uint8.
            DeviceError: out of memory.
        """
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        geometries = [fit(self.info, _size_of(image)) for image in images_rgb]
        for i, geometry in enumerate(geometries):
            groups[geometry.input_size].append(i)
        features: dict[int, np.ndarray] = {}
        advice = f"encode fewer than {len(images_rgb)} pictures at once (batch), use a smaller model, or --device cpu"
        with self._engine.guard(advice):
            for members in groups.values():
                batch = np.stack([_resized(images_rgb[i], geometries[i]) for i in members])
                features.update(zip(members, self._engine.encode(batch), strict=True))
        return [features[i] for i in range(len(images_rgb))]


def _resized(image_rgb: np.ndarray, geometry: Geometry) -> np.ndarray:
    """As segment-anything's ``ResizeLongestSide.apply_image`` does it."""
    if geometry.is_identity:
        return image_rgb
    height, width = geometry.input_size
    return np.asarray(Image.fromarray(image_rgb).resize((width, height), Image.Resampling.BILINEAR))


def _size_of(image_rgb: np.ndarray) -> tuple[int, int]:
    """(height, width), after a check."""
    if image_rgb.ndim != 3 or image_rgb.shape[2] != 3 or image_rgb.dtype != np.uint8 or 0 in image_rgb.shape:
        raise UsageError(f"expected a picture (H, W, 3) of uint8 RGB, got {image_rgb.shape} of {image_rgb.dtype}")
    return image_rgb.shape[0], image_rgb.shape[1]
