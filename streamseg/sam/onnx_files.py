"""A model as ONNX files with its weights: an encoder, a decoder, and a JSON file that says how to use them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from streamseg.errors import ModelError, OutputError
from streamseg.sam import checkpoints
from streamseg.sam.engines.packaged_graphs import Half, graph_path
from streamseg.sam.exporting import OPSET, Traced, import_onnx, trace
from streamseg.sam.files.checkpoint_tensors import read_tensors
from streamseg.sam.models import ModelInfo
from streamseg.sam.networks.architectures import ARCHITECTURES

TOLERANCE = 1e-3
"""How far features, logits and scores of the files may be off torch's."""

# Protobuf holds 2 GB at most, and needs several times a file's size to write it.
_INLINE_BYTES = 500_000_000
# Weights in a file of their own begin at a memory page, so that they can be mapped.
_PAGE_BYTES = 4096

_HALVES: tuple[Half, Half] = ("encoder", "decoder")
_MEANINGS = {
    "images_rgb": "RGB pictures whose longer side is whole_size (or squares of focus_size)",
    "features": "of the picture's square, padding included; (1, …) for all prompts or one each",
    "points_xy": "pixels of that picture; a box is two points",
    "point_labels": "1 on the object, 0 not on it, 2 and 3 first and second corner of a box; points without a box are "
    "followed by one point labeled -1",
    "mask_input": "logits of an earlier answer; any values where has_mask_input is false",
    "has_mask_input": "whether mask_input counts",
    "logits": "four masks over the square, above 0 is the object: the single one, then three for an ambiguous click",
    "scores": "estimated IoU of each mask",
}


def export(info: ModelInfo, checkpoint: Path, folder: Path) -> list[Path]:
    """Write a model's ONNX files.

    Weights above half a gigabyte go to a file beside the graph, one at a time, so a large model needs little memory.

    Args:
        info: the model.
        checkpoint: its weights.
        folder: where to write; files of the same names are replaced.

    Returns:
        The files.

    Raises:
        ModelError: the package onnx is not installed.
        CheckpointError: the weights are damaged, or do not fit.
        OutputError: the folder cannot be written.
    """
    import_onnx()
    # Pages that nobody writes take no memory, and for tracing the values do not matter.
    network = ARCHITECTURES[info.name].skeleton().to_empty(device="cpu")
    written: list[Path] = []
    halves: dict[str, Any] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for half in _HALVES:
            traced = trace(info, half, network)
            path = graph_path(info.name, half, folder)
            written += _write(traced, _weights(info, checkpoint, half), path)
            halves[half] = _signature(traced.model, path.name)
        facts = {
            **{"model": info.name, "sha256": checkpoints.fingerprint(checkpoint), "opset": OPSET},
            **{"whole_size": info.whole_size, "focus_size": info.focus_size, "stride": info.stride},
            **halves,
        }
        written.append(folder / f"{info.name}.json")
        written[-1].write_bytes(msgspec.json.format(msgspec.json.encode(facts), indent=1) + b"\n")
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror or error}; choose another folder") from error
    return written


def largest_difference(info: ModelInfo, checkpoint: Path, folder: Path) -> float:
    """How far the files are off torch, on one picture and prompts of all kinds.

    Raises:
        ModelError: further than `TOLERANCE`.
    """
    # Only here: a machine that only exports need not load both.
    from streamseg.sam.engines.onnx_engine import open_file
    from streamseg.sam.engines.torch_engine import TorchDecoder, TorchEncoder

    draw = np.random.default_rng(0)
    size = info.whole_size
    image = draw.integers(0, 256, (1, size // 32, size // 16, 3), np.uint8).repeat(16, 1).repeat(16, 2)
    # One after the other, so that a large model is in memory once.
    features = TorchEncoder(info, checkpoint, "cpu").encode(image)
    differences = [
        _off(open_file(graph_path(info.name, "encoder", folder)).run(None, {"images_rgb": image}), [features])
    ]
    decoder, exported = TorchDecoder(info, checkpoint, "cpu"), open_file(graph_path(info.name, "decoder", folder))
    corners = np.array([[[0.2 * size, 0.1 * size], [0.7 * size, 0.4 * size]]], np.float32)
    masks = draw.normal(0, 5, (1, 1, 4 * features.shape[-1], 4 * features.shape[-1])).astype(np.float32)
    for labels, given in (((2, 3), True), ((2, 3), False), ((1, 0), False)):
        kinds = np.array([labels], np.int64)
        found = exported.run(
            None,
            {
                "features": features,
                "points_xy": corners,
                "point_labels": kinds,
                "mask_input": masks,
                "has_mask_input": np.array([given]),
            },
        )
        answer = decoder.decode(features, corners, kinds, masks if given else None, slice(None))
        differences.append(_off(found, list(answer)))
    worst = max(differences)
    if not worst <= TOLERANCE:
        raise ModelError(
            f"the ONNX files in {folder} are off torch by {worst:.2g}, more than {TOLERANCE:g}; do not use them, and "
            "report this with the versions that 'streamseg doctor' prints"
        )
    return worst


def _off(found: list[np.ndarray], expected: list[np.ndarray]) -> float:
    return max(float(np.abs(mine - its).max()) for mine, its in zip(found, expected, strict=True))


def _weights(info: ModelInfo, checkpoint: Path, half: Half) -> dict[str, torch.Tensor]:
    """Those of one half under their names in the checkpoint; mapped from its file where its format allows."""
    architecture = ARCHITECTURES[info.name]
    parts = {"encoder": [architecture.encoder], "decoder": [architecture.prompt_encoder, architecture.mask_decoder]}
    return read_tensors(info, checkpoint, parts[half])


def _write(traced: Traced, weights: Mapping[str, torch.Tensor], path: Path) -> list[Path]:
    """The graph with its weights in it, or beside it if they are many."""
    onnx = import_onnx()
    size_bytes = sum(weights[name].nbytes for name in traced.weights)
    if size_bytes <= _INLINE_BYTES:
        for initializer in traced.model.graph.initializer:
            if initializer.name in weights:
                del initializer.external_data[:]
                initializer.data_location = onnx.TensorProto.DEFAULT
                initializer.raw_data = weights[initializer.name].contiguous().numpy().tobytes()
        path.write_bytes(traced.model.SerializeToString())
        return [path]
    beside = path.with_name(f"{path.name}.data")
    with beside.open("wb") as file:
        for initializer in traced.model.graph.initializer:
            if initializer.name in weights:
                file.seek(-file.tell() % _PAGE_BYTES, 1)
                values = weights[initializer.name].contiguous().numpy()
                place = {"location": beside.name, "offset": file.tell(), "length": values.nbytes}
                del initializer.external_data[:]
                for key, value in place.items():
                    initializer.external_data.add(key=key, value=str(value))
                file.write(values.data)
    path.write_bytes(traced.model.SerializeToString())
    return [path, beside]


def _signature(model: Any, file_name: str) -> dict[str, Any]:
    return {
        "file": file_name,
        "inputs": [_port(value) for value in model.graph.input],
        "outputs": [_port(value) for value in model.graph.output],
    }


def _port(value: Any) -> dict[str, Any]:
    """Name, element type, shape (a word stands for any number) and meaning of an input or output."""
    tensor = value.type.tensor_type
    shape = [d.dim_param if d.HasField("dim_param") else d.dim_value for d in tensor.shape.dim]
    dtype = import_onnx().helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    return {"name": value.name, "dtype": dtype, "shape": shape, "meaning": _MEANINGS[value.name]}
