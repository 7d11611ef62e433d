"""`SamOnnxModel`: what segment-anything's third notebook does, and the numbers of its own class."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.quantize import quantize_dynamic

from streamseg.segment_anything import SamPredictor, sam_model_registry
from streamseg.segment_anything.utils.onnx import SamOnnxModel
from streamseg.stills.model import StillModel

# isort: split
# This needs torchvision put right.
from segment_anything.utils.onnx import SamOnnxModel as Reference


@pytest.fixture(scope="module")
def sam() -> StillModel:
    return sam_model_registry["tiny"](checkpoint=None)


@pytest.fixture(scope="module")
def exported(sam, tmp_path_factory) -> Path:
    """The cell that exports, but for ``dynamo=False``, which torch wants from 2.9 on."""
    onnx_model_path = tmp_path_factory.mktemp("onnx") / "sam_onnx_example.onnx"
    onnx_model = SamOnnxModel(sam, return_single_mask=True)
    dynamic_axes = {"point_coords": {1: "num_points"}, "point_labels": {1: "num_points"}}
    embed_dim = sam.prompt_encoder.embed_dim
    embed_size = sam.prompt_encoder.image_embedding_size
    mask_input_size = [4 * x for x in embed_size]
    dummy_inputs = {
        "image_embeddings": torch.randn(1, embed_dim, *embed_size, dtype=torch.float),
        "point_coords": torch.randint(low=0, high=1024, size=(1, 5, 2), dtype=torch.float),
        "point_labels": torch.randint(low=0, high=4, size=(1, 5), dtype=torch.float),
        "mask_input": torch.randn(1, 1, *mask_input_size, dtype=torch.float),
        "has_mask_input": torch.tensor([1], dtype=torch.float),
        "orig_im_size": torch.tensor([1500, 2250], dtype=torch.float),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with onnx_model_path.open("wb") as f:
            torch.onnx.export(
                onnx_model,
                tuple(dummy_inputs.values()),
                f,
                export_params=True,
                verbose=False,
                opset_version=17,
                do_constant_folding=True,
                input_names=list(dummy_inputs.keys()),
                output_names=["masks", "iou_predictions", "low_res_masks"],
                dynamic_axes=dynamic_axes,
                dynamo=False,
            )
    return onnx_model_path


@pytest.fixture(scope="module")
def predictor(sam, image) -> SamPredictor:
    sam.to(device="cpu")
    found = SamPredictor(sam)
    found.set_image(image)
    return found


def asked(predictor: SamPredictor, image: np.ndarray, points, labels, mask=None) -> dict[str, np.ndarray]:
    coords = predictor.transform.apply_coords(np.array(points, float)[None], image.shape[:2]).astype(np.float32)
    return {
        "image_embeddings": predictor.get_image_embedding().cpu().numpy(),
        "point_coords": coords,
        "point_labels": np.array(labels, np.float32)[None],
        "mask_input": np.zeros((1, 1, 256, 256), np.float32) if mask is None else mask,
        "has_mask_input": np.full(1, mask is not None, np.float32),
        "orig_im_size": np.array(image.shape[:2], np.float32),
    }


def test_the_cells_about_points_a_mask_and_a_box(exported, predictor, image):
    session = onnxruntime.InferenceSession(exported)
    click = asked(predictor, image, [[100, 110], [0, 0]], [1, -1])
    masks, scores, low_res_logits = session.run(None, click)
    wanted, wanted_scores, wanted_low = predictor.predict(
        np.array([[100, 110]]), np.array([1]), multimask_output=True, return_logits=True
    )
    best = int(np.argmax(wanted_scores))
    assert masks.shape == (1, 1, *image.shape[:2])
    assert np.allclose(low_res_logits[0, 0], wanted_low[best], atol=2e-3)
    assert np.allclose(masks[0, 0], wanted[best], atol=1e-2)
    assert scores[0, 0] == pytest.approx(wanted_scores[best], abs=1e-4)
    again = asked(predictor, image, [[100, 110], [100, 45], [0, 0]], [1, 1, -1], low_res_logits)
    masks, _, _ = session.run(None, again)
    wanted, _, _ = predictor.predict(
        np.array([[100, 110], [100, 45]]), np.array([1, 1]), None, low_res_logits[0], False, return_logits=True
    )
    assert np.allclose(masks[0], wanted, atol=1e-2)
    boxed = asked(predictor, image, [[100, 110], [20, 30], [180, 190]], [0, 2, 3])
    masks, _, _ = session.run(None, boxed)
    assert (masks > predictor.model.mask_threshold).shape == (1, 1, *image.shape[:2])
    wanted, _, _ = predictor.predict(
        np.array([[100, 110]]), np.array([0]), np.array([20, 30, 180, 190]), None, False, return_logits=True
    )
    assert np.allclose(masks[0], wanted, atol=1e-2)


def test_the_cell_that_quantizes(exported, predictor, image, tmp_path):
    """But for ``optimize_model``, which onnxruntime no longer has."""
    smaller = tmp_path / "sam_onnx_quantized_example.onnx"
    quantize_dynamic(
        model_input=exported,
        model_output=smaller,
        per_channel=False,
        reduce_range=False,
        weight_type=QuantType.QUInt8,
    )
    assert smaller.stat().st_size < 0.6 * exported.stat().st_size
    boxed = asked(predictor, image, [[20, 30], [180, 190]], [2, 3])
    masks, _, _ = onnxruntime.InferenceSession(smaller).run(None, boxed)
    exact, _, _ = onnxruntime.InferenceSession(exported).run(None, boxed)
    both = ((masks > 0) & (exact > 0)).sum() / ((masks > 0) | (exact > 0)).sum()
    assert both > 0.9


@pytest.mark.parametrize(
    "options",
    [(False, False, False), (True, False, False), (True, True, True), (False, True, True)],
    ids=["all masks", "one mask", "stability and all metrics", "all of all"],
)
def test_the_numbers_are_those_of_segment_anything(nano, options):
    mine = SamOnnxModel(StillModel("nano", nano.checkpoint, device="cpu"), *options)
    its = Reference(nano.reference, *options)
    draw = torch.Generator().manual_seed(3)
    embedding = torch.randn(1, 256, 64, 64, generator=draw)
    mask = 5 * torch.randn(1, 1, 256, 256, generator=draw)
    size = torch.tensor([90.0, 130.0])
    for points, labels in (
        ([[300, 400], [0, 0]], [1, -1]),
        ([[300, 400], [500, 90], [0, 0]], [1, 0, -1]),
        ([[100, 100], [800, 600]], [2, 3]),
    ):
        for given in (0.0, 1.0):
            inputs = (embedding, torch.tensor([points]).float(), torch.tensor([labels]).float(), mask)
            found, wanted = (model(*inputs, torch.tensor([given]), size) for model in (mine, its))
            assert len(found) == len(wanted)
            for one, other in zip(found, wanted, strict=True):
                assert one.shape == other.shape
                assert torch.allclose(one.float(), other.float(), atol=1e-3, rtol=1e-4, equal_nan=True)
