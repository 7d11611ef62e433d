from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from streamseg.sam.networks.tiny import PyramidEncoder
from streamseg.training.fast_depthwise import FastDepthwise, speed_up


def both(kernel, stride):
    torch.manual_seed(kernel + stride)
    plain = nn.Sequential(nn.Conv2d(8, 8, kernel, stride, kernel // 2, groups=8, bias=False))
    fast = copy.deepcopy(plain)
    speed_up(fast)
    assert isinstance(fast[0], FastDepthwise)
    return plain, fast


def gradients(network, pixels, bf16):
    pixels = pixels.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        found = network(pixels)
    return found, *torch.autograd.grad(found.float().square().sum(), (pixels, network[0].weight))


@pytest.mark.parametrize("side", [12, 13])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
def test_values_and_gradients_are_those_of_a_plain_convolution(kernel, stride, side):
    plain, fast = both(kernel, stride)
    pixels = torch.randn(2, 8, side, side).contiguous(memory_format=torch.channels_last)
    expected = gradients(plain, pixels, bf16=False)
    for one, other in zip(gradients(fast, pixels, bf16=False), expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    for one, other in zip(gradients(fast, pixels, bf16=True), expected, strict=True):
        assert (one.float() - other).norm() < 0.02 * other.norm()


def test_weights_keep_their_names():
    network = PyramidEncoder()
    before = {name: value.data_ptr() for name, value in network.state_dict().items()}
    speed_up(network)
    assert {name: value.data_ptr() for name, value in network.state_dict().items()} == before
    assert sum(isinstance(part, FastDepthwise) for part in network.modules()) == 16
    assert not any(
        isinstance(part, nn.Conv2d) and part.groups > 1 and not isinstance(part, FastDepthwise)
        for part in network.modules()
    )
