"""The network answers in training as it answers in use."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from streamseg.errors import CheckpointError, DeviceError
from streamseg.prompts.decoder import DecoderPrompt
from streamseg.sam.loading import load_decoder, load_encoder
from streamseg.training.network import TrainingModel, build
from streamseg.training.tasks.task import click_prompt, make_prompt


@pytest.fixture(scope="module")
def model():
    return TrainingModel(build("packaged", 1), "cpu", "float32")


def picture(height, width):
    noise = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 6)
    cv2.circle(smooth, (width // 2, height // 2), 60, (220, 40, 30), -1)
    return smooth


@torch.no_grad()
def test_features_are_those_of_the_encoder(model):
    encoder = load_encoder(engine="onnxruntime")
    views = [picture(256, 256), picture(256, 256)[::-1].copy()]
    for found, expected in zip(model.encode_views(views).numpy(), encoder.encode(views), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-3)
    wide = picture(288, 512)
    np.testing.assert_allclose(model.encode_image(wide, 512)[0].numpy(), encoder.encode([wide])[0], atol=1e-3)


@torch.no_grad()
def test_answers_are_those_of_the_decoder(model):
    decoder = load_decoder(engine="onnxruntime")
    features = model.encode_views([picture(256, 256)])
    box, point = (60.0, 70.0, 190.0, 200.0), (128.0, 120.0)
    mask = np.random.default_rng(1).normal(0, 4, (128, 128)).astype(np.float32)
    one = np.array([point])
    cases = [
        (make_prompt(box), DecoderPrompt(box_xyxy=box), False),
        (click_prompt(point), DecoderPrompt(points_xy=one, point_labels=np.array([1])), True),
        (make_prompt(box, mask_logits=mask), DecoderPrompt(box_xyxy=box, mask_logits=mask), False),
        (make_prompt(mask_logits=mask), DecoderPrompt(mask_logits=mask), False),
        (make_prompt(box, point, mask), DecoderPrompt(box, one, np.array([1]), mask), False),
    ]
    for prompt, decoder_prompt, multimask in cases:
        expected = decoder.decode(features[0].numpy(), (256, 256), [decoder_prompt], multimask=multimask)
        logits, scores = model.decode(features, [prompt])
        wanted = slice(1, None) if multimask else slice(0, 1)
        np.testing.assert_allclose(logits[:, wanted].numpy(), expected.logits, atol=1e-3)
        np.testing.assert_allclose(scores[:, wanted].numpy(), expected.scores, atol=1e-4)


@torch.no_grad()
def test_prompts_with_and_without_a_mask_share_a_call(model):
    features = model.encode_views([picture(256, 256)])
    mask = np.random.default_rng(1).normal(0, 4, (128, 128)).astype(np.float32)
    prompts = [make_prompt((60.0, 70.0, 190.0, 200.0)), make_prompt((50.0, 70.0, 190.0, 180.0), mask_logits=mask)]
    together, _ = model.decode(features, prompts)
    for i, prompt in enumerate(prompts):
        torch.testing.assert_close(together[i : i + 1], model.decode(features, [prompt])[0], atol=1e-3, rtol=0)


def test_where_it_starts_from(tmp_path):
    first, second, other = build("scratch", 1), build("scratch", 1), build("scratch", 2)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.enc.l[0].weight, other.enc.l[0].weight)
    with pytest.raises(CheckpointError, match="does not exist"):
        build(str(tmp_path / "none.safetensors"), 1)
    with pytest.raises(DeviceError, match="not on mps"):
        TrainingModel(first, "mps", "float32")


def test_only_what_is_to_be_trained_gets_gradients():
    model = TrainingModel(build("packaged", 1), "cpu", "auto")
    for wanted in (True, False):
        model.train_encoder(wanted)
        model.network.zero_grad()
        logits, _ = model.decode(model.encode_views([picture(256, 256)]), [make_prompt((60.0, 70.0, 190.0, 200.0))])
        logits[:, 0].mean().backward()
        assert all((p.grad is not None) == wanted for p in model.network.enc.parameters())
        assert model.network.dec.mask_tokens.weight.grad is not None
