"""Depthwise convolutions whose bfloat16 gradients are fast on a CPU.

oneDNN has no good bfloat16 kernel for the input gradient of a strided depthwise convolution, nor for the weight
gradient of a 5x5 one: they take 10 to 40 times as long as they could. Here the first is a convolution of stride 1 over
the gradient with zeros put in between, and the second is computed in float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

_FAST_IN_BF16_PX = 3
"""Kernels larger than this have a slow weight gradient in bfloat16."""


class FastDepthwise(nn.Conv2d):
    """A depthwise convolution without bias, square in all it has; the same values and gradients up to rounding."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, C, h, w)."""
        weight = self.weight
        if torch.is_autocast_enabled("cpu"):
            pixels, weight = pixels.to(torch.bfloat16), weight.to(torch.bfloat16)
        convolved: torch.Tensor = _Convolve.apply(  # type: ignore[no-untyped-call]
            pixels, weight, self.stride[0], int(self.padding[0])
        )
        return convolved


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pixels: torch.Tensor, weight: torch.Tensor, stride: int, padding: int) -> torch.Tensor:
        ctx.save_for_backward(pixels, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(pixels, weight, None, stride, padding, groups=pixels.shape[1])

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None, None, None]:
        pixels, weight = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        by_pixels = by_weight = None
        if ctx.needs_input_grad[0]:
            by_pixels = _by_pixels(gradient, pixels.shape, weight, ctx.stride, ctx.padding)
        if ctx.needs_input_grad[1]:
            by_weight = _by_weight(gradient, pixels, weight, ctx.stride, ctx.padding)
        return by_pixels, by_weight, None, None


def _by_pixels(
    gradient: torch.Tensor, shape: torch.Size, weight: torch.Tensor, stride: int, padding: int
) -> torch.Tensor:
    spread = gradient
    if stride > 1:
        spread = gradient.new_zeros(shape).to(memory_format=torch.channels_last)
        spread[:, :, ::stride, ::stride] = gradient
    around = weight.shape[-1] - 1 - padding
    return F.conv2d(spread, weight.flip(-1, -2).to(spread.dtype), None, 1, around, groups=shape[1])


def _by_weight(
    gradient: torch.Tensor, pixels: torch.Tensor, weight: torch.Tensor, stride: int, padding: int
) -> torch.Tensor:
    if weight.shape[-1] > _FAST_IN_BF16_PX:
        gradient, pixels, weight = gradient.float(), pixels.float(), weight.float()
    wanted = [False, True, False]
    _, found, _ = torch.ops.aten.convolution_backward(
        gradient, pixels, weight, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], pixels.shape[1], wanted
    )
    by_weight: torch.Tensor = found
    return by_weight


def speed_up(network: nn.Module) -> None:
    """Put a `FastDepthwise` with the same weight in the place of every depthwise convolution it can stand for."""
    for parent in list(network.modules()):
        for name, part in list(parent.named_children()):
            if isinstance(part, nn.Conv2d) and _fits(part):
                kernel, stride, padding = part.kernel_size[0], part.stride[0], int(part.padding[0])
                with torch.device("meta"):
                    fast = FastDepthwise(
                        part.in_channels, part.out_channels, kernel, stride, padding, groups=part.groups, bias=False
                    )
                fast.weight = part.weight
                setattr(parent, name, fast.train(part.training))


def _fits(part: nn.Conv2d) -> bool:
    sides = (part.kernel_size, part.stride, part.padding)
    return (
        1 < part.groups == part.in_channels == part.out_channels
        and part.bias is None
        and part.padding_mode == "zeros"
        and part.dilation == (1, 1)
        # "Same" size at stride 1: what the gradient's shape is computed for.
        and all(isinstance(side, tuple) and side[0] == side[1] for side in sides)
        and 2 * int(part.padding[0]) + 1 == part.kernel_size[0]
    )
