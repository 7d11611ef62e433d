"""SAM's own encoder, computed in bands: what segment-anything's own code computes, but for rounding."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from support.nano import NanoSam
from torch import nn

from streamseg.errors import ModelError
from streamseg.prompts.decoder import DecoderPrompt
from streamseg.sam.loading import load_decoder, load_encoder
from streamseg.sam.networks import vit
from streamseg.sam.networks.architectures import ARCHITECTURES
from streamseg.sam.networks.vit import AtOnce, ViTEncoder, attend, attend_at_once, attend_folded

from segment_anything.modeling import ImageEncoderViT  # isort: skip  (needs torchvision put right)

SIDE = 160


def network(seed: int = 3) -> nn.Module:
    """10 x 10 cells in windows of 4, so that some reach beyond, and one block without windows; nothing is zero."""
    torch.manual_seed(seed)
    made = ImageEncoderViT(
        img_size=SIDE,
        embed_dim=24,
        depth=3,
        num_heads=3,
        out_chans=8,
        qkv_bias=True,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=4,
        global_attn_indexes=(1,),
    )
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made.eval().requires_grad_(False)


def pixels(count: int = 1) -> torch.Tensor:
    return torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(5))


def off(found: torch.Tensor, true: torch.Tensor) -> float:
    """The relative error in norm."""
    return float((found.double() - true.double()).norm() / true.double().norm())


@pytest.mark.parametrize("cells", [1, 700, 2000, 1 << 20])
def test_features_are_the_stock_networks(monkeypatch: pytest.MonkeyPatch, cells: int) -> None:
    monkeypatch.setattr(vit, "_BAND_CELLS", cells)
    stock = network().double()
    true = stock(pixels().double())
    assert off(ViTEncoder(stock)(pixels().double()), true) < 1e-13
    assert off(ViTEncoder(network())(pixels()), true) < 1e-5


def test_the_bias_matters_here() -> None:
    plain = network()
    for block in plain.blocks:  # type: ignore[union-attr]
        block.attn.rel_pos_h.zero_()
    assert off(ViTEncoder(plain)(pixels()), network()(pixels())) > 1e-3


def test_no_picture_depends_on_what_else_is_in_its_batch() -> None:
    encoder = ViTEncoder(network())
    both = encoder(pixels(2))
    for i in range(2):
        assert off(both[i], encoder(pixels(2)[i : i + 1])[0]) < 1e-6


def test_attention_is_what_its_formula_says() -> None:
    rows, columns = 5, 7
    q, k, v = torch.randn(3, 2, 3, rows, columns, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    rel_pos_h = torch.randn(2 * rows - 1, 8, dtype=torch.float64)
    rel_pos_w = torch.randn(2 * columns - 1, 8, dtype=torch.float64)
    true = torch.empty_like(q)
    for window, head, y, x in np.ndindex(2, 3, rows, columns):
        query = q[window, head, y, x]
        scores = torch.tensor(
            [
                [
                    query @ k[window, head, i, j] * 8**-0.5
                    + query @ rel_pos_h[y - i + rows - 1]
                    + query @ rel_pos_w[x - j + columns - 1]
                    for j in range(columns)
                ]
                for i in range(rows)
            ]
        )
        true[window, head, y, x] = torch.einsum(
            "ij,ijc->c", scores.flatten().softmax(0).view(rows, columns), v[window, head]
        )
    torch.testing.assert_close(attend(q, k, v, rel_pos_h, rel_pos_w), true, rtol=0, atol=1e-12)
    for at_once in (attend_at_once, attend_folded):
        torch.testing.assert_close(attend(q, k, v, rel_pos_h, rel_pos_w, at_once), true, rtol=0, atol=1e-12)


@pytest.mark.parametrize("at_once", [attend_at_once, attend_folded])
def test_what_other_devices_compute_is_the_same(at_once: AtOnce) -> None:
    assert off(ViTEncoder(network(), at_once=at_once)(pixels()), network()(pixels())) < 1e-5


def test_in_bfloat16_it_is_close_and_the_sums_stay_float32() -> None:
    true = network()(pixels())
    found = ViTEncoder(network(), torch.bfloat16)(pixels())
    assert found.dtype == torch.float32
    assert 1e-4 < off(found, true) < 2e-2


def test_precision_is_chosen_and_said(nano: NanoSam) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (60, 100, 3), np.uint8)
    load = partial(load_encoder, nano.name, checkpoint=nano.checkpoint, device="cpu")
    exact, close = load(), load(precision="bf16")
    assert (exact.precision, close.precision) == ("f32", "bf16")
    assert load(precision="f32").precision == "f32"
    true, found = exact.encode([picture])[0], close.encode([picture])[0]
    assert 1e-5 < np.linalg.norm(found - true) / np.linalg.norm(true) < 2e-2


def test_where_the_precision_cannot_be_chosen_that_is_said() -> None:
    with pytest.raises(ModelError, match=r"bf16 in torch on cpu is for SAM's own models, not for 'tiny'"):
        load_encoder("tiny", device="cpu", engine="torch", precision="bf16")
    with pytest.raises(ModelError, match="engine 'onnxruntime' chooses its precision by itself"):
        load_encoder("tiny", device="cpu", engine="onnxruntime", precision="f32")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_masks_of_vit_b_are_those_of_the_stock_network(tmp_path: Path) -> None:
    torch.manual_seed(11)
    sam = ARCHITECTURES["vit_b"].build().eval()
    with torch.no_grad():
        for name, parameter in sam.named_parameters():
            if "rel_pos" in name or "pos_embed" in name:
                parameter.add_(0.02 * torch.randn_like(parameter))
    path = tmp_path / "vit_b.pth"
    torch.save(sam.state_dict(), path)
    picture = np.random.default_rng(1).integers(0, 256, (1024, 1024, 3), np.uint8)
    decoder = load_decoder("vit_b", checkpoint=path, device="cpu")
    prompts = [
        DecoderPrompt((100, 100, 700, 600)),
        DecoderPrompt(points_xy=np.array([[500.0, 400.0]]), point_labels=np.array([1])),
    ]

    def answer(features: np.ndarray) -> np.ndarray:
        return np.concatenate(
            [decoder.decode(features, (1024, 1024), [prompt], multimask=False).logits for prompt in prompts]
        )

    with torch.inference_mode():
        true = sam.image_encoder(sam.preprocess(torch.from_numpy(picture).permute(2, 0, 1)[None]))[0].numpy()
    del sam
    for precision, most_off, least_iou in (("f32", 1e-5, 0.999), ("bf16", 2e-2, 0.99)):
        encoder = load_encoder("vit_b", checkpoint=path, device="cpu", precision=precision)
        found = encoder.encode([picture])[0]
        assert np.linalg.norm(found - true) <= most_off * np.linalg.norm(true), precision
        masks, others = answer(found) > 0, answer(true) > 0
        for mask, other in zip(masks, others, strict=True):
            assert 0 < other.mean() < 1
            assert (mask & other).sum() >= least_iou * (mask | other).sum(), precision
