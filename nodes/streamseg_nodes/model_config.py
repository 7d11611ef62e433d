"""Options that embed and propagate share: each runs one half of the same model."""

from __future__ import annotations

from typing import Annotated

from streamseg.node import NodeConfig, Option
from streamseg.sam.engines import Engine


class ModelConfig(NodeConfig, frozen=True):
    """Which model, and where and in what it runs."""

    model: Annotated[
        str, Option("tiny, vit_b, vit_h, …: 'streamseg models' lists them", flag="--model", metavar="M")
    ] = "tiny"
    checkpoint: Annotated[
        str | None, Option("the model's weights, if not the original ones", flag="--checkpoint", metavar="FILE")
    ] = None
    device: Annotated[str, Option("auto, cpu, cuda:N or mps", flag="--device", metavar="D")] = "auto"
    engine: Annotated[
        Engine,
        Option(
            "what computes; auto: where the model has a graph for it, on the CPU, OpenVINO if it is installed, else "
            "ONNX Runtime; torch for all else",
            flag="--engine",
        ),
    ] = "auto"
