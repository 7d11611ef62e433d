"""A detector in an ONNX file: loaded, its layout found out, asked for the boxes in a frame."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from streamseg.errors import ModelError
from streamseg.messages import Detection
from streamseg_nodes.onnx_detector.class_names import names_in, usual_names, wanted
from streamseg_nodes.onnx_detector.layouts import LAYOUTS, Layout, Outputs, Raw, layout_called, recognize
from streamseg_nodes.onnx_detector.letterbox import in_frame, place

USUAL_SIZE_PX = 640
_SIZE_STEP_PX = 32
_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}


class DetectionModel:
    """A detector that is ready.

    Args:
        path: of the file.
        size_px: side of its input where the file leaves that open; None takes what its metadata say, or 640.
        layout: name of the layout of its outputs; ``auto`` finds it out.
        names: class -> what it is called; None takes those of the file, or COCO's.
        classes: names or numbers of those that are wanted, with commas between them; None wants all.
        score: boxes with less are left out.
        nms_iou: of two boxes of a class that overlap by more, the better one stays.
        threads: to compute with.

    Raises:
        ModelError: the file is no ONNX model, or no detector of a layout that is known.
        UsageError: it has no such class.
    """

    def __init__(
        self,
        path: Path,
        *,
        size_px: int | None,
        layout: str,
        names: Mapping[int, str] | None,
        classes: str | None,
        score: float,
        nms_iou: float,
        threads: int,
    ) -> None:
        self._session = _session(path, threads)
        self._score, self._nms_iou, self._path = score, nms_iou, path
        metadata = dict(self._session.get_modelmeta().custom_metadata_map)
        first, *others = self._session.get_inputs()
        if first.type not in _TYPES or len(first.shape) != 4 or len(others) > 1:
            raise ModelError(
                f"expected a detector that takes (1, 3, H, W) pictures at {path}, got inputs {self._shown()}"
            )
        self._input, self._dtype = first.name, np.dtype(_TYPES[first.type])
        self._size_input = others[0].name if others else None
        self.size = _size(first.shape, metadata, size_px)
        """(H, W) of its input in pixels."""
        named = names or names_in(metadata)
        chosen = None if layout == "auto" else layout_called(layout)
        blank = np.zeros((*self.size, 3), np.uint8)
        outputs = self._run(blank, chosen or LAYOUTS["ultralytics"])
        count = None if named is None else len(named)
        found = chosen or recognize(outputs, self.size, metadata, count, two_inputs=self._size_input is not None)
        if found is None:
            raise ModelError(
                f"expected a detector with outputs of a layout that is known at {path}, got {_shapes(outputs)}"
                f"{'' if count is None else f' for {count} classes'}; say which it is (--detect-layout: "
                f"{', '.join(LAYOUTS)}), or write a detector node of your own"
            )
        self.layout: Layout = found
        """How its outputs are read."""
        there = self._count_in(outputs)
        if named is not None and there is not None and there < len(named):
            raise ModelError(
                f"expected {len(named)} classes in the outputs of {path}, as there are names for, got {there}; say "
                f"which layout they have (--detect-layout), or what the classes are called (--detect-names)"
            )
        self.names: dict[int, str] = dict(named or usual_names(there))
        """Class -> what it is called."""
        self._count = len(self.names) if named is not None else there or len(self.names)
        self._read(outputs)
        self._wanted = wanted(classes, self.names)

    def __call__(self, image_rgb: np.ndarray) -> list[Detection]:
        """What there is in a frame, best first, boxes in its pixels.

        Args:
            image_rgb: (H, W, 3) uint8.
        """
        placed = place(image_rgb, self.size, self.layout, self._dtype)
        raw = self._read(self._answer(placed.tensor, image_rgb.shape[:2]))
        boxes = raw.boxes_xyxy if self.layout.in_frame else in_frame(raw.boxes_xyxy, placed)
        whole = np.isfinite(boxes).all(axis=1) & np.isfinite(raw.scores)
        kept = whole & (raw.scores >= self._score) & (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        if self._wanted is not None:
            kept &= np.isin(raw.classes, list(self._wanted))
        boxes, scores, classes = boxes[kept], raw.scores[kept], raw.classes[kept]
        order = np.argsort(-scores, kind="stable")
        if not self.layout.suppressed and len(order):
            sides = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
            chosen = cv2.dnn.NMSBoxesBatched(
                sides.tolist(), scores.tolist(), classes.tolist(), self._score, self._nms_iou
            )
            order = np.asarray(chosen, np.int64).reshape(-1)
        found = []
        for number in order:
            x0, y0, x1, y1 = map(float, boxes[number])
            kind = int(classes[number])
            found.append(Detection((x0, y0, x1, y1), self.names.get(kind, str(kind)), float(scores[number])))
        return found

    def _count_in(self, outputs: Outputs) -> int | None:
        try:
            return self.layout.count_classes(outputs)
        except (StopIteration, IndexError) as error:
            raise ModelError(
                f"expected outputs of layout {self.layout.name!r} from {self._path}, got {_shapes(outputs)}; say which "
                f"layout it is (--detect-layout)"
            ) from error

    def _read(self, outputs: Outputs) -> Raw:
        try:
            return self.layout.read(outputs, self.size, self._count)
        except (IndexError, ValueError, StopIteration, TypeError) as error:
            raise ModelError(
                f"expected outputs of layout {self.layout.name!r} for {self._count} classes from {self._path}, got "
                f"{_shapes(outputs)}; "
                f"say which layout it is (--detect-layout), or which classes (--detect-names)"
            ) from error

    def _run(self, image_rgb: np.ndarray, layout: Layout) -> dict[str, np.ndarray]:
        return self._answer(place(image_rgb, self.size, layout, self._dtype).tensor, image_rgb.shape[:2])

    def _answer(self, tensor: np.ndarray, frame_size: tuple[int, ...]) -> dict[str, np.ndarray]:
        given: dict[str, Any] = {self._input: tensor}
        if self._size_input is not None:
            # RT-DETR and its kin want width and height of the frame.
            given[self._size_input] = np.array([[frame_size[1], frame_size[0]]], np.int64)
        try:
            outputs = self._session.run(None, given)
        except Exception as error:
            raise ModelError(f"the detector {self._path} cannot be asked: {str(error).splitlines()[0]}") from error
        names = [each.name for each in self._session.get_outputs()]
        return {name: np.asarray(each) for name, each in zip(names, outputs, strict=True)}

    def _shown(self) -> str:
        return ", ".join(f"{each.name} {each.type} {each.shape}" for each in self._session.get_inputs())


def _shapes(outputs: Outputs) -> str:
    return ", ".join(f"{name} {tuple(each.shape)}" for name, each in outputs.items())


def _session(path: Path, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    # Other processes need the cores: waiting threads sleep.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(f"expected an ONNX file at {path}, got: {str(error).splitlines()[0]}") from error


def _size(shape: list[Any], metadata: Mapping[str, str], wish_px: int | None) -> tuple[int, int]:
    """(H, W) of the input: what the file fixes, else what is wished, else what its metadata say."""
    fixed = [side if isinstance(side, int) and side > 0 else None for side in shape[2:]]
    said = [int(word) for word in metadata.get("imgsz", "").strip("[]() ").replace(",", " ").split() if word.isdigit()]
    usual = said * 2 if len(said) == 1 else said if len(said) == 2 else [USUAL_SIZE_PX, USUAL_SIZE_PX]
    open_px = [wish_px, wish_px] if wish_px is not None else usual
    height, width = (
        fix or math.ceil(side / _SIZE_STEP_PX) * _SIZE_STEP_PX for fix, side in zip(fixed, open_px, strict=True)
    )
    return height, width
