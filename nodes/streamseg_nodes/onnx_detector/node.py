"""onnx_detector: objects come from a detector that people have as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec

from streamseg.detector import Detector
from streamseg.errors import ModelError
from streamseg.messages import Detection, Frame
from streamseg.node import Option
from streamseg.regular_files import check_regular
from streamseg_nodes.onnx_detector.class_names import read_names
from streamseg_nodes.onnx_detector.model import DetectionModel

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class OnnxDetector(Detector):
    """Find what a detector in an ONNX file finds (YOLO of any age, YOLOX, RT-DETR, D-FINE, RF-DETR and others)."""

    resumable = True
    replicable = True

    class Config(Detector.Config, frozen=True, kw_only=True):
        """Options of onnx_detector."""

        file: Annotated[str, Option("the ONNX file")]
        classes: Annotated[
            str | None,
            Option(
                "what the detector of --detect FILE.onnx shall find: names or numbers of classes, with commas between "
                "them (default: all)",
                flag="--detect-classes",
                metavar="NAMES",
            ),
        ] = None
        score: Annotated[Share, Option("what it is less sure of is left out", flag="--detect-score", metavar="S")] = (
            0.35
        )
        nms_iou: Annotated[
            Share,
            Option(
                "of two boxes of a class that overlap by more than this, the better one stays",
                flag="--detect-nms",
                metavar="IOU",
                rare=True,
            ),
        ] = 0.5
        layout: Annotated[
            str,
            Option(
                "how its outputs are laid out, if that cannot be told from the file: ultralytics, yolov5, end2end, "
                "yolox, rtdetr, ultralytics-rtdetr, rfdetr, detr, boxes, counted",
                flag="--detect-layout",
                metavar="NAME",
                rare=True,
            ),
        ] = "auto"
        names: Annotated[
            str | None,
            Option(
                "a text file with what its classes are called, one a line, if the file does not say it",
                flag="--detect-names",
                metavar="FILE",
                rare=True,
            ),
        ] = None
        size: Annotated[
            Annotated[int, msgspec.Meta(ge=32, le=4096)] | None,
            Option(
                "side of the pictures that it is given, in pixels, if the file leaves that open",
                flag="--detect-size",
                metavar="PX",
                rare=True,
            ),
        ] = None
        threads: Annotated[int, msgspec.Meta(ge=1), Option("to compute with")] = 1

    def setup(self) -> None:
        """Load it and find out what its outputs mean.

        Raises:
            ModelError: there is no such file, or it is no detector of a layout that is known.
            UsageError: it has no such class, or the file with names has none.
        """
        config = self.config
        path = Path(config.file).expanduser()
        try:
            check_regular(path)
        except OSError as error:
            raise ModelError(f"expected a detector as an ONNX file at {path}, got: {error.strerror or error}") from None
        names = None if config.names is None else read_names(Path(config.names).expanduser())
        self._model = DetectionModel(
            path,
            size_px=config.size,
            layout=config.layout,
            names=names,
            classes=config.classes,
            score=config.score,
            nms_iou=config.nms_iou,
            threads=config.threads,
        )

    def detect(self, frame: Frame) -> list[Detection]:
        """What it finds in a frame."""
        return self._model(frame.image_rgb)

    def describe(self) -> dict[str, Any]:
        """Which detector it is, and how it was understood."""
        return {
            "detector": Path(self.config.file).name,
            "layout": self._model.layout.name,
            "size": list(self._model.size),
            "classes": len(self._model.names),
        }
