"""MobileSAM's network: SAM's prompt encoder and mask decoder on TinyViT (Wu et al. 2022), as Zhang et al. 2023 use it.

Names of weights are those of MobileSAM's checkpoint. This is for looking only: what training needs is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from streamseg.sam.networks.torchvision_ops import ensure_torchvision

ensure_torchvision()

from segment_anything.modeling import MaskDecoder, PromptEncoder, TwoWayTransformer  # noqa: E402
from segment_anything.modeling.common import LayerNorm2d  # noqa: E402

SIZE, WIDTH, STRIDE = 1024, 256, 16

_STAGES = (
    # Channels, blocks, heads, side of the attention's windows.
    (64, 2, 0, 0),
    (128, 2, 4, 7),
    (160, 6, 5, 14),
    (320, 2, 10, 7),
)
_CLASSES = 1000
"""Of the head that the checkpoint still has from its training."""


class ConvNorm(nn.Sequential):
    """A convolution without bias, and batch normalization."""

    def __init__(self, taken: int, given: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.c = nn.Conv2d(taken, given, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(given)


class Embedding(nn.Module):
    """Pixels to features at a quarter of the resolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.seq = nn.Sequential(ConvNorm(3, width // 2, 3, 2), nn.GELU(), ConvNorm(width // 2, width, 3, 2))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, width, H / 4, W / 4)."""
        found: torch.Tensor = self.seq(pixels)
        return found


class Bottleneck(nn.Module):
    """Widen, filter each channel, narrow, around it the way past."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(width, 4 * width)
        self.conv2 = ConvNorm(4 * width, 4 * width, 3, groups=4 * width)
        self.conv3 = ConvNorm(4 * width, width)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, width, h, w) -> the same shape."""
        wide = F.gelu(self.conv2(F.gelu(self.conv1(features))))
        return F.gelu(features + self.conv3(wide))


class Merging(nn.Module):
    """From one stage to the next: other channels, and half the resolution if the stride is 2."""

    def __init__(self, taken: int, given: int, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(taken, given)
        self.conv2 = ConvNorm(given, given, 3, stride, groups=given)
        self.conv3 = ConvNorm(given, given)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, taken, h, w) -> (B, given, h / stride, w / stride)."""
        found: torch.Tensor = self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(features)))))
        return found


class WindowAttention(nn.Module):
    """Attention among the features of a window, with a learned bias for each distance, the same in all directions."""

    def __init__(self, width: int, heads: int, side: int) -> None:
        super().__init__()
        self.heads, self.side = heads, side
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.attention_biases = nn.Parameter(torch.zeros(heads, side * side))

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """(N, side * side, width) -> the same shape."""
        count, length, width = windows.shape
        # Queries, keys and values of a head lie beside each other.
        parts = self.qkv(self.norm(windows)).view(count, length, self.heads, 3, width // self.heads)
        query, key, value = parts.permute(3, 0, 2, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=self._bias())
        found: torch.Tensor = self.proj(mixed.transpose(1, 2).reshape(count, length, width))
        return found

    def _bias(self) -> torch.Tensor:
        """(heads, side * side, side * side)."""
        places = torch.arange(self.side, device=self.attention_biases.device)
        apart = (places[:, None] - places[None, :]).abs()
        # Rows apart times the side, plus columns apart, for each pair of places row by row.
        pairs = (apart[:, None, :, None] * self.side + apart[None, :, None, :]).reshape(self.side**2, self.side**2)
        return self.attention_biases[:, pairs]


class Mlp(nn.Module):
    """Two layers on each feature."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(..., width) -> the same shape."""
        found: torch.Tensor = self.fc2(F.gelu(self.fc1(self.norm(features))))
        return found


class WindowBlock(nn.Module):
    """Attention in windows, a convolution on each channel, and a small network on each feature."""

    def __init__(self, width: int, heads: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.attn = WindowAttention(width, heads, side)
        self.local_conv = ConvNorm(width, width, 3, groups=width)
        self.mlp = Mlp(width)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, width, h, w) -> the same shape."""
        count, width, rows, columns = features.shape
        side, below, right = self.side, -rows % self.side, -columns % self.side
        # Padding takes part in the attention, as it did in the training.
        padded = F.pad(features, (0, right, 0, below)).permute(0, 2, 3, 1)
        down, across = (rows + below) // side, (columns + right) // side
        tiles = padded.reshape(count, down, side, across, side, width).transpose(2, 3)
        mixed = self.attn(tiles.reshape(-1, side * side, width))
        whole = mixed.reshape(count, down, across, side, side, width).transpose(2, 3)
        whole = whole.reshape(count, rows + below, columns + right, width)[:, :rows, :columns]
        features = self.local_conv(features + whole.permute(0, 3, 1, 2))
        found: torch.Tensor = features + self.mlp(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return found


class Stage(nn.Module):
    """Blocks of one resolution, and the way to the next stage."""

    def __init__(self, blocks: Sequence[nn.Module], downsample: nn.Module | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Features of this stage -> what the next takes."""
        for block in self.blocks:
            features = block(features)
        return features if self.downsample is None else self.downsample(features)


class TinyVitEncoder(nn.Module):
    """Image encoder: TinyViT with 5 million parameters, whose last stage keeps the resolution, and SAM's neck."""

    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = Embedding(_STAGES[0][0])
        self.layers = nn.ModuleList()
        for number, (width, depth, heads, side) in enumerate(_STAGES):
            blocks = [WindowBlock(width, heads, side) if heads else Bottleneck(width) for _ in range(depth)]
            is_last, next_is_last = number + 1 == len(_STAGES), number + 2 == len(_STAGES)
            merging = None if is_last else Merging(width, _STAGES[number + 1][0], 1 if next_is_last else 2)
            self.layers.append(Stage(blocks, merging))
        last = _STAGES[-1][0]
        # These two are in the checkpoint, and not used.
        self.norm_head = nn.LayerNorm(last)
        self.head = nn.Linear(last, _CLASSES)
        self.neck = nn.Sequential(
            nn.Conv2d(last, WIDTH, 1, bias=False),
            LayerNorm2d(WIDTH),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False),
            LayerNorm2d(WIDTH),
        )

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, WIDTH, H / STRIDE, W / STRIDE)."""
        features = self.patch_embed(pixels)
        for layer in self.layers:
            features = layer(features)
        found: torch.Tensor = self.neck(features)
        return found


class MobileSam(nn.Module):
    """The whole network."""

    def __init__(self) -> None:
        super().__init__()
        self.image_encoder = TinyVitEncoder()
        grid = SIZE // STRIDE
        self.prompt_encoder = PromptEncoder(WIDTH, (grid, grid), (SIZE, SIZE), mask_in_chans=16)
        transformer = TwoWayTransformer(depth=2, embedding_dim=WIDTH, num_heads=8, mlp_dim=2048)
        self.mask_decoder = MaskDecoder(transformer_dim=WIDTH, transformer=transformer)


def build_mobile_sam() -> nn.Module:
    """The network without weights."""
    return MobileSam()
