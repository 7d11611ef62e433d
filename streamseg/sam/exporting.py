"""A model as ONNX graphs: with its weights, for any ONNX runtime; or without, as they come with this package.

    python -m streamseg.sam.exporting        # 'make graphs': the packaged graphs anew, after a change of the network

A graph is made by tracing the modules that run in torch; its weights have the names they have in a checkpoint.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn

from streamseg import extras
from streamseg.errors import ModelError
from streamseg.sam.engines.packaged_graphs import FOLDER, WEIGHTS_LOCATION, Half, PackagedGraphs, facts_path, graph_path
from streamseg.sam.matching import MATCHER
from streamseg.sam.models import ModelInfo, find
from streamseg.sam.networks.architectures import ARCHITECTURES, Architecture
from streamseg.sam.networks.halves import DecoderModule, EncoderModule

OPSET = 17
# Any numbers above 1 do, which tracing could take for a dimension that is always 1.
_BATCH, _PROMPTS, _POINTS = 2, 3, 4

Axes = Mapping[str, Mapping[int, str]]


@dataclass(frozen=True)
class Traced:
    """One half as a graph without weights."""

    model: Any
    """An ``onnx.ModelProto``; its weights are said to be in a file `WEIGHTS_LOCATION` that is not there."""
    weights: list[str]
    """Their names: those in a checkpoint."""


def import_onnx() -> Any:
    """The package onnx.

    Raises:
        ModelError: it is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise ModelError(f"exporting needs the package onnx: {extras.command('export')}") from error
    return onnx


def trace(info: ModelInfo, half: Half, network: nn.Module) -> Traced:
    """One half of a model as a graph.

    Args:
        info: the model.
        half: which.
        network: the model's whole network on the CPU; the values of its weights do not matter.

    Raises:
        ModelError: the package onnx is not installed.
    """
    import_onnx()
    architecture = ARCHITECTURES[info.name]
    return (
        _trace_encoder(info, architecture, network)
        if half == "encoder"
        else _trace_decoder(info, architecture, network)
    )


def _trace_encoder(info: ModelInfo, architecture: Architecture, network: nn.Module) -> Traced:
    encoder = EncoderModule(info, network.get_submodule(architecture.encoder))
    images = torch.zeros(_BATCH if encoder.convolutional else 1, info.focus_size, info.focus_size // 2, 3)
    axes = {
        "images_rgb": {0: "images", 1: "height", 2: "width"},
        "features": {0: "images", 2: "grid", 3: "grid"} if encoder.convolutional else {0: "images"},
    }
    prefixes = {"network": architecture.encoder}
    traced = _traced(encoder, {"images_rgb": images.to(torch.uint8)}, axes, prefixes)
    # The exporter cannot tell these where sizes before them vary.
    shape = traced.model.graph.output[0].type.tensor_type.shape
    shape.dim[1].dim_value = info.width
    if not encoder.convolutional:
        shape.dim[2].dim_value = shape.dim[3].dim_value = info.whole_size // info.stride
    return traced


def _trace_decoder(info: ModelInfo, architecture: Architecture, network: nn.Module) -> Traced:
    decoder = DecoderModule(
        info, network.get_submodule(architecture.prompt_encoder), network.get_submodule(architecture.mask_decoder)
    )
    grid = info.focus_size // info.stride
    inputs = {
        "features": torch.zeros(_PROMPTS, info.width, grid, grid),
        "points_xy": torch.zeros(_PROMPTS, _POINTS, 2),
        "point_labels": torch.zeros(_PROMPTS, _POINTS, dtype=torch.int64),
        "mask_input": torch.zeros(_PROMPTS, 1, 4 * grid, 4 * grid),
        "has_mask_input": torch.zeros(_PROMPTS, dtype=torch.bool),
    }
    axes = {
        "features": {0: "pictures", 2: "grid", 3: "grid"},
        "points_xy": {0: "prompts", 1: "points"},
        "point_labels": {0: "prompts", 1: "points"},
        "mask_input": {0: "prompts", 2: "side", 3: "side"},
        "has_mask_input": {0: "prompts"},
        "logits": {0: "prompts", 2: "side", 3: "side"},
        "scores": {0: "prompts"},
    }
    prefixes = {"prompt_encoder": architecture.prompt_encoder, "mask_decoder": architecture.mask_decoder}
    return _traced(decoder, inputs, axes, prefixes)


def _traced(module: nn.Module, inputs: dict[str, torch.Tensor], axes: Axes, prefixes: Mapping[str, str]) -> Traced:
    written = io.BytesIO()
    module.eval()
    # Of a module in training, and only there, the exporter does not merge weights that happen to be equal. The parts
    # stay in evaluation.
    module.training = True
    with _tracing(), torch.inference_mode():
        torch.onnx.export(
            module,
            tuple(inputs.values()),
            written,  # type: ignore[arg-type]
            input_names=list(inputs),
            output_names=[name for name in axes if name not in inputs],
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
            # The weights become inputs under their own names.
            export_params=False,
            do_constant_folding=False,
            training=torch.onnx.TrainingMode.PRESERVE,
        )
    onnx = import_onnx()
    model = onnx.load_from_string(written.getvalue())
    return Traced(model, _weights_outside(onnx, model, set(inputs), prefixes))


@contextlib.contextmanager
def _tracing() -> Iterator[None]:
    with warnings.catch_warnings():
        # That shapes become constants, where they are; and that torch has a newer exporter, which needs more packages.
        warnings.simplefilter("ignore")
        yield


def _weights_outside(onnx: Any, model: Any, inputs: set[str], prefixes: Mapping[str, str]) -> list[str]:
    """Turn the inputs that are weights into weights that lie elsewhere, under the names of a checkpoint."""
    graph = model.graph
    given = list(graph.input)
    del graph.input[:]
    renamed: dict[str, str] = {}
    for value in given:
        if value.name in inputs:
            graph.input.append(value)
            continue
        attribute, _, rest = value.name.partition(".")
        name = renamed[value.name] = f"{prefixes[attribute]}.{rest}"
        kind = value.type.tensor_type
        weight = graph.initializer.add(name=name, data_type=kind.elem_type, dims=[d.dim_value for d in kind.shape.dim])
        weight.data_location = onnx.TensorProto.EXTERNAL
        weight.external_data.add(key="location", value=WEIGHTS_LOCATION)
    for node in graph.node:
        node.doc_string = ""
        for place, name in enumerate(node.input):
            node.input[place] = renamed.get(name, name)
    return list(renamed.values())


def write_packaged(info: ModelInfo, folder: Path = FOLDER) -> None:
    """Write the graphs of a bundled model without weights, and the facts beside them.

    Raises:
        ModelError: the package onnx is not installed.
    """
    network = ARCHITECTURES[info.name].build().eval()
    folder.mkdir(parents=True, exist_ok=True)
    names: dict[str, list[str]] = {}
    for half in ("encoder", "decoder"):
        traced = trace(info, half, network)
        graph_path(info.name, half, folder).write_bytes(traced.model.SerializeToString())
        names[half] = traced.weights
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    matcher = [name for name in shapes if name.startswith(f"{MATCHER}.")]
    facts = PackagedGraphs(network=shapes, encoder=names["encoder"], decoder=names["decoder"], matcher=matcher)
    facts_path(info.name, folder).write_bytes(msgspec.json.encode(facts) + b"\n")


if __name__ == "__main__":
    write_packaged(find("tiny"))
