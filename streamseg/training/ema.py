"""The running mean of the weights: what is measured and kept, for it is better than any single step's."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn


class ExponentialMovingAverage:
    """Of a network's weights and statistics; counters are copied.

    Args:
        network: its weights are the first mean.
    """

    def __init__(self, network: nn.Module) -> None:
        self.weights = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, decay: float) -> None:
        """Move by 1 - `decay` towards the network's weights."""
        now = network.state_dict()
        moving = [name for name, value in self.weights.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.weights[name] for name in moving], [now[name] for name in moving], 1 - decay)
        for name in self.weights.keys() - set(moving):
            self.weights[name].copy_(now[name])

    @torch.no_grad()
    def restore(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Take a mean that was kept."""
        for name, value in self.weights.items():
            value.copy_(weights[name])
