"""The first half of SAM: pictures in, features out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from streamseg.errors import UsageError
from streamseg.sam import checkpoints, devices
from streamseg.sam.architectures import ARCHITECTURES
from streamseg.sam.geometry import Geometry, fit
from streamseg.sam.loading import load_part
from streamseg.sam.models import ModelInfo, find
from streamseg.sam.tiny import MULTIPLE, PyramidEncoder, fold_batch_norm

from segment_anything.utils.transforms import ResizeLongestSide  # isort: skip  (needs torchvision put right)

# ImageNet's mean and standard deviation in 8-bit units: what every SAM was trained with.
_MEAN_RGB = (123.675, 116.28, 103.53)
_STD_RGB = (58.395, 57.12, 57.375)


class ImageEncoder:
    """A model's image encoder with its weights, on a device. See `load_encoder`."""

    def __init__(self, info: ModelInfo, network: nn.Module, sha256: str, device: str) -> None:
        self.info = info
        self.sha256 = sha256
        """Of the checkpoint file."""
        self.device = device
        """As torch names it: ``cpu``, ``cuda:N`` or ``mps``."""
        self._resize = ResizeLongestSide(info.whole_size)
        # A fully convolutional network needs no padding to the square, only to its own stride.
        self._convolutional = isinstance(network, PyramidEncoder)
        if self._convolutional:
            fold_batch_norm(network)
        layout = torch.channels_last if self._convolutional else torch.contiguous_format
        self._network = network.to(memory_format=layout)  # type: ignore[call-overload]
        self._layout = layout
        self._mean = torch.tensor(_MEAN_RGB, device=device).view(-1, 1, 1)
        self._std = torch.tensor(_STD_RGB, device=device).view(-1, 1, 1)

    def encode(self, images_rgb: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Image embeddings, in the order of the pictures.

        Each picture is resized so that its long side is ``info.whole_size``; a square of exactly
        ``info.focus_size`` is taken as it is. Pictures that come to the same size share one forward pass. On the CPU
        in float32; on CUDA in bfloat16 autocast, whose rounding moves features by about 1 % (0.6 % in
        norm for tiny, measured with the bfloat16 of a CPU).

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
        with devices.memory_guard(self.device, advice):
            for members in groups.values():
                batch = np.stack([self._resized(images_rgb[i], geometries[i]) for i in members])
                features.update(zip(members, self._forward(batch, geometries[members[0]]), strict=True))
        return [features[i] for i in range(len(images_rgb))]

    def _resized(self, image_rgb: np.ndarray, geometry: Geometry) -> np.ndarray:
        if geometry.is_identity:
            return image_rgb
        resized: np.ndarray = self._resize.apply_image(image_rgb)
        return resized

    @torch.inference_mode()
    def _forward(self, batch_rgb: np.ndarray, geometry: Geometry) -> np.ndarray:
        """(B, h, w, 3) uint8 of one size -> (B, C, grid, grid) float32."""
        pixels = torch.from_numpy(batch_rgb).to(self.device).permute(0, 3, 1, 2)
        pixels = ((pixels - self._mean) / self._std).contiguous(memory_format=self._layout)
        height, width = pixels.shape[-2:]
        if self._convolutional:
            pixels = F.pad(pixels, (0, -width % MULTIPLE, 0, -height % MULTIPLE))
        else:
            pixels = F.pad(pixels, (0, geometry.square - width, 0, geometry.square - height))
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=self.device.startswith("cuda")):
            features = self._network(pixels)
        below, right = geometry.grid - features.shape[-2], geometry.grid - features.shape[-1]
        if below or right:
            features = F.pad(features, (0, right, 0, below))
        found: np.ndarray = features.float().contiguous().cpu().numpy()
        return found


def _size_of(image_rgb: np.ndarray) -> tuple[int, int]:
    """(height, width), after a check."""
    if image_rgb.ndim != 3 or image_rgb.shape[2] != 3 or image_rgb.dtype != np.uint8 or 0 in image_rgb.shape:
        raise UsageError(f"expected a picture (H, W, 3) of uint8 RGB, got {image_rgb.shape} of {image_rgb.dtype}")
    return image_rgb.shape[0], image_rgb.shape[1]


def load_encoder(name: str = "tiny", *, checkpoint: Path | None = None, device: str = "auto") -> ImageEncoder:
    """Load a model's image encoder, and only that half.

    Args:
        name: one of `streamseg.sam.models.MODELS`; it is downloaded if it is neither bundled nor in the cache.
        checkpoint: the user's own weights for that model.
        device: ``auto``, ``cpu``, ``cuda:N`` or ``mps``.

    Raises:
        ModelError: no such model.
        CheckpointError: the weights cannot be had, are damaged, or do not fit.
        DeviceError: no such device, or out of memory.
    """
    info = find(name)
    chosen = devices.resolve(device)
    path = checkpoints.locate(info, checkpoint)
    with devices.memory_guard(chosen, f"{name} does not fit; use a smaller model, or --device cpu"):
        network = load_part(info, path, ARCHITECTURES[name].encoder, chosen)
        return ImageEncoder(info, network, checkpoints.fingerprint(path), chosen)
