"""ONNX files laid out as the exporters of detectors lay them out; each finds the same things in every frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Thing(NamedTuple):
    """What is found."""

    box_xyxy: tuple[float, float, float, float]
    """In pixels of the frame."""
    number: int
    """Of its class."""
    score: float


STRIDES_PX = (8, 16, 32)
FRAME_SIZE, INPUT_SIZE = (480, 640), (320, 320)
"""(H, W) in pixels."""


def write(path: Path, layout: str, things: Sequence[Thing], *, classes: int = 80, names: bool = True) -> Path:
    """A detector that finds these things in frames of `FRAME_SIZE`.

    Args:
        layout: as `streamseg_nodes.onnx_detector.layouts` calls it.
        classes: how many there are.
        names: whether the file says what they are called, as those of ultralytics do.
    """
    metadata = {"names": str({number: f"kind{number}" for number in range(classes)})} if names else {}
    if layout == "ultralytics-rtdetr":
        metadata["description"] = "Ultralytics RTDETR-l model"
    save(path, _outputs(layout, things, classes), metadata, two_inputs=layout == "rtdetr")
    return path


def save(
    path: Path,
    outputs: Mapping[str, np.ndarray],
    metadata: Mapping[str, str] | None = None,
    *,
    two_inputs: bool = False,
    side: int | str = INPUT_SIZE[0],
) -> None:
    """A network that gives these outputs whatever it is shown, though it looks at it."""
    nodes, values = [], []
    # Nothing that the picture changes, but nothing that could be left out either.
    constants = [numpy_helper.from_array(np.array(0, np.float32), "nothing")]
    nodes += [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "nothing"], ["zero"]),
    ]
    for name, array in outputs.items():
        constants.append(numpy_helper.from_array(array.astype(np.float32), f"all {name}"))
        nodes.append(helper.make_node("Add", [f"all {name}", "zero"], [name]))
        values.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape))
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, side, side])]
    if two_inputs:
        inputs.append(helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, [1, 2]))
    graph = helper.make_graph(nodes, "detector", inputs, values, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    for key, value in (metadata or {}).items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, path)


def _outputs(layout: str, things: Sequence[Thing], classes: int) -> dict[str, np.ndarray]:
    frame = np.array([each.box_xyxy for each in things], float).reshape(-1, 4)
    scores = np.array([each.score for each in things])
    numbers = np.array([each.number for each in things])
    (height, width), (rows, columns) = FRAME_SIZE, INPUT_SIZE
    scale = min(rows / height, columns / width)
    top, left = (rows - height * scale) / 2, (columns - width * scale) / 2
    centered, corner = frame * scale + (left, top, left, top), frame * scale
    fractions = _centers(frame / (width, height, width, height))
    all_scores = np.zeros((len(things), classes))
    all_scores[np.arange(len(things)), numbers] = scores
    cells = sum((rows // stride) * (columns // stride) for stride in STRIDES_PX)
    if layout == "ultralytics":
        grid = np.zeros((1, 4 + classes, cells))
        grid[0, :, : len(things)] = np.concatenate([_centers(centered), all_scores], axis=1).T
        return {"output0": grid}
    if layout == "yolov5":
        grid = np.zeros((1, 3 * cells, 5 + classes))
        sure = np.full((len(things), 1), 0.8)
        grid[0, : len(things)] = np.concatenate([_centers(centered), sure, all_scores / sure], axis=1)
        return {"output0": grid}
    if layout == "end2end":
        grid = np.zeros((1, 300, 6))
        grid[0, : len(things)] = np.concatenate([centered, scores[:, None], numbers[:, None]], axis=1)
        return {"output0": grid}
    if layout == "yolox":
        grid = np.zeros((1, cells, 5 + classes))
        for number, (box, row) in enumerate(zip(_centers(corner), all_scores, strict=True)):
            # Cells of the second grid begin after those of the first; each has its own place to count from.
            stride, first = STRIDES_PX[1], (rows // 8) * (columns // 8)
            cell = first + 3 * (columns // stride) + number
            offset = box[:2] / stride - (number, 3)
            grid[0, cell] = np.concatenate([offset, np.log(box[2:] / stride), [0.8], row / 0.8])
        return {"output": grid}
    if layout in ("rtdetr", "boxes"):
        boxes = frame if layout == "rtdetr" else centered
        one = (slice(None),) if layout == "boxes" else (None,)
        return {"labels": numbers[one], "boxes": boxes[one], "scores": scores[one]}
    if layout == "ultralytics-rtdetr":
        return {"output0": np.concatenate([fractions, all_scores], axis=1)[None]}
    logits = np.where(all_scores > 0, np.log(np.maximum(all_scores, 1e-9) / np.maximum(1 - all_scores, 1e-9)), -9.0)
    if layout == "rfdetr":
        return {"dets": fractions[None], "labels": logits[None]}
    if layout == "detr":
        return {"logits": logits[None], "pred_boxes": fractions[None]}
    assert layout == "counted"
    padded = np.concatenate([centered, np.full((5, 4), 7.0)])
    return {
        "num_dets": np.array([[len(things)]]),
        "det_boxes": padded[None],
        "det_scores": np.concatenate([scores, np.ones(5)])[None],
        "det_classes": np.concatenate([numbers, np.zeros(5)])[None],
    }


def _centers(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)
