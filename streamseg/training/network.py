"""The bundled model's network as it is trained: where it starts from, how it predicts masks, what is kept of it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from streamseg.errors import DeviceError
from streamseg.sam import checkpoints
from streamseg.sam.files.checkpoint_tensors import read_tensors
from streamseg.sam.models import MODELS
from streamseg.sam.networks.halves import MEAN_RGB, STD_RGB, predict_masks
from streamseg.sam.networks.tiny import MULTIPLE, STRIDE, Tiny
from streamseg.training.fast_depthwise import speed_up
from streamseg.training.tasks.task import Prompt


def build(start_from: str, seed: int) -> Tiny:
    """The network on the CPU with its first weights, float32, in evaluation mode.

    Args:
        start_from: ``packaged``, ``scratch`` or a file of weights.
        seed: for weights from scratch.

    Raises:
        CheckpointError: the file is missing, damaged, or of another network.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Tiny()
    if start_from != "scratch":
        info = MODELS["tiny"]
        path = checkpoints.locate(info, None if start_from == "packaged" else Path(start_from))
        network.load_state_dict(read_tensors(info, path))
    return network.eval()


class TrainingModel:
    """The network on its device, predicting masks with gradients.

    Args:
        network: of `build`; it is moved and changed.
        device: as torch names it.
        precision: ``auto``, ``bf16`` or ``float32``.

    Raises:
        DeviceError: the device cannot train.
    """

    def __init__(self, network: Tiny, device: str, precision: str) -> None:
        self.device = torch.device(device)
        if self.device.type == "mps":
            raise DeviceError("training runs on cpu and cuda:N, not on mps; use --device cpu")
        self.bf16 = has_bf16(self.device) if precision == "auto" else precision == "bf16"
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.bf16 and self.device.type == "cpu":
            speed_up(self.network.enc)
        self._mean = torch.tensor(MEAN_RGB, device=self.device).view(-1, 1, 1)
        self._std = torch.tensor(STD_RGB, device=self.device).view(-1, 1, 1)

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Where matrix products and convolutions are computed in bfloat16, if they are to be."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def train_encoder(self, wanted: bool) -> None:
        """Whether the image encoder gets gradients."""
        self.network.enc.requires_grad_(wanted)

    def encode_views(self, pictures_rgb: Sequence[np.ndarray]) -> torch.Tensor:
        """Square pictures (S, S, 3) uint8 of one size -> (B, C, S/8, S/8)."""
        return self._encode(torch.from_numpy(np.stack(pictures_rgb)))

    def encode_image(self, picture_rgb: np.ndarray, square_px: int) -> torch.Tensor:
        """One picture (h, w, 3) uint8 in the upper left corner of a square -> (1, C, square_px/8, square_px/8)."""
        features = self._encode(torch.from_numpy(picture_rgb[None]))
        grid = square_px // STRIDE
        return F.pad(features, (0, grid - features.shape[-1], 0, grid - features.shape[-2]))

    def _encode(self, batch_rgb: torch.Tensor) -> torch.Tensor:
        pixels = batch_rgb.to(self.device).permute(0, 3, 1, 2).float()
        height, width = pixels.shape[-2:]
        pixels = F.pad((pixels - self._mean) / self._std, (0, -width % MULTIPLE, 0, -height % MULTIPLE))
        with self.autocast():
            features: torch.Tensor = self.network.enc(pixels.contiguous(memory_format=torch.channels_last))
        return features

    def decode(self, features: torch.Tensor, prompts: Sequence[Prompt]) -> tuple[torch.Tensor, torch.Tensor]:
        """Masks for prompts with the same number of points.

        Args:
            features: (N, C, g, g), one a prompt, or (1, C, g, g) for all.
            prompts: N.

        Returns:
            logits (N, 4, 4g, 4g) and scores (N, 4), float32: first the single mask, then the three.
        """
        grid = features.shape[-1]
        prompt_encoder = self.network.pe
        prompt_encoder.input_image_size, prompt_encoder.image_embedding_size = (grid * STRIDE,) * 2, (grid, grid)
        features = self._add_matches(features, prompts)
        # Places are exact: bfloat16 has 8 bits for them, which is a pixel of the picture.
        sparse = self._sparse(prompts)
        with self.autocast():
            dense = self._dense(prompts, grid)
            logits, scores = predict_masks(self.network.dec, features, prompt_encoder.get_dense_pe(), sparse, dense)
        return logits.float(), scores.float()

    def _add_matches(self, features: torch.Tensor, prompts: Sequence[Prompt]) -> torch.Tensor:
        """Features (N, C, g, g) with what earlier views say of them; as they are where there are none."""
        if not any(prompt.templates for prompt in prompts):
            return features
        match, found = self.network.match, []
        for each, prompt in zip(features.float(), prompts, strict=True):
            if prompt.templates:
                memory = np.concatenate([t.features.reshape(len(each), -1) for t in prompt.templates], axis=1)
                covered = np.concatenate([t.covered.ravel() for t in prompt.templates])
                known = torch.from_numpy(memory).to(self.device).float()
                each = each + match(each, known, torch.from_numpy(covered).to(self.device))
            found.append(each)
        return torch.stack(found)

    def _sparse(self, prompts: Sequence[Prompt]) -> torch.Tensor:
        """(N, K, C): as ``PromptEncoder`` embeds points and boxes, but with both kinds in one batch."""
        prompt_encoder = self.network.pe
        points = torch.from_numpy(np.stack([prompt.points_xy for prompt in prompts])).to(self.device)
        labels = torch.from_numpy(np.stack([prompt.labels for prompt in prompts])).to(self.device)
        kinds = torch.cat(
            [prompt_encoder.not_a_point_embed.weight, *(each.weight for each in prompt_encoder.point_embeddings)]
        )
        places = prompt_encoder.pe_layer.forward_with_coords(points + 0.5, prompt_encoder.input_image_size)
        sparse: torch.Tensor = places * (labels >= 0)[..., None] + kinds[labels + 1]
        return sparse

    def _dense(self, prompts: Sequence[Prompt], grid: int) -> torch.Tensor:
        """(N, C, g, g): earlier masks, or the embedding that says there is none."""
        prompt_encoder = self.network.pe
        nothing: torch.Tensor = prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
        nothing = nothing.expand(len(prompts), -1, grid, grid)
        having = [i for i, prompt in enumerate(prompts) if prompt.mask_logits is not None]
        if not having:
            return nothing
        given = [prompt.mask_logits for prompt in prompts if prompt.mask_logits is not None]
        masks = torch.from_numpy(np.stack(given)[:, None]).to(self.device)
        embedded: torch.Tensor = prompt_encoder.mask_downscaling(masks)
        return nothing.to(embedded.dtype).index_copy(0, torch.tensor(having, device=self.device), embedded)


def has_bf16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16 faster than in float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    # Not in every torch we allow; then float32 it is.
    known = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(known and known())


def to_float16(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights as a weights file has them: float16 on the CPU."""
    return {
        name: (value.half() if value.is_floating_point() else value).contiguous().cpu()
        for name, value in weights.items()
    }
