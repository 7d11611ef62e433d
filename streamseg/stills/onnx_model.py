"""The half that answers prompts as one module to export: segment-anything's ``SamOnnxModel``. This imports torch."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from streamseg.errors import ModelError
from streamseg.sam import checkpoints
from streamseg.sam.engines.torch_engine import load_decoder_module
from streamseg.sam.models import ModelInfo, find
from streamseg.stills.model import StillModel

_OFFSET = 1.0
"""How far the cutoff is raised and lowered for the stability of a mask, in logits."""
_FEW_POINTS = 2.5
"""With fewer points than this, padding included, one of three masks is taken, with more the single one."""


class SamOnnxModel(nn.Module):
    """Prompt encoder, mask decoder and upscaling of a model, made for ``torch.onnx.export``.

    Inputs, outputs and meaning are those of ``segment_anything.utils.onnx.SamOnnxModel``; the size of the features, and
    with it that of masks, is the model's own (``model.prompt_encoder``). From torch 2.9 on say ``dynamo=False`` there.

    Args:
        model: what ``sam_model_registry`` gives, of SAM's own architecture.
        return_single_mask: one mask a prompt: of three for a click, else the single one.
        use_stability_score: give that in the place of the model's own estimates.
        return_extra_metrics: give stability and area of each mask, too.

    Raises:
        ModelError: the model is built in another way.
        CheckpointError: the weights do not fit.
    """

    def __init__(
        self,
        model: StillModel,
        return_single_mask: bool,
        use_stability_score: bool = False,
        return_extra_metrics: bool = False,
    ) -> None:
        super().__init__()
        info = find(model.name)
        if info.decoder != ModelInfo.decoder:
            raise ModelError(f"expected a model of SAM's own architecture, such as tiny, got {info.name!r}")
        self.img_size = info.whole_size
        self.return_single_mask = return_single_mask
        self.use_stability_score = use_stability_score
        self.return_extra_metrics = return_extra_metrics
        self._threshold = model.mask_threshold
        self._decoder = load_decoder_module(info, checkpoints.locate(info, model.checkpoint), "cpu")

    @torch.no_grad()
    def forward(
        self,
        image_embeddings: torch.Tensor,
        point_coords: torch.Tensor,
        point_labels: torch.Tensor,
        mask_input: torch.Tensor,
        has_mask_input: torch.Tensor,
        orig_im_size: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        """Masks for one prompt in a picture.

        Args:
            image_embeddings: (1, C, h, w) from ``get_image_embedding``.
            point_coords: (1, N, 2) x, y in pixels of the resized picture; a box is two points.
            point_labels: (1, N): 1 on the object, 0 not on it, 2 and 3 the corners of a box, -1 no point.
            mask_input: (1, 1, 4h, 4w) logits of an earlier answer.
            has_mask_input: (1,): whether that counts, 1 or 0.
            orig_im_size: (2,) height and width of the picture before resizing.

        Returns:
            masks (1, M, H, W) logits, scores (1, M), low-resolution logits (1, M, 4h, 4w); with extra metrics masks,
            scores, stability (1, M), area (1, M) in pixels, low-resolution logits. M is 4, or 1.
        """
        logits, scores = self._decoder(image_embeddings, point_coords, point_labels, mask_input, has_mask_input != 0)
        if self.use_stability_score:
            scores = self._stability(logits)
        if self.return_single_mask:
            # Without a branch: an exported graph has to do it for every number of points.
            single = torch.tensor([[1000.0] + [0.0] * (scores.shape[1] - 1)], device=scores.device)
            best = torch.argmax(scores + (point_coords.shape[1] - _FEW_POINTS) * single, dim=1)
            rows = torch.arange(logits.shape[0])
            logits, scores = logits[rows, best][:, None], scores[rows, best][:, None]
        masks = self._upscaled(logits, orig_im_size)
        if not self.return_extra_metrics:
            return masks, scores, logits
        areas = (masks > self._threshold).sum(-1).sum(-1)
        return masks, scores, self._stability(masks), areas, logits

    def _upscaled(self, logits: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
        square = F.interpolate(logits, (self.img_size, self.img_size), mode="bilinear", align_corners=False)
        exact = size.to(torch.float32)
        height, width = torch.floor(exact * (self.img_size / exact.max()) + 0.5).to(torch.int64)
        whole = size.to(torch.int64)
        inside = square[..., :height, :width]
        return F.interpolate(inside, (whole[0], whole[1]), mode="bilinear", align_corners=False)  # type: ignore[arg-type]

    def _stability(self, logits: torch.Tensor) -> torch.Tensor:
        """IoU of each mask at a raised and at a lowered cutoff."""
        small, large = ((logits > self._threshold + each).sum(-1).sum(-1) for each in (_OFFSET, -_OFFSET))
        return small / large
