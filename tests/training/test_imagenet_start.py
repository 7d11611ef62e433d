"""`samples/train/imagenet.py`: EfficientNet-Lite0's weights under our names."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

from streamseg.sam.networks.tiny import PyramidEncoder

SCRIPT = Path(__file__).parents[2] / "samples" / "train" / "imagenet.py"


def lite0() -> dict[str, torch.Tensor]:
    """Random weights under the names and shapes of ``efficientnet_lite_pytorch``, made from our own trunk."""
    torch.manual_seed(0)
    network, weights, number = PyramidEncoder(), {}, 0

    def give(convolution: str, normalization: str, part: torch.nn.Module) -> None:
        weights[f"{convolution}.weight"] = torch.randn_like(part[0].weight)
        for name in ("weight", "bias", "running_mean", "running_var"):
            weights[f"{normalization}.{name}"] = torch.randn_like(getattr(part[1], name))

    give("_conv_stem", "_bn0", network.a[0])
    for stage in (*network.a[1:], *network.b, *network.c):
        for block in stage:
            names = [("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]
            for (convolution, normalization), part in zip(names[-len(block.layers) :], block.layers, strict=True):
                give(f"_blocks.{number}.{convolution}", f"_blocks.{number}.{normalization}", part)
            number += 1
    return weights


def test_every_weight_of_the_trunk_finds_its_place():
    spec = importlib.util.spec_from_file_location("imagenet", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    given = lite0()
    found = script.trunk_of(given)
    network = PyramidEncoder()
    missing, unexpected = network.load_state_dict(found, strict=False)
    assert unexpected == []
    assert {name.split(".")[0] for name in missing if not name.endswith("num_batches_tracked")} == {"l", "o"}
    # The same picture, normalized either way, comes to the same in the first layer.
    values = torch.randint(0, 256, (1, 3, 8, 8)).float()
    theirs = torch.conv2d((values - 127) / 128, given["_conv_stem.weight"]) - given["_bn0.running_mean"][:, None, None]
    mean, std = torch.tensor((123.675, 116.28, 103.53)), torch.tensor((58.395, 57.12, 57.375))
    normalized = (values - mean[:, None, None]) / std[:, None, None]
    ours = torch.conv2d(normalized, found["a.0.0.weight"]) - found["a.0.1.running_mean"][:, None, None]
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found["c.1.0.layers.2.0.weight"], given["_blocks.15._project_conv.weight"])
