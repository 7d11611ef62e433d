"""Networks by model name, built without weights, and the names of their parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from streamseg.sam.networks.tiny import Tiny
from streamseg.sam.networks.tiny_vit import build_mobile_sam
from streamseg.sam.networks.torchvision_ops import ensure_torchvision

ensure_torchvision()

from segment_anything import sam_model_registry  # noqa: E402


@dataclass(frozen=True)
class Architecture:
    """How to build a network, and which of its submodules is which; their names are prefixes in the weights."""

    build: Callable[[], nn.Module]
    encoder: str = "image_encoder"
    prompt_encoder: str = "prompt_encoder"
    mask_decoder: str = "mask_decoder"

    def skeleton(self) -> nn.Module:
        """The whole network in evaluation mode on the meta device: shapes, no memory."""
        with torch.device("meta"):
            return self.build().eval()


ARCHITECTURES: dict[str, Architecture] = {
    "tiny": Architecture(Tiny, encoder="enc", prompt_encoder="pe", mask_decoder="dec"),
    "vit_t": Architecture(build_mobile_sam),
    "vit_b": Architecture(partial(sam_model_registry["vit_b"], checkpoint=None)),
    "vit_l": Architecture(partial(sam_model_registry["vit_l"], checkpoint=None)),
    "vit_h": Architecture(partial(sam_model_registry["vit_h"], checkpoint=None)),
}


def describe(shapes: dict[str, tuple[int, ...]]) -> str:
    """In words, which model weights with these names and shapes look like."""
    if "enc.a.0.0.weight" in shapes:
        return "tiny"
    if any(name.startswith("mask_decoder.hf_") for name in shapes):
        return "an HQ-SAM model, which is not supported"
    if any(name.startswith("sam_mask_decoder.") for name in shapes):
        return _describe_sam2(shapes)
    if any(name.startswith("image_encoder.patch_embed.seq.") for name in shapes):
        return "vit_t"
    position = shapes.get("image_encoder.pos_embed", ())
    widths = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}
    if position and position[-1] in widths:
        return widths[position[-1]]
    return "no model known here"


def _describe_sam2(shapes: dict[str, tuple[int, ...]]) -> str:
    depth = len({name.split(".")[3] for name in shapes if name.startswith("image_encoder.trunk.blocks.")})
    sizes = {12: "tiny", 16: "small", 24: "base_plus", 48: "large"}
    return f"sam2.1_hiera_{sizes[depth]}" if depth in sizes else "a SAM 2 model of a size not known here"
