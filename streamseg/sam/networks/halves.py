"""The two halves of a model as torch modules: the same ones that run in torch and are exported."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from streamseg.sam.models import ModelInfo
from streamseg.sam.networks.tiny import MULTIPLE, PyramidEncoder

MEAN_RGB, STD_RGB = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""ImageNet's, in 8-bit units: what every SAM was trained with."""


class EncoderModule(nn.Module):
    """Pictures to features: normalize, pad, encode.

    Args:
        info: the model.
        network: its image encoder.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, info: ModelInfo, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.square = info.whole_size
        # A fully convolutional network needs no padding to the square, only to its own stride.
        self.convolutional = isinstance(network, PyramidEncoder)
        self.layout = torch.channels_last if self.convolutional else torch.contiguous_format
        self.register_buffer("mean", torch.tensor(MEAN_RGB).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD_RGB).view(-1, 1, 1), persistent=False)

    def forward(self, images_rgb: torch.Tensor) -> torch.Tensor:
        """(B, h, w, 3) uint8 of the size the network wants -> (B, C, grid, grid), zeros where no picture was."""
        pixels = images_rgb.permute(0, 3, 1, 2)
        pixels = ((pixels - self.mean) / self.std).contiguous(memory_format=self.layout)
        height, width = pixels.shape[-2:]
        if not self.convolutional:
            found: torch.Tensor = self.network(F.pad(pixels, (0, self.square - width, 0, self.square - height)))
            return found
        features = self.network(F.pad(pixels, (0, -width % MULTIPLE, 0, -height % MULTIPLE)))
        # To a square, without a branch: an exported graph has to do it for every shape.
        rows, columns = features.shape[-2:]
        below, right = (columns - rows) * (columns > rows), (rows - columns) * (rows > columns)
        return F.pad(features, (0, right, 0, below))


class DecoderModule(nn.Module):
    """Features and prompts to masks, for one picture or for a picture a prompt.

    Computes what SAM's prompt encoder and mask decoder compute, for prompts of one shape: a box is two points with
    labels of their own. The square that prompts are placed in is that of the features, so whole frames and focus
    views go through the same module.

    Args:
        info: the model.
        prompt_encoder: a `segment_anything.modeling.PromptEncoder`.
        mask_decoder: a `segment_anything.modeling.MaskDecoder`.
    """

    def __init__(self, info: ModelInfo, prompt_encoder: nn.Module, mask_decoder: nn.Module) -> None:
        super().__init__()
        self.stride = info.stride
        self.prompt_encoder = prompt_encoder
        self.mask_decoder = mask_decoder

    def positions(self, rows: int, columns: int) -> torch.Tensor:
        """(1, C, rows, columns) position codes of the features."""
        codes: torch.Tensor = self.prompt_encoder.pe_layer((rows, columns))  # type: ignore[operator]
        return codes[None]

    def forward(
        self,
        features: torch.Tensor,
        points_xy: torch.Tensor,
        point_labels: torch.Tensor,
        mask_input: torch.Tensor | None = None,
        has_mask_input: torch.Tensor | None = None,
        positions: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Four masks and their scores for each prompt.

        Args:
            features: (1, C, h, w) for all prompts, or (N, C, h, w).
            points_xy: (N, K, 2) float32 in pixels of the resized picture.
            point_labels: (N, K) int64: see `streamseg.prompts.decoder`.
            mask_input: (N, 1, 4h, 4w) logits of earlier answers; None if no prompt has any.
            has_mask_input: (N,) bool, which of them count; None: all.
            positions: those of the features, if they are at hand.

        Returns:
            logits (N, 4, 4h, 4w), scores (N, 4): first the single mask, then the three.
        """
        rows, columns = features.shape[-2:]
        if positions is None:
            positions = self.positions(rows, columns)
        sparse = self._embed_points(points_xy + 0.5, point_labels, self.stride * columns)
        dense = self.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)  # type: ignore[union-attr, operator]
        if mask_input is not None:
            embedded = self.prompt_encoder.mask_downscaling(mask_input)  # type: ignore[operator]
            if has_mask_input is None:
                dense = embedded
            else:
                dense = torch.where(has_mask_input.reshape(-1, 1, 1, 1), embedded, dense)
        dense = dense.expand(points_xy.shape[0], -1, rows, columns)
        return predict_masks(self.mask_decoder, features, positions, sparse, dense)

    def _embed_points(self, points_xy: torch.Tensor, labels: torch.Tensor, square: int) -> torch.Tensor:
        """(N, K, 2), pixel centers at +0.5, and (N, K) -> (N, K, C)."""
        encoder = self.prompt_encoder
        codes = encoder.pe_layer._pe_encoding(points_xy / square)  # type: ignore[union-attr, operator]
        labels = labels[..., None]
        embedded: torch.Tensor = torch.where(labels == -1, encoder.not_a_point_embed.weight, codes)  # type: ignore[union-attr, arg-type]
        for label, kind in enumerate(encoder.point_embeddings):  # type: ignore[arg-type]
            embedded = embedded + (labels == label) * kind.weight
        return embedded


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
