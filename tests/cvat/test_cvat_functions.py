"""The functions for CVAT as ``cvat-cli`` loads and calls them, without a server.

What they give goes through the SDK's own check, which an annotation has to pass on its way to a server.
"""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import cv2
import cvat_sdk.auto_annotation as cvataa
import numpy as np
import pytest
from cvat_cli._internal.agent import get_function_driver_class
from cvat_cli._internal.common import FunctionLoader
from cvat_sdk import masks, models
from cvat_sdk.auto_annotation.driver import _AnnotationMapper
from PIL import Image

from streamseg.cvat.shapes import mask_points, polygon_points, to_mask
from streamseg.errors import PromptError
from streamseg.masks import polygons
from streamseg.masks.boxes import box_iou

SIZE = (120, 200)
TINY = {"model": "tiny", "device": "cpu"}


def picture(center_x: int = 80) -> Image.Image:
    found = np.full((*SIZE, 3), (40, 90, 60), np.uint8)
    cv2.circle(found, (center_x, 60), 25, (240, 200, 60), -1)
    return Image.fromarray(cv2.GaussianBlur(found, (3, 3), 0))


def disk(center_x: int = 80) -> np.ndarray:
    return np.hypot(*np.meshgrid(np.arange(200) - center_x, np.arange(120) - 60)) <= 25


def iou(found: np.ndarray, truth: np.ndarray) -> float:
    return float((found & truth).sum() / (found | truth).sum())


def decoded(points: list[float]) -> np.ndarray:
    return masks.decode_mask(points, image_width=SIZE[1], image_height=SIZE[0])


def load(name: str, **parameters: Any) -> Any:
    return FunctionLoader(f"streamseg.cvat.{name}", None, {**TINY, **parameters}).load()


@pytest.fixture(scope="module")
def everything() -> Any:
    return load("everything", label="disk", points_per_side=8)


@pytest.mark.parametrize("to_polygons", [False, True], ids=["masks", "polygons"])
def test_everything_passes_the_check_of_the_sdk(everything, to_polygons):
    context = SimpleNamespace(frame_name="a.png", conf_threshold=None, conv_mask_to_poly=to_polygons)
    found = everything.detect(context, picture())
    assert found
    label = models.Label(name="disk", id=77, type="any", sublabels=[], attributes=[])
    mapper = _AnnotationMapper(
        logging.getLogger(),
        everything.spec.labels,
        [label],
        allow_unmatched_labels=False,
        conv_mask_to_poly=to_polygons,
    )
    mapper.validate_and_remap(found, 5)
    assert [(each.label_id, each.frame) for each in found] == [(77, 5)] * len(found)
    if to_polygons:
        shapes = [polygons.fill([np.reshape(each.points, (-1, 2))], *SIZE) for each in found]
    else:
        shapes = [decoded(each.points) for each in found]
    assert max(iou(each, disk()) for each in shapes) > 0.8


def test_a_threshold_takes_away(everything):
    context = SimpleNamespace(frame_name="a.png", conf_threshold=1.1, conv_mask_to_poly=False)
    assert everything.detect(context, picture()) == []


@pytest.mark.parametrize(
    ("positive", "negative", "box"),
    [([(80, 60)], [], None), ([], [], ((54, 34), (106, 86))), ([(80, 60)], [(20, 20)], ((54, 34), (106, 86)))],
    ids=["a click", "a box", "both"],
)
def test_a_click_and_a_box(positive, negative, box):
    function = load("interact")
    get_function_driver_class(function.spec)
    asked = function.preprocess_image(SimpleNamespace(), picture())
    prompts = SimpleNamespace(pos_points=positive, neg_points=negative, bounding_box=box)
    (found,) = function.detect(SimpleNamespace(), asked, prompts)
    assert found.type == "mask"
    assert decoded(found.points)[60, 80]
    if box is not None:
        assert iou(decoded(found.points), disk()) > 0.8
    (estimate,) = found.attributes
    assert 0 <= float(estimate.value) <= 1


def test_nothing_pointed_at_is_said():
    function = load("interact")
    prompts = SimpleNamespace(pos_points=[], neg_points=[(1, 1)], bounding_box=None)
    with pytest.raises(PromptError, match="expected a box or a click on the object, got neither"):
        function.detect(SimpleNamespace(), function.preprocess_image(SimpleNamespace(), picture()), prompts)


@pytest.mark.parametrize("kind", ["rectangle", "polygon", "mask"])
def test_a_shape_is_followed(kind):
    function = load("track")
    get_function_driver_class(function.spec)
    points = {
        "rectangle": [55.0, 35.0, 106.0, 86.0],
        "polygon": polygon_points(disk()),
        "mask": mask_points(disk()),
    }[kind]
    context = SimpleNamespace(original_shape_type=kind)
    shape = cvataa.TrackableShape(type=kind, points=points)
    state = function.init_tracking_state(context, function.preprocess_image(context, picture()), shape)
    for step in range(1, 4):
        center = 80 + 4 * step
        found = function.track(context, function.preprocess_image(context, picture(center)), state)
        assert found is not None
        assert found.type == kind
    if kind == "rectangle":
        assert box_iou(tuple(found.points), (67, 35, 118, 86)) > 0.8
    else:
        assert iou(to_mask(kind, found.points, SIZE), disk(center)) > 0.8


@pytest.mark.parametrize(
    ("kind", "points", "said"),
    [("polygon", [300, 300, 310, 300, 310, 310], "empty one"), ("mask", [1, 2, 3], "expected a mask of CVAT")],
)
def test_shapes_that_cannot_be_meant(kind, points, said):
    with pytest.raises(PromptError, match=said):
        to_mask(kind, points, SIZE)
