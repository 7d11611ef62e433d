"""The bundled model's network: SAM's prompt encoder and mask decoder on a light convolutional encoder."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from streamseg.sam.matching import MIN_COVERED
from streamseg.sam.networks.torchvision_ops import ensure_torchvision

ensure_torchvision()

from segment_anything.modeling import MaskDecoder, PromptEncoder, TwoWayTransformer  # noqa: E402
from torchvision.ops.misc import Conv2dNormActivation  # noqa: E402

WIDTH = 128
STRIDE = 8
KEY_WIDTH = 64
MULTIPLE = 32
"""The encoder takes pictures whose sides are multiples of this: the coarsest trunk stage's stride."""


_NORM = partial(nn.BatchNorm2d, eps=1e-3)
_STEM = 32
_STAGES = (
    # Widening, kernel, stride, channels, blocks: EfficientNet-Lite0 (Tan and Le 2019, without squeeze and excitation).
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)


class InvertedResidual(nn.Module):
    """A convolution made of cheap ones: widen, filter each channel, narrow; with a way round it if the shape allows."""

    def __init__(self, taken: int, given: int, *, widening: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = taken * widening
        layers: list[nn.Module] = []
        if widening > 1:
            layers.append(_convolution(taken, wide, 1))
        layers.append(_convolution(wide, wide, kernel, stride, groups=wide))
        layers.append(_convolution(wide, given, 1, activation_layer=None))
        self.layers = nn.Sequential(*layers)
        self._around = stride == 1 and taken == given

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, taken, H, W) -> (B, given, H / stride, W / stride)."""
        found: torch.Tensor = self.layers(pixels)
        return pixels + found if self._around else found


class PyramidEncoder(nn.Module):
    """EfficientNet-Lite0's trunk at strides 8, 16 and 32, summed top-down at stride 8."""

    def __init__(self) -> None:
        super().__init__()
        channels = _STEM
        stages: list[nn.Module] = [_convolution(3, _STEM, 3, 2)]
        for widening, kernel, stride, width, count in _STAGES:
            blocks = []
            for i in range(count):
                blocks.append(
                    InvertedResidual(channels, width, widening=widening, kernel=kernel, stride=stride if i == 0 else 1)
                )
                channels = width
            stages.append(nn.Sequential(*blocks))
        # The short names are those in the weights file: ends at stride 8 (a), 16 (b) and 32 (c).
        self.a, self.b, self.c = (nn.Sequential(*stages[i:j]) for i, j in ((0, 4), (4, 6), (6, 8)))
        self.l = nn.ModuleList([nn.Conv2d(channels, WIDTH, 1) for channels in (40, 112, 320)])
        self.o = nn.Sequential(nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False), nn.GroupNorm(1, WIDTH))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) normalized RGB, H and W multiples of 32 -> (B, 128, H/8, W/8)."""
        fine = self.a(pixels)
        middle = self.b(fine)
        coarse = self.c(middle)
        summed = self.l[1](middle) + F.interpolate(self.l[2](coarse), size=middle.shape[-2:], mode="nearest")
        summed = self.l[0](fine) + F.interpolate(summed, size=fine.shape[-2:], mode="nearest")
        features: torch.Tensor = self.o(summed)
        return features


def _convolution(
    taken: int,
    given: int,
    kernel: int,
    stride: int = 1,
    *,
    groups: int = 1,
    activation_layer: type[nn.Module] | None = nn.ReLU6,
) -> nn.Module:
    convolution: nn.Module = Conv2dNormActivation(
        taken, given, kernel, stride, groups=groups, norm_layer=_NORM, activation_layer=activation_layer
    )
    return convolution


class Matcher(nn.Module):
    """How a view is compared with earlier views of the object; what comes out is added to the features.

    SAM's decoder knows no time: of an object it is told a place, not its looks. Here every cell of the features is
    compared with all cells of earlier views of which it is known how much of them the object covers, as memory networks
    do it (Oh et al. 2019; the distance is that of Cheng et al. 2021), and the outcome is one more dense prompt.
    """

    def __init__(self) -> None:
        super().__init__()
        last = nn.Conv2d(32, WIDTH, 1, bias=False)
        self.key = nn.Conv2d(WIDTH, KEY_WIDTH, 1, bias=False)
        self.out = nn.Sequential(nn.Conv2d(3, 32, 1), nn.ReLU(), last)
        nn.init.orthogonal_(self.key.weight)
        # So it begins with adding nothing.
        nn.init.zeros_(last.weight)

    def forward(self, features: torch.Tensor, memory: torch.Tensor, covered: torch.Tensor) -> torch.Tensor:
        """What to add to the features of one view.

        Args:
            features: (C, h, w).
            memory: (C, M), features of M cells of earlier views.
            covered: (M,) 0 to 1, how much of each of those cells the object covers.

        Returns:
            (C, h, w).
        """
        keys = self.key(features[None])[0].flatten(1)
        known = self.key(memory[None, :, :, None])[0, :, :, 0]
        closeness = (2 * keys.T @ known - known.square().sum(0)) / KEY_WIDTH**0.5
        inside = torch.logsumexp(closeness + covered.clamp(min=MIN_COVERED).log(), 1)
        outside = torch.logsumexp(closeness + (1 - covered).clamp(min=MIN_COVERED).log(), 1)
        # The square of the key itself, left out above, so that a cell like nothing known is far from both.
        own = keys.square().sum(0) / KEY_WIDTH**0.5
        found = torch.stack([torch.tanh((inside - outside) / 2), (inside - own) / 8, (outside - own) / 8])
        added: torch.Tensor = self.out(found.reshape(1, 3, *features.shape[-2:]))[0]
        return added


def fold_batch_norm(network: nn.Module) -> None:
    """Multiply every batch normalization into the convolution before it, in place, for inference.

    The result is the same up to rounding (1e-5 in the features) in about 0.87 of the time on one CPU core.
    """
    for part in network.modules():
        if isinstance(part, Conv2dNormActivation) and isinstance(part[1], nn.BatchNorm2d):
            part[0] = fuse_conv_bn_eval(part[0], part[1])
            part[1] = nn.Identity()


class Tiny(nn.Module):
    """The four parts under the names they have in the weights file: `enc`, `pe`, `dec`, `match`.

    Args:
        size: side in pixels of the square that prompts are placed in. It is no part of the weights.
    """

    def __init__(self, size: int = 512) -> None:
        super().__init__()
        grid = size // STRIDE
        self.enc = PyramidEncoder()
        self.pe = PromptEncoder(
            embed_dim=WIDTH, image_embedding_size=(grid, grid), input_image_size=(size, size), mask_in_chans=16
        )
        self.dec = MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(depth=2, embedding_dim=WIDTH, mlp_dim=512, num_heads=4),
            transformer_dim=WIDTH,
            iou_head_depth=3,
            iou_head_hidden_dim=128,
        )
        self.match = Matcher()
