"""SAM 2.1's model of still pictures, its networks from the package ``sam2`` that the user has installed.

What that package has for video (memory) is not used: streamseg follows objects in its own way. The three levels of
features go as one array (`fold`, `unfold`), so that they travel like those of any other model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from sam2.modeling.backbones.hieradet import Hiera
from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
from sam2.modeling.position_encoding import PositionEmbeddingSine
from sam2.modeling.sam.mask_decoder import MaskDecoder
from sam2.modeling.sam.prompt_encoder import PromptEncoder
from sam2.modeling.sam.transformer import TwoWayTransformer
from torch import nn
from torch.nn import functional as F

from streamseg.sam.engines.torch_engine import TorchDecoder, TorchEncoder
from streamseg.sam.files.checkpoint_tensors import load_half
from streamseg.sam.models import ModelInfo

_WIDTH = 256
_FINE = ((64, 2), (32, 4))
"""Channels of the finer levels, and how many times finer they are."""
_LIMIT = 32.0
"""Logits that are given back as a prompt are cut off here, as ``SAM2ImagePredictor`` does."""

_TRUNKS: dict[str, dict[str, Any]] = {
    "tiny": {"embed_dim": 96, "num_heads": 1, "stages": (1, 2, 7, 2), "global_att_blocks": (5, 7, 9)},
    "small": {"embed_dim": 96, "num_heads": 1, "stages": (1, 2, 11, 2), "global_att_blocks": (7, 10, 13)},
    "base_plus": {
        **{"embed_dim": 112, "num_heads": 2, "stages": (2, 3, 16, 3), "global_att_blocks": (12, 16, 20)},
        "window_pos_embed_bkg_spatial_size": (14, 14),
    },
    "large": {
        **{"embed_dim": 144, "num_heads": 2, "stages": (2, 6, 36, 4), "global_att_blocks": (23, 33, 43)},
        "window_spec": (8, 4, 16, 8),
    },
}


class Sam2Encoder(TorchEncoder):
    """See `streamseg.sam.engines.EncoderEngine`."""

    @staticmethod
    def load(info: ModelInfo, path: Path, device: str) -> nn.Module:
        """The network with its weights: (B, 3, 1024, 1024) normalized pixels -> (B, 1024, 64, 64).

        Raises:
            CheckpointError: the weights are damaged, or do not fit.
        """
        return load_half(_PictureHalf(info.name.rpartition("hiera_")[2]), info, path, device)


class Sam2Decoder(TorchDecoder):
    """See `streamseg.sam.engines.DecoderEngine`."""

    @staticmethod
    def load(info: ModelInfo, path: Path, device: str) -> nn.Module:
        """Prompt encoder and mask decoder with their weights.

        Raises:
            CheckpointError: the weights are damaged, or do not fit.
        """
        return load_half(_PromptHalf(info.whole_size, info.stride), info, path, device)

    @torch.inference_mode()
    def decode(
        self,
        features: np.ndarray,
        points_xy: np.ndarray,
        point_labels: np.ndarray,
        mask_input: np.ndarray | None,
        wanted: slice,
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `streamseg.sam.engines.DecoderEngine.decode`.

        Where one mask is wanted and that is not stable, it is the best of the three, as ``build_sam2`` has it.
        """
        logits, scores = self._module(
            self._tensor(features),
            self._tensor(points_xy),
            self._tensor(point_labels),
            None if mask_input is None else self._tensor(mask_input),
            multimask=wanted != slice(0, 1),
        )
        return logits.cpu().numpy(), scores.cpu().numpy()


class _PictureHalf(nn.Module):
    """Names of weights are those of the checkpoint."""

    def __init__(self, size: str) -> None:
        super().__init__()
        trunk = Hiera(**{"window_pos_embed_bkg_spatial_size": (7, 7), **_TRUNKS[size]})
        neck = FpnNeck(
            PositionEmbeddingSine(_WIDTH),
            _WIDTH,
            list(trunk.channel_list),
            fpn_top_down_levels=[2, 3],
            fpn_interp_model="nearest",
        )
        self.image_encoder = ImageEncoder(trunk, neck, scalp=1)
        self.no_mem_embed = nn.Parameter(torch.zeros(1, 1, _WIDTH))
        (middle, _), (finest, _) = _FINE
        self.sam_mask_decoder = nn.ModuleDict(
            {"conv_s0": nn.Conv2d(_WIDTH, finest, 1), "conv_s1": nn.Conv2d(_WIDTH, middle, 1)}
        )

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        finest, middle, coarse = self.image_encoder(pixels)["backbone_fpn"]
        # What SAM 2 adds where there is no frame before.
        coarse = coarse + self.no_mem_embed.reshape(1, -1, 1, 1)
        convolutions = self.sam_mask_decoder
        return fold(coarse, convolutions["conv_s1"](middle), convolutions["conv_s0"](finest))


class _PromptHalf(nn.Module):
    """Names of weights are those of the checkpoint."""

    def __init__(self, size_px: int, stride: int) -> None:
        super().__init__()
        grid = size_px // stride
        self.sam_prompt_encoder = PromptEncoder(_WIDTH, (grid, grid), (size_px, size_px), mask_in_chans=16)
        self.sam_mask_decoder = MaskDecoder(
            transformer_dim=_WIDTH,
            transformer=TwoWayTransformer(depth=2, embedding_dim=_WIDTH, num_heads=8, mlp_dim=2048),
            use_high_res_features=True,
            iou_prediction_use_sigmoid=True,
            pred_obj_scores=True,
            pred_obj_scores_mlp=True,
            use_multimask_token_for_obj_ptr=True,
            dynamic_multimask_via_stability=True,
            dynamic_multimask_stability_delta=0.05,
            dynamic_multimask_stability_thresh=0.98,
        )

    def forward(
        self,
        features: torch.Tensor,
        points_xy: torch.Tensor,
        labels: torch.Tensor,
        mask_input: torch.Tensor | None,
        *,
        multimask: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if labels.shape[1] and bool((labels[:, -1] == -1).all()):
            # SAM 2 adds the one that is not a point itself, and to a box too.
            points_xy, labels = points_xy[:, :-1], labels[:, :-1]
        sparse, dense = self.sam_prompt_encoder(
            points=(points_xy, labels.to(torch.int32)) if labels.shape[1] else None,
            boxes=None,
            masks=None if mask_input is None else mask_input.clamp(-_LIMIT, _LIMIT),
        )
        coarse, *finer = unfold(features)
        logits, scores, _, _ = self.sam_mask_decoder(
            image_embeddings=coarse,
            image_pe=self.sam_prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
            repeat_image=len(coarse) != len(points_xy),
            high_res_features=finer[::-1],
        )
        return logits, scores


def fold(coarse: torch.Tensor, middle: torch.Tensor, finest: torch.Tensor) -> torch.Tensor:
    """Levels (B, 256, h, w), (B, 64, 2h, 2w), (B, 32, 4h, 4w) as one array (B, 1024, h, w); nothing is lost."""
    (_, twice), (_, four_times) = _FINE
    parts = [coarse, F.pixel_unshuffle(middle, twice), F.pixel_unshuffle(finest, four_times)]
    return torch.cat([part.float() for part in parts], dim=1)


def unfold(features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The three levels that `fold` made one."""
    (channels, twice), (_, four_times) = _FINE
    end = _WIDTH + channels * twice**2
    coarse, middle, finest = features[:, :_WIDTH], features[:, _WIDTH:end], features[:, end:]
    return coarse, F.pixel_shuffle(middle, twice), F.pixel_shuffle(finest, four_times)
