"""Options that embed and propagate share, since each runs one half of the same model, and discover, which runs both."""

from __future__ import annotations

from typing import Annotated

from streamseg.node import NodeConfig, Option
from streamseg.sam.engines import Engine

Model = Annotated[str, Option("tiny, vit_b, vit_h, …: 'streamseg models' lists them", flag="--model", metavar="M")]
Checkpoint = Annotated[
    str | None, Option("the model's weights, if not the original ones", flag="--checkpoint", metavar="FILE")
]
Device = Annotated[str, Option("auto, cpu, cuda:N or mps", flag="--device", metavar="D")]
WhichEngine = Annotated[
    Engine,
    Option(
        "what computes; auto: where the model has a graph for it, on the CPU, OpenVINO if it is installed, else "
        "ONNX Runtime; torch for all else",
        flag="--engine",
    ),
]


class ModelConfig(NodeConfig, frozen=True):
    """Which model, and where and in what it runs."""

    model: Model = "tiny"
    checkpoint: Checkpoint = None
    device: Device = "auto"
    engine: WhichEngine = "auto"
