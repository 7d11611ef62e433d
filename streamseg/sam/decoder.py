"""The second half of SAM: features and prompts in, masks out."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from streamseg.errors import UsageError
from streamseg.sam import checkpoints, devices
from streamseg.sam.architectures import ARCHITECTURES
from streamseg.sam.geometry import Geometry, features_shape, fit
from streamseg.sam.loading import load_part
from streamseg.sam.models import ModelInfo, find
from streamseg.sam.prompts import Prompt, check

__all__ = ["Decoded", "MaskDecoding", "Prompt", "load_decoder"]

# Bounds memory: a prompt needs some 30 MB in vit_h's decoder. segment-anything's own automatic mode uses 64 too.
_PROMPTS_A_CALL = 64


@dataclass(frozen=True, eq=False)
class Decoded:
    """Answers in the order of the prompts; M is 3 with `multimask`, else 1."""

    logits: np.ndarray
    """(N, M, 4h, 4w) float32 in the model's square, padding included; above 0 is the object."""
    scores: np.ndarray
    """(N, M) float32: the model's own estimate of each mask's IoU."""


class MaskDecoding:
    """A model's prompt encoder and mask decoder with their weights, on a device. See `load_decoder`."""

    def __init__(
        self, info: ModelInfo, prompt_encoder: nn.Module, mask_decoder: nn.Module, sha256: str, device: str
    ) -> None:
        self.info = info
        self.sha256 = sha256
        """Of the checkpoint file."""
        self.device = device
        """As torch names it: ``cpu``, ``cuda:N`` or ``mps``."""
        self._prompt_encoder = prompt_encoder
        self._mask_decoder = mask_decoder
        self._squares: dict[int, tuple[nn.Module, torch.Tensor]] = {}

    @torch.inference_mode()
    def decode(
        self,
        features: np.ndarray | Sequence[np.ndarray],
        image_size: tuple[int, int],
        prompts: Sequence[Prompt],
        *,
        multimask: bool,
    ) -> Decoded:
        """Masks for prompts; those of one signature share a decoder call.

        Args:
            features: (C, h, w) from the encoder for all prompts, or one such array for each prompt.
            image_size: (height, width) of the picture that was handed to the encoder (all of one size).
            prompts: at least one.
            multimask: three masks a prompt (whole, part, part of it: for one click), or one (for anything clearer).

        Raises:
            PromptError: a prompt cannot be meant.
            UsageError: the features are not this model's, or not one for each prompt.
            DeviceError: out of memory.
        """
        geometry = fit(self.info, image_size)
        shared = isinstance(features, np.ndarray)
        self._check(features, image_size, prompts)
        side, count = 4 * geometry.grid, 3 if multimask else 1
        logits = np.empty((len(prompts), count, side, side), np.float32)
        scores = np.empty((len(prompts), count), np.float32)
        advice = f"ask fewer than {len(prompts)} prompts at once, use a smaller model, or --device cpu"
        with devices.memory_guard(self.device, advice):
            for members in _calls(prompts):
                chosen = [features] if shared else [features[i] for i in members]
                pixels = torch.from_numpy(np.stack(chosen).astype(np.float32, copy=False)).to(self.device)
                masks, ious = self._call(pixels, geometry, [prompts[i] for i in members])
                wanted = slice(1, None) if multimask else slice(0, 1)
                logits[members] = masks[:, wanted].cpu().numpy()
                scores[members] = ious[:, wanted].cpu().numpy()
        return Decoded(logits, scores)

    @torch.inference_mode()
    def upscale(self, logits: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
        """(..., 4h, 4w) logits in the model's square -> (..., H, W) float32 at the picture's size.

        Twice bilinear with the padding cut off in between, as ``Sam.postprocess_masks`` does it.

        Raises:
            UsageError: the logits are not those of a picture of that size.
        """
        geometry = fit(self.info, image_size)
        side = 4 * geometry.grid
        if logits.ndim < 2 or logits.shape[-2:] != (side, side):
            raise UsageError(f"expected logits (..., {side}, {side}) for a picture of {image_size}, got {logits.shape}")
        flat = np.array(logits, np.float32).reshape(1, -1, side, side)
        with devices.memory_guard(
            self.device, f"upscale fewer than {flat.shape[1]} masks at once, or use --device cpu"
        ):
            masks = torch.from_numpy(flat).to(self.device)
            masks = F.interpolate(masks, (geometry.square, geometry.square), mode="bilinear", align_corners=False)
            height, width = geometry.input_size
            masks = masks[..., :height, :width]
            if not geometry.is_identity:
                masks = F.interpolate(masks, image_size, mode="bilinear", align_corners=False)
            found: np.ndarray = masks.cpu().numpy().reshape(*logits.shape[:-2], *image_size)
        return found

    def _check(
        self, features: np.ndarray | Sequence[np.ndarray], image_size: tuple[int, int], prompts: Sequence[Prompt]
    ) -> None:
        expected = features_shape(self.info, image_size)
        if not prompts:
            raise UsageError("expected at least one prompt, got none")
        each = [features] if isinstance(features, np.ndarray) else list(features)
        if not isinstance(features, np.ndarray) and len(each) != len(prompts):
            raise UsageError(f"expected one array of features for each of {len(prompts)} prompts, got {len(each)}")
        for array in each:
            if array.shape != expected:
                raise UsageError(
                    f"expected features {expected} of {self.info.name} for a picture of {image_size}, got {array.shape}"
                )
        for prompt in prompts:
            check(prompt, mask_side=4 * expected[1])

    def _call(
        self, features: torch.Tensor, geometry: Geometry, prompts: Sequence[Prompt]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Features (1 or N, C, h, w), N prompts of one signature -> logits (N, 4, 4h, 4w), scores (N, 4)."""
        prompt_encoder, positions = self._in_square(geometry)
        sparse, dense = prompt_encoder(
            points=self._points(geometry, prompts), boxes=self._boxes(geometry, prompts), masks=self._masks(prompts)
        )
        return predict_masks(self._mask_decoder, features, positions, sparse, dense)

    def _in_square(self, geometry: Geometry) -> tuple[nn.Module, torch.Tensor]:
        """The prompt encoder set to a square of that size (sharing its weights), and its position codes."""
        if geometry.square not in self._squares:
            encoder = copy.copy(self._prompt_encoder)
            encoder.input_image_size = (geometry.square, geometry.square)  # type: ignore[assignment]
            encoder.image_embedding_size = (geometry.grid, geometry.grid)  # type: ignore[assignment]
            self._squares[geometry.square] = encoder, encoder.get_dense_pe()  # type: ignore[operator]
        return self._squares[geometry.square]

    def _tensor(self, values: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
        return torch.tensor(values, dtype=dtype, device=self.device)

    def _points(self, geometry: Geometry, prompts: Sequence[Prompt]) -> tuple[torch.Tensor, torch.Tensor] | None:
        points = [p.points_xy for p in prompts if p.points_xy is not None and len(p.points_xy)]
        labels = [p.point_labels for p in prompts if p.point_labels is not None and len(p.point_labels)]
        if not points:
            return None
        return (
            self._tensor(geometry.to_input(np.stack(points)), torch.float32),
            self._tensor(np.stack(labels), torch.int32),
        )

    def _boxes(self, geometry: Geometry, prompts: Sequence[Prompt]) -> torch.Tensor | None:
        boxes = [p.box_xyxy for p in prompts if p.box_xyxy is not None]
        if not boxes:
            return None
        corners = geometry.to_input(np.array(boxes, np.float64).reshape(-1, 2, 2))
        return self._tensor(corners.reshape(-1, 4), torch.float32)

    def _masks(self, prompts: Sequence[Prompt]) -> torch.Tensor | None:
        masks = [p.mask_logits for p in prompts if p.mask_logits is not None]
        return self._tensor(np.stack(masks)[:, None], torch.float32) if masks else None


def predict_masks(
    decoder: nn.Module, features: torch.Tensor, positions: torch.Tensor, sparse: torch.Tensor, dense: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """What ``MaskDecoder.predict_masks`` computes, for one picture or for a picture a prompt.

    segment-anything repeats one picture's features for all prompts; here they are broadcast, so that every prompt
    may as well bring its own.

    Args:
        decoder: a `segment_anything.modeling.MaskDecoder`.
        features: (1, C, h, w), or (N, C, h, w).
        positions: (1, C, h, w) position codes.
        sparse: (N, K, C) embedded points and boxes.
        dense: (N, C, h, w) embedded masks.

    Returns:
        logits (N, 4, 4h, 4w), scores (N, 4): first the single mask, then the three.
    """
    count = sparse.shape[0]
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])  # type: ignore[union-attr, list-item]
    tokens = torch.cat([own.expand(count, -1, -1), sparse], dim=1)
    source = features + dense
    n, c, h, w = source.shape
    tokens, source = decoder.transformer(source, positions.expand(n, -1, -1, -1), tokens)  # type: ignore[operator]
    mask_tokens = tokens[:, 1 : 1 + decoder.num_mask_tokens]  # type: ignore[operator]
    upscaled = decoder.output_upscaling(source.transpose(1, 2).reshape(n, c, h, w))  # type: ignore[operator]
    kernels = torch.stack(
        [mlp(mask_tokens[:, i]) for i, mlp in enumerate(decoder.output_hypernetworks_mlps)],  # type: ignore[arg-type]
        dim=1,
    )
    logits = (kernels @ upscaled.flatten(2)).unflatten(2, upscaled.shape[-2:])
    scores = decoder.iou_prediction_head(tokens[:, 0])  # type: ignore[operator]
    return logits, scores


def _calls(prompts: Sequence[Prompt]) -> Iterator[list[int]]:
    """Positions of prompts that can go through the decoder together."""
    groups: dict[tuple[bool, int, bool], list[int]] = defaultdict(list)
    for i, prompt in enumerate(prompts):
        groups[prompt.signature].append(i)
    for members in groups.values():
        for start in range(0, len(members), _PROMPTS_A_CALL):
            yield members[start : start + _PROMPTS_A_CALL]


def load_decoder(name: str = "tiny", *, checkpoint: Path | None = None, device: str = "auto") -> MaskDecoding:
    """Load a model's prompt encoder and mask decoder, and only that half.

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
    architecture = ARCHITECTURES[name]
    with devices.memory_guard(chosen, f"{name} does not fit; use a smaller model, or --device cpu"):
        prompt_encoder = load_part(info, path, architecture.prompt_encoder, chosen)
        mask_decoder = load_part(info, path, architecture.mask_decoder, chosen)
        return MaskDecoding(info, prompt_encoder, mask_decoder, checkpoints.fingerprint(path), chosen)
