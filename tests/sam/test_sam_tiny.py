"""The bundled model, from its packaged weights."""

from __future__ import annotations

import copy
import hashlib

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open

from streamseg.prompts.decoder import DecoderPrompt
from streamseg.sam import checkpoints
from streamseg.sam.files.checkpoint_tensors import load_part
from streamseg.sam.geometry import features_shape
from streamseg.sam.loading import load_decoder, load_encoder
from streamseg.sam.models import MODELS
from streamseg.sam.networks.tiny import Tiny, fold_batch_norm

TINY = MODELS["tiny"]


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("tiny", device="cpu")


@pytest.fixture(scope="module")
def decoder():
    return load_decoder("tiny", device="cpu")


def disc_scene(height: int, width: int, center_xy: tuple[int, int], radius_px: int) -> tuple[np.ndarray, np.ndarray]:
    """A bright textured disc on dark textured ground: (H, W, 3) uint8 and its (H, W) bool mask."""
    rng = np.random.default_rng(0)

    def texture(blur_px: float, low: int, high: int) -> np.ndarray:
        noise = cv2.GaussianBlur(rng.integers(0, 256, (height, width, 3), dtype=np.uint8), (0, 0), blur_px)
        return cv2.normalize(noise, None, low, high, cv2.NORM_MINMAX)

    ground, disc = texture(3, 20, 110), texture(2, 120, 250)
    disc[..., 2] //= 3
    y, x = np.mgrid[:height, :width]
    mask = (x - center_xy[0]) ** 2 + (y - center_xy[1]) ** 2 < radius_px**2
    return np.where(mask[..., None], disc, ground), mask


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize(
    ("size", "center_xy", "radius_px"),
    [
        ((256, 256), (120, 130), 60),
        ((360, 640), (300, 180), 80),
        ((640, 360), (180, 300), 70),
        ((512, 512), (200, 300), 100),
    ],
    ids=["focus", "landscape", "portrait", "square"],
)
def test_it_finds_a_disc_from_its_box(encoder, decoder, size, center_xy, radius_px):
    image, truth = disc_scene(*size, center_xy, radius_px)
    (x, y), r = center_xy, radius_px
    features = encoder.encode([image])[0]
    answer = decoder.decode(features, size, [DecoderPrompt(box_xyxy=(x - r, y - r, x + r, y + r))], multimask=False)
    mask = decoder.upscale(answer.logits[0, 0], size) > 0
    assert mask.shape == size
    assert iou(mask, truth) > 0.7


def test_shapes_of_the_two_ways_of_looking(encoder, decoder):
    point = DecoderPrompt(points_xy=np.array([[30.0, 40.0]]), point_labels=np.array([1]))
    for size, grid in {(256, 256): 32, (720, 1280): 64, (257, 256): 64, (31, 1000): 64, (2, 2): 64}.items():
        features = encoder.encode([np.zeros((*size, 3), np.uint8)])[0]
        assert features.shape == (128, grid, grid) == features_shape(TINY, size)
        answer = decoder.decode(features, size, [point], multimask=True)
        assert answer.logits.shape == (1, 3, 4 * grid, 4 * grid)
        assert decoder.upscale(answer.logits, size).shape == (1, 3, *size)


def test_only_the_real_part_of_a_frame_is_encoded(encoder):
    features = encoder.encode([np.full((360, 640, 3), 90, np.uint8)])[0]
    assert np.abs(features[:, :36]).min(axis=0).max() > 0
    assert not features[:, 36:].any(), "360 of 640 is 288 of 512, or 36 rows of features; below that is padding"


def test_focus_views_in_one_batch_equal_each_alone(encoder, decoder):
    views = [disc_scene(256, 256, (100 + 20 * i, 128), 50)[0] for i in range(3)]
    together = encoder.encode(views)
    for view, features in zip(views, together, strict=True):
        np.testing.assert_allclose(features, encoder.encode([view])[0], atol=1e-4)


def test_an_earlier_answer_is_a_mask_prompt(encoder, decoder):
    image, truth = disc_scene(256, 256, (120, 130), 60)
    features = encoder.encode([image])[0]
    box = (60.0, 70.0, 180.0, 190.0)
    first = decoder.decode(features, (256, 256), [DecoderPrompt(box_xyxy=box)], multimask=False)
    prompt = DecoderPrompt(box_xyxy=box, mask_logits=first.logits[0, 0])
    again = decoder.decode(features, (256, 256), [prompt], multimask=False)
    assert iou(decoder.upscale(again.logits[0, 0], (256, 256)) > 0, truth) > 0.7


def test_the_packaged_file_is_the_registered_one():
    path = checkpoints.locate(TINY)
    content = path.read_bytes()
    assert hashlib.sha256(content).hexdigest() == TINY.sha256
    assert len(content) == TINY.size_bytes <= 15e6
    with torch.device("meta"):
        names = Tiny().state_dict().keys()
    with safe_open(path, framework="pt") as file:
        assert set(file.keys()) == set(names)


def test_folding_batch_norm_keeps_the_features():
    plain = load_part(TINY, checkpoints.locate(TINY), "enc", "cpu")
    folded = copy.deepcopy(plain)
    fold_batch_norm(folded)
    assert any(isinstance(part, torch.nn.BatchNorm2d) for part in plain.modules())
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in folded.modules())
    pixels = torch.randn(1, 3, 96, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(folded(pixels), plain(pixels), atol=1e-4, rtol=0)
