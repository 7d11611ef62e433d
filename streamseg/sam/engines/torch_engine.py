"""Torch as the engine of a model's two halves, on any device."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import torch
from torch import nn

from streamseg.errors import ModelError
from streamseg.sam import devices
from streamseg.sam.engines import Precision
from streamseg.sam.files.checkpoint_tensors import load_part
from streamseg.sam.models import ModelInfo
from streamseg.sam.networks.architectures import ARCHITECTURES
from streamseg.sam.networks.halves import DecoderModule, EncoderModule
from streamseg.sam.networks.tiny import fold_batch_norm
from streamseg.sam.networks.vit import ViTEncoder

# After the architectures, which put torchvision right.
from segment_anything.modeling import ImageEncoderViT  # isort: skip

# Bounds memory: a prompt needs some 30 MB in vit_h's decoder. segment-anything's own automatic mode uses 64 too.
_PROMPTS_PER_CALL = 64
# On a CPU what a call works on should stay in its caches: calls of 4 prompts on 64 x 64 features took half the time of
# calls of 64.
_CELLS_PER_CPU_CALL = 4 * 64 * 64


def load_decoder_module(info: ModelInfo, path: Path, device: str) -> DecoderModule:
    """A model's prompt encoder and mask decoder with their weights.

    Raises:
        CheckpointError: the weights are damaged, or do not fit.
    """
    architecture = ARCHITECTURES[info.name]
    prompt_encoder = load_part(info, path, architecture.prompt_encoder, device)
    return DecoderModule(info, prompt_encoder, load_part(info, path, architecture.mask_decoder, device))


class TorchEncoder:
    """See `streamseg.sam.engines.EncoderEngine`."""

    name = "torch"

    def __init__(self, info: ModelInfo, path: Path, device: str, precision: Precision = "auto") -> None:
        self.device = device
        on_cuda = device.startswith("cuda")
        # The encoder only: see `encode`.
        self.precision: str = ("bf16" if on_cuda else "f32") if precision == "auto" else precision
        self._autocast = on_cuda and self.precision == "bf16"
        with self.guard(f"{info.name} does not fit; use a smaller model, or --device cpu"):
            network = self.load(info, path, device)
            self._module = EncoderModule(info, self._quick(info, network)).to(device)
        if self._module.convolutional:
            fold_batch_norm(network)
        network.to(memory_format=self._module.layout)  # type: ignore[call-overload]

    def _quick(self, info: ModelInfo, network: nn.Module) -> nn.Module:
        """What computes a network of SAM's own; any other as it is."""
        in_blocks = self.precision == "bf16" and not self._autocast
        if isinstance(network, ImageEncoderViT):
            return ViTEncoder(network, torch.bfloat16 if in_blocks else None)
        if in_blocks:
            raise ModelError(
                f"precision bf16 in torch on {self.device} is for SAM's own models, not for {info.name!r}; leave it out"
            )
        return network

    @staticmethod
    def load(info: ModelInfo, path: Path, device: str) -> nn.Module:
        """The network with its weights: (B, 3, whole_size, whole_size) normalized pixels -> (B, C, grid, grid).

        Raises:
            CheckpointError: the weights are damaged, or do not fit.
        """
        return load_part(info, path, ARCHITECTURES[info.name].encoder, device)

    def guard(self, advice: str) -> AbstractContextManager[None]:
        """Turn running out of memory inside the block into a `DeviceError` that ends with `advice`."""
        return devices.memory_guard(self.device, advice)

    @torch.inference_mode()
    def encode(self, images_rgb: np.ndarray) -> np.ndarray:
        """(B, h, w, 3) uint8 of the size the network wants -> (B, C, grid, grid) float32."""
        images = torch.from_numpy(images_rgb).to(self.device)
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=self._autocast):
            features = self._module(images)
        found: np.ndarray = features.float().contiguous().cpu().numpy()
        return found


class TorchDecoder:
    """See `streamseg.sam.engines.DecoderEngine`."""

    name = "torch"

    def __init__(self, info: ModelInfo, path: Path, device: str) -> None:
        self.device, self.precision = device, "f32"
        with self.guard(f"{info.name} does not fit; use a smaller model, or --device cpu"):
            self._module: nn.Module = self.load(info, path, device)
        self._positions: dict[int, torch.Tensor] = {}

    @staticmethod
    def load(info: ModelInfo, path: Path, device: str) -> nn.Module:
        """What answers prompts, with its weights.

        Raises:
            CheckpointError: the weights are damaged, or do not fit.
        """
        return load_decoder_module(info, path, device)

    def guard(self, advice: str) -> AbstractContextManager[None]:
        """Turn running out of memory inside the block into a `DeviceError` that ends with `advice`."""
        return devices.memory_guard(self.device, advice)

    def prompts_per_call(self, grid: int) -> int:
        """How many prompts to ask at once at most, where features are (C, grid, grid)."""
        if self.device != "cpu":
            return _PROMPTS_PER_CALL
        return min(_PROMPTS_PER_CALL, max(1, _CELLS_PER_CPU_CALL // grid**2))

    @torch.inference_mode()
    def decode(
        self,
        features: np.ndarray,
        points_xy: np.ndarray,
        point_labels: np.ndarray,
        mask_input: np.ndarray | None,
        wanted: slice,
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `streamseg.sam.engines.DecoderEngine.decode`."""
        grid = features.shape[-1]
        if grid not in self._positions:
            self._positions[grid] = self._module.positions(grid, grid)  # type: ignore[operator]
        logits, scores = self._module(
            self._tensor(features),
            self._tensor(points_xy),
            self._tensor(point_labels),
            None if mask_input is None else self._tensor(mask_input),
            positions=self._positions[grid],
        )
        return logits[:, wanted].cpu().numpy(), scores[:, wanted].cpu().numpy()

    def _tensor(self, values: np.ndarray) -> torch.Tensor:
        # Torch takes nothing that it may not write to, and says so on standard error.
        return torch.from_numpy(values if values.flags.writeable else values.copy()).to(self.device)
