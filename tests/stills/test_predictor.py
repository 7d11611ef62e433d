"""`Predictor` gives what segment-anything's SamPredictor gives, and encodes a picture once."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

import streamseg
from streamseg.errors import CheckpointError, DeviceError, ModelError, PromptError, UsageError
from streamseg.stills.model import StillModel
from streamseg.stills.predictor import Predictor
from streamseg.stills.transform import ResizeLongestSide

# isort: split
# These need torchvision put right.
from segment_anything import SamPredictor
from segment_anything.utils.transforms import ResizeLongestSide as Reference

SIZE = (90, 120)


def picture(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def cases(size: tuple[int, int]) -> dict[str, dict[str, Any]]:
    """One of each kind of prompt, as `predict` takes them."""
    height, width = size
    points = np.array([[0.4 * width, 0.5 * height], [0.9 * width, 0.1 * height], [0.5 * width, 0.6 * height]])
    box = np.array([0.2 * width, 0.1 * height, 0.7 * width, 0.8 * height])
    mask = np.random.default_rng(5).normal(0, 5, (1, 256, 256)).astype(np.float32)
    labels = np.array([1, 0, 1])
    return {
        "point": {"point_coords": points[:1], "point_labels": labels[:1]},
        "points": {"point_coords": points, "point_labels": labels, "multimask_output": False},
        "box": {"box": box[None], "multimask_output": False},
        "box and a negative point": {"box": box, "point_coords": points[1:2], "point_labels": labels[1:2]},
        "point and mask": {"point_coords": points[:1], "point_labels": labels[:1], "mask_input": mask},
        "mask": {"mask_input": mask, "multimask_output": False},
        "logits": {"box": box, "return_logits": True},
    }


def same_masks(found: np.ndarray, wanted: np.ndarray, logits: np.ndarray) -> bool:
    """Whether masks are the same; where the logit is nothing but rounding, either may be right."""
    return found.shape == wanted.shape and bool((np.abs(logits[found != wanted]) < 1e-4).all())


def compare(mine: Predictor, its: SamPredictor, asked_of_both: dict[str, dict[str, Any]]) -> None:
    mixed = 0
    for name, asked in asked_of_both.items():
        masks, scores, low = mine.predict(**asked)
        wanted, wanted_scores, wanted_low = its.predict(**asked)
        for found, theirs in ((masks, wanted), (scores, wanted_scores), (low, wanted_low)):
            assert (found.shape, found.dtype) == (theirs.shape, theirs.dtype), name
        np.testing.assert_allclose(scores, wanted_scores, atol=1e-4, err_msg=name)
        np.testing.assert_allclose(low, wanted_low, atol=1e-3, rtol=1e-4, err_msg=name)
        if asked.get("return_logits"):
            np.testing.assert_allclose(masks, wanted, atol=1e-3, rtol=1e-4)
        else:
            mixed += 0 < wanted.mean() < 1
            logits = its.predict(**{**asked, "return_logits": True})[0]
            assert same_masks(masks, wanted, logits), name
    assert mixed, "random weights should give masks that are neither empty nor full"


@pytest.fixture(scope="module")
def pair(nano) -> tuple[Predictor, SamPredictor]:
    """Both, with the same picture."""
    image = picture(SIZE)
    mine, its = Predictor(nano.name, nano.checkpoint, device="cpu"), SamPredictor(nano.reference)
    mine.set_image(image)
    its.set_image(image)
    return mine, its


def test_masks_are_those_of_sam_predictor(pair):
    compare(*pair, cases(SIZE))


def test_what_is_known_of_the_picture_is_the_same(pair):
    mine, its = pair
    assert (mine.is_image_set, its.is_image_set) == (True, True)
    assert mine.original_size == tuple(its.original_size)
    assert mine.input_size == its.input_size
    assert mine.device == its.device
    for found, wanted in ((mine.features, its.features), (mine.get_image_embedding(), its.get_image_embedding())):
        assert torch.allclose(found, wanted, atol=1e-4)


def test_several_objects_at_once_are_those_of_sam_predictor(pair):
    mine, its = pair
    height, width = mine.original_size
    boxes = torch.tensor([[0.1 * width, 0.1 * height, 0.5 * width, 0.6 * height], [0, 0, width, height]])
    points = torch.tensor([[[0.3 * width, 0.3 * height]], [[0.5 * width, 0.5 * height]]])
    labels = torch.ones(2, 1, dtype=torch.int)
    for boxed, pointed in ((True, False), (False, True), (True, True)):
        asked = []
        for each in (mine, its):
            places = each.transform.apply_coords_torch(points, each.original_size) if pointed else None
            inside = each.transform.apply_boxes_torch(boxes, each.original_size) if boxed else None
            asked.append(each.predict_torch(places, labels if pointed else None, inside, multimask_output=False))
        (masks, scores, low), (wanted, wanted_scores, wanted_low) = asked
        assert (masks.shape, masks.dtype) == ((2, 1, height, width), torch.bool)
        assert torch.allclose(scores, wanted_scores, atol=1e-4)
        assert torch.allclose(low, wanted_low, atol=1e-3)
        assert int((masks != wanted).sum()) <= 2


def test_a_resized_picture_is_the_same_picture(nano):
    image = picture(SIZE)
    mine = Predictor(nano.name, nano.checkpoint, device="cpu")
    mine.set_image(image[..., ::-1], image_format="BGR")
    wanted, low = mine.get_image_embedding(), mine.predict(**cases(SIZE)["box"])[2]
    resized = torch.as_tensor(mine.transform.apply_image(image)).permute(2, 0, 1)[None]
    mine.set_torch_image(resized.float(), SIZE)
    assert torch.equal(mine.get_image_embedding(), wanted)
    np.testing.assert_array_equal(mine.predict(**cases(SIZE)["box"])[2], low)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_vit_b_itself_gives_the_same(vit_b):
    image = picture((48, 64))
    its = SamPredictor(vit_b.reference)
    its.set_image(image)
    mine = Predictor("vit_b", vit_b.checkpoint, device="cpu")
    mine.set_image(image)
    assert torch.allclose(mine.get_image_embedding(), its.get_image_embedding(), atol=1e-4)
    some = ("point", "box and a negative point", "logits")
    compare(mine, its, {name: cases((48, 64))[name] for name in some})


def test_names_and_arguments_are_those_of_sam_predictor():
    for name in ("set_image", "set_torch_image", "predict", "predict_torch", "get_image_embedding", "reset_image"):
        mine, its = (inspect.signature(getattr(each, name)).parameters for each in (Predictor, SamPredictor))
        assert [(each.name, each.default) for each in mine.values()] == [(e.name, e.default) for e in its.values()]
    assert streamseg.Predictor is Predictor


@pytest.mark.parametrize("size", [(60, 100), (1300, 731), (300, 300)])
def test_the_transform_is_that_of_segment_anything(size):
    mine, its = ResizeLongestSide(1024), Reference(1024)
    rng = np.random.default_rng(1)
    points, boxes = rng.uniform(0, 100, (5, 2)), rng.uniform(0, 100, (3, 4))
    image = picture(size)
    np.testing.assert_array_equal(mine.apply_image(image), its.apply_image(image))
    assert mine.get_preprocess_shape(*size, 1024) == its.get_preprocess_shape(*size, 1024)
    np.testing.assert_allclose(mine.apply_coords(points, size), its.apply_coords(points, size))
    np.testing.assert_allclose(mine.apply_boxes(boxes, size), its.apply_boxes(boxes, size))
    tensors = torch.from_numpy(points), torch.from_numpy(boxes)
    assert torch.allclose(mine.apply_coords_torch(tensors[0], size), its.apply_coords_torch(tensors[0], size))
    assert torch.allclose(mine.apply_boxes_torch(tensors[1], size), its.apply_boxes_torch(tensors[1], size))
    smooth = mine.apply_image_torch(torch.from_numpy(image).permute(2, 0, 1)[None].float())
    assert tuple(smooth.shape[-2:]) == mine.get_preprocess_shape(*size, 1024)


def test_of_a_strip_thinner_than_a_pixel_of_the_model_something_is_left():
    assert Reference.get_preprocess_shape(1, 3000, 1024)[0] == 0
    assert ResizeLongestSide.get_preprocess_shape(1, 3000, 1024) == (1, 1024)


@pytest.fixture(scope="module")
def tiny() -> Predictor:
    """The bundled model with a light disk on a dark ground."""
    predictor = Predictor(device="cpu")
    image = np.full((256, 256, 3), (40, 90, 60), np.uint8)
    cv2.circle(image, (120, 130), 70, (240, 200, 60), -1)
    predictor.set_image(cv2.GaussianBlur(image, (3, 3), 0))
    return predictor


def test_a_picture_is_encoded_once(monkeypatch):
    predictor = Predictor(device="cpu")
    encoder, seen = predictor.model.encoder, []
    encode = encoder._engine.encode
    monkeypatch.setattr(encoder._engine, "encode", lambda images: seen.append(images.shape) or encode(images))
    predictor.set_image(picture(SIZE))
    for asked in cases(SIZE).values():
        predictor.predict(**asked)
    assert seen == [(1, 384, 512, 3)]


def test_a_small_square_picture_is_enlarged_too(tiny):
    """In a stream a square of 256 is one region at full resolution; here it is a picture like any other."""
    assert (tiny.input_size, tuple(tiny.features.shape)) == ((512, 512), (1, 128, 64, 64))
    masks, scores, low = tiny.predict(box=np.array([50, 60, 190, 200]), multimask_output=False)
    assert (masks.shape, scores.shape, low.shape, low.dtype) == ((1, 256, 256), (1,), (1, 256, 256), np.float32)
    truth = cv2.circle(np.zeros((256, 256), np.uint8), (120, 130), 70, 1, -1) > 0
    assert (masks[0] & truth).sum() / (masks[0] | truth).sum() > 0.9


def test_an_answer_is_asked_about_again(tiny):
    click = {"point_coords": np.array([[120, 130]]), "point_labels": np.array([1])}
    masks, scores, low = tiny.predict(**click)
    assert (masks.shape, scores.shape, low.shape) == ((3, 256, 256), (3,), (3, 256, 256))
    best = int(scores.argmax())
    again, _, _ = tiny.predict(**click, mask_input=low[best][None], multimask_output=False)
    assert (again[0] & masks[best]).sum() / (again[0] | masks[best]).sum() > 0.8


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "empty prompt"),
        ({"box": np.array([5, 5, 5, 9])}, "x0 < x1"),
        ({"box": np.zeros((2, 4))}, r"one box of four numbers.*predict_torch"),
        ({"box": np.zeros((2, 2))}, "x0 < x1"),
        ({"point_coords": np.zeros((1, 2))}, "1 point labels.*none"),
        ({"point_coords": np.zeros((2, 2)), "point_labels": np.ones(1)}, "2 point labels"),
        ({"point_coords": np.zeros(2), "point_labels": np.ones(1)}, r"points \(B, N, 2\)"),
        ({"point_coords": np.zeros((1, 2)), "point_labels": np.array(1)}, r"labels \(B, N\)"),
        ({"point_coords": np.zeros((1, 2)), "point_labels": np.array([-1])}, "1 .on the object. or 0"),
        ({"mask_input": np.zeros((256, 256), np.float32)}, r"mask logits \(B, 1, H, W\)"),
        ({"mask_input": np.zeros((1, 64, 64), np.float32)}, r"\(256, 256\), got \(64, 64\)"),
    ],
)
def test_a_prompt_that_cannot_be_meant_is_refused(tiny, asked, said):
    with pytest.raises(PromptError, match=said):
        tiny.predict(**asked)


def test_objects_that_do_not_go_together_are_refused(tiny):
    with pytest.raises(PromptError, match="2 points, 2 point labels, 1 boxes"):
        tiny.predict_torch(torch.zeros(2, 1, 2), torch.ones(2, 1), torch.tensor([[0.0, 0, 9, 9]]))


def test_without_a_picture_nothing_can_be_asked():
    predictor = Predictor(device="cpu")
    assert (predictor.is_image_set, predictor.features) == (False, None)
    for ask in (predictor.predict, predictor.get_image_embedding, lambda: predictor.predict_torch(None, None)):
        with pytest.raises(UsageError, match=r"no picture is set.*set_image"):
            ask()
    predictor.set_image(picture(SIZE))
    predictor.reset_image()
    assert (predictor.is_image_set, predictor.original_size, predictor.input_size) == (False, None, None)


@pytest.mark.parametrize("image", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 4), np.uint8), np.zeros((9, 9, 3))])
def test_what_is_no_picture_is_refused(tiny, image):
    with pytest.raises(UsageError, match=r"expected a picture \(H, W, 3\) of uint8"):
        tiny.set_image(image)
    assert tiny.is_image_set


def test_other_pictures_of_torch_and_formats_are_refused(tiny):
    with pytest.raises(UsageError, match="RGB or BGR, got 'HSV'"):
        tiny.set_image(picture(SIZE), image_format="HSV")
    for shape in ((3, 384, 512), (2, 3, 384, 512), (1, 3, 90, 120)):
        with pytest.raises(UsageError, match="long side has 512 pixels"):
            tiny.set_torch_image(torch.zeros(shape, dtype=torch.uint8), SIZE)


def test_a_model_that_cannot_be_had_is_refused_at_once(tmp_path: Path):
    with pytest.raises(ModelError, match="did you mean 'vit_b'"):
        Predictor("vitb")
    with pytest.raises(CheckpointError, match=r"nothing\.pth"):
        Predictor("vit_b", tmp_path / "nothing.pth")
    with pytest.raises(UsageError, match="no engine 'onxruntime'"):
        Predictor(engine="onxruntime")
    with pytest.raises(DeviceError, match="device 'cuda:97'"):
        StillModel("tiny", device="cpu").to("cuda:97")
