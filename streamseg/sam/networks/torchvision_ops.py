"""Make ``import torchvision`` work beside a CPU-only torch.

The torchvision wheel on the package index is linked against CUDA. With a CPU-only torch its compiled operators do
not load, and its import ends in "operator torchvision::nms does not exist", because it registers shapes for an
operator that nobody has declared. Declaring it is enough.
"""

from __future__ import annotations

import importlib

import torch

_SYMPTOM = "operator torchvision::nms does not exist"
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"

# Operators live as long as the library object that declares them.
_library: torch.library.Library | None = None


def nms(boxes_xyxy: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Non-maximum suppression: keep the best box, drop what overlaps it by more than the threshold, go on.

    Args:
        boxes_xyxy: (N, 4) float corners, x0 <= x1 and y0 <= y1.
        scores: (N,) float.
        iou_threshold: a box goes if its IoU with a better kept one is greater than this.

    Returns:
        (K,) int64 indices of the kept boxes, best score first.
    """
    order = torch.argsort(scores, descending=True, stable=True)
    boxes = boxes_xyxy[order].to(torch.float32)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    alive = torch.ones(len(order), dtype=torch.bool)
    for i in range(len(order)):
        if not alive[i]:
            continue
        low = torch.maximum(boxes[i, :2], boxes[i + 1 :, :2])
        high = torch.minimum(boxes[i, 2:], boxes[i + 1 :, 2:])
        shared = (high - low).clamp(min=0).prod(dim=1)
        iou = shared / (areas[i] + areas[i + 1 :] - shared)
        # Two empty boxes give 0/0: not greater than anything, so both stay, as in torchvision's own kernel.
        alive[i + 1 :] &= ~(iou > iou_threshold)
    return order[alive]


def ensure_torchvision() -> bool:
    """Import torchvision, declaring the two missing operators if that is what keeps it from loading.

    A healthy torchvision is left alone, and any other error passes through.

    Returns:
        True if the operators had to be declared here.
    """
    global _library
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if _SYMPTOM not in str(error):
            raise
        _library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        _library.define("nms" + _SCHEMA)  # type: ignore[no-untyped-call]
        _library.define("qnms" + _SCHEMA)  # type: ignore[no-untyped-call]
        _library.impl("nms", nms, "CPU")  # type: ignore[no-untyped-call]
        importlib.import_module("torchvision")
        # `torchvision.ops.nms` first asks whether the compiled operators are there, and the one it needs is now. (The
        # IoU of rotated boxes asks too; without its operator it still fails, by name.)
        boxes = importlib.import_module("torchvision.ops.boxes")
        boxes._assert_has_ops = lambda: None  # type: ignore[attr-defined]
        return True
    return _library is not None
