"""The two halves give what segment-anything's SamPredictor gives."""

from __future__ import annotations

import numpy as np
import pytest

from streamseg.errors import DeviceError, PromptError, UsageError
from streamseg.prompts.decoder import DecoderPrompt
from streamseg.sam.decoder import MaskDecoder
from streamseg.sam.encoder import ImageEncoder
from streamseg.sam.geometry import features_shape
from streamseg.sam.loading import load_decoder, load_encoder

from segment_anything import SamPredictor  # isort: skip  (needs torchvision put right)

SIZES = {"landscape": (60, 100), "portrait": (1300, 731), "square": (300, 300), "focus": (1024, 1024)}


@pytest.fixture(scope="module")
def encoder(nano) -> ImageEncoder:
    return load_encoder(nano.name, checkpoint=nano.checkpoint, device="cpu")


@pytest.fixture(scope="module")
def decoder(nano) -> MaskDecoder:
    return load_decoder(nano.name, checkpoint=nano.checkpoint, device="cpu")


def picture(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def prompts(height: int, width: int) -> dict[str, DecoderPrompt]:
    """One of each kind, in a picture of that size."""
    rng = np.random.default_rng(5)
    box = (0.2 * width, 0.1 * height, 0.7 * width, 0.8 * height)
    points = np.array([[0.4 * width, 0.5 * height], [0.9 * width, 0.1 * height], [0.5 * width, 0.6 * height]])
    mask = rng.normal(0, 5, (256, 256)).astype(np.float32)
    return {
        "point": DecoderPrompt(points_xy=points[:1], point_labels=np.array([1])),
        "negative": DecoderPrompt(points_xy=points, point_labels=np.array([1, 0, 1])),
        "box": DecoderPrompt(box_xyxy=box),
        "box+point": DecoderPrompt(box_xyxy=box, points_xy=points[:1], point_labels=np.array([1])),
        "box+mask": DecoderPrompt(box_xyxy=box, mask_logits=mask),
        "point+mask": DecoderPrompt(points_xy=points[:1], point_labels=np.array([1]), mask_logits=mask),
        "mask": DecoderPrompt(mask_logits=mask),
    }


def reference(predictor: SamPredictor, prompt: DecoderPrompt, multimask: bool):
    return predictor.predict(
        point_coords=prompt.points_xy,
        point_labels=prompt.point_labels,
        box=None if prompt.box_xyxy is None else np.array(prompt.box_xyxy),
        mask_input=None if prompt.mask_logits is None else prompt.mask_logits[None],
        multimask_output=multimask,
    )


@pytest.mark.parametrize("shape", SIZES)
def test_masks_and_scores_are_the_predictors(nano, encoder, decoder, shape):
    size = SIZES[shape]
    image = picture(size)
    predictor = SamPredictor(nano.reference)
    predictor.set_image(image)
    features = encoder.encode([image])[0]
    true = predictor.get_image_embedding()[0].numpy()
    assert np.linalg.norm(features - true) <= 1e-5 * np.linalg.norm(true)
    assert features.shape == features_shape(encoder.info, size)
    assert features.dtype == np.float32
    for name, prompt in prompts(*size).items():
        for multimask in (False, True):
            masks, scores, low = reference(predictor, prompt, multimask)
            found = decoder.decode(features, size, [prompt], multimask=multimask)
            np.testing.assert_allclose(found.scores[0], scores, atol=1e-5, err_msg=name)
            np.testing.assert_allclose(found.logits[0], low, atol=1e-4, err_msg=name)
            upscaled = decoder.upscale(found.logits[0], size)
            differs = (upscaled > 0) != masks
            assert np.abs(upscaled[differs]).max(initial=0) < 1e-4, f"{name}: only rounding may decide otherwise"
            assert 0 < masks.mean() < 1, f"{name}: random weights should give masks that are neither empty nor full"


def test_prompts_together_and_alone_agree(encoder, decoder):
    size = SIZES["landscape"]
    features = encoder.encode([picture(size)])[0]
    mixed = [*prompts(*size).values(), *prompts(*size).values()]
    together = decoder.decode(features, size, mixed, multimask=True)
    assert together.logits.shape == (14, 3, 256, 256)
    for i, prompt in enumerate(mixed[:7]):
        alone = decoder.decode(features, size, [prompt], multimask=True)
        for at in (i, i + 7):
            np.testing.assert_allclose(together.logits[at], alone.logits[0], atol=1e-4)
            np.testing.assert_allclose(together.scores[at], alone.scores[0], atol=1e-5)


def test_each_prompt_with_its_own_features(encoder, decoder):
    size = SIZES["landscape"]
    images = [picture(size, seed) for seed in range(3)]
    features = encoder.encode(images)
    kinds = prompts(*size)
    asked = [kinds["box"], kinds["point"], kinds["box"]]
    together = decoder.decode(features, size, asked, multimask=False)
    for i in range(3):
        alone = decoder.decode(features[i], size, [asked[i]], multimask=False)
        np.testing.assert_allclose(together.logits[i], alone.logits[0], atol=1e-4)
        np.testing.assert_allclose(together.scores[i], alone.scores[0], atol=1e-5)
    assert np.abs(together.logits[0] - together.logits[2]).max() > 0.01


def test_pictures_of_mixed_sizes_keep_their_order(encoder):
    images = [picture(SIZES["landscape"], 1), picture(SIZES["square"], 2), picture(SIZES["landscape"], 3)]
    together = encoder.encode(images)
    for image, features in zip(images, together, strict=True):
        np.testing.assert_allclose(features, encoder.encode([image])[0], atol=1e-5)
    assert encoder.encode([]) == []


def test_read_only_and_half_precision_features_are_welcome(encoder, decoder):
    size = SIZES["landscape"]
    image = picture(size)
    image.flags.writeable = False
    features = encoder.encode([image])[0]
    features.flags.writeable = False
    box = [prompts(*size)["box"]]
    full = decoder.decode(features, size, box, multimask=False)
    half = decoder.decode(features.astype(np.float16), size, box, multimask=False)
    np.testing.assert_allclose(full.scores, half.scores, atol=1e-2)


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        (DecoderPrompt(), "empty prompt"),
        (DecoderPrompt(points_xy=np.zeros((0, 2)), point_labels=np.zeros(0)), "empty prompt"),
        (DecoderPrompt(box_xyxy=(5, 5, 5, 9)), "x0 < x1"),
        (DecoderPrompt(box_xyxy=(9, 5, 5, 9)), "x0 < x1"),
        (DecoderPrompt(box_xyxy=(0, 0, float("nan"), 9)), "finite"),
        (DecoderPrompt(points_xy=np.zeros(2), point_labels=np.ones(1)), r"points \(K, 2\)"),
        (DecoderPrompt(points_xy=np.full((1, 2), np.inf), point_labels=np.ones(1)), "finite"),
        (DecoderPrompt(points_xy=np.zeros((2, 2)), point_labels=np.ones(1)), "2 point labels"),
        (DecoderPrompt(points_xy=np.zeros((1, 2))), "1 point labels.*none"),
        (DecoderPrompt(points_xy=np.zeros((1, 2)), point_labels=np.array([2])), "1 .on the object. or 0"),
        (DecoderPrompt(box_xyxy=(0, 0, 9, 9), point_labels=np.ones(1)), "labels without points"),
        (DecoderPrompt(mask_logits=np.zeros((64, 64), np.float32)), r"\(256, 256\), got \(64, 64\)"),
        (DecoderPrompt(mask_logits=np.full((256, 256), np.nan, np.float32)), "finite"),
    ],
)
def test_a_prompt_that_cannot_be_meant_is_refused(decoder, prompt, said):
    features = np.zeros((256, 64, 64), np.float32)
    with pytest.raises(PromptError, match=said):
        decoder.decode(features, (60, 100), [prompt], multimask=False)


def test_features_and_logits_of_another_shape_are_refused(decoder):
    box = DecoderPrompt(box_xyxy=(0, 0, 9, 9))
    good = np.zeros((256, 64, 64), np.float32)
    with pytest.raises(UsageError, match=r"features \(256, 64, 64\).*got \(128, 64, 64\)"):
        decoder.decode(good[:128], (60, 100), [box], multimask=False)
    with pytest.raises(UsageError, match="each of 2 prompts, got 1"):
        decoder.decode([good], (60, 100), [box, box], multimask=False)
    with pytest.raises(UsageError, match="at least one prompt"):
        decoder.decode(good, (60, 100), [], multimask=False)
    with pytest.raises(UsageError, match=r"\.\.\., 256, 256"):
        decoder.upscale(np.zeros((1, 128, 128), np.float32), (60, 100))


@pytest.mark.parametrize(
    "image",
    [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 4), np.uint8), np.zeros((9, 9, 3)), np.zeros((0, 9, 3), np.uint8)],
)
def test_what_is_no_rgb_picture_is_refused(encoder, image):
    with pytest.raises(UsageError, match=r"expected a picture \(H, W, 3\) of uint8"):
        encoder.encode([image])


def test_running_out_of_memory_says_what_to_lower(encoder, monkeypatch):
    """A stand-in for the network: a full GPU cannot be had on every machine."""

    def full(pixels):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(encoder._engine, "_module", full)
    with pytest.raises(DeviceError, match="fewer than 2 pictures"):
        encoder.encode([picture((9, 9))] * 2)


def test_other_errors_of_the_network_are_not_renamed(encoder, monkeypatch):
    def broken(pixels):
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(encoder._engine, "_module", broken)
    with pytest.raises(RuntimeError, match="multiplied"):
        encoder.encode([picture((9, 9))])


def test_only_one_half_is_loaded(encoder, decoder, nano):
    names = {name.split(".")[0] for name, _ in nano.reference.named_children()}
    assert names == {"image_encoder", "prompt_encoder", "mask_decoder"}
    network = encoder._engine._module
    half = sum(p.numel() for p in network.parameters())
    assert half == sum(p.numel() for p in nano.reference.image_encoder.parameters())
    assert not any(p.requires_grad for p in network.parameters())
    assert encoder.sha256 == decoder.sha256
    assert (encoder.device, decoder.device) == ("cpu", "cpu")
