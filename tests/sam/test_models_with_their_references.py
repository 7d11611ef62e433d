"""MobileSAM and SAM 2.1 give what their own packages give with the same random weights, and run in a graph.

The packages are no part of streamseg: ``make test-models`` brings them, elsewhere these comparisons are skipped.
"""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from support.media import write_video

import streamseg
from streamseg.errors import CheckpointError
from streamseg.sam import onnx_files
from streamseg.sam.loading import load_decoder, load_encoder
from streamseg.sam.models import MODELS
from streamseg.sam.networks.architectures import ARCHITECTURES
from streamseg.stills.predictor import Predictor

# The size that is stretched and padded to itself, and one that is not.
SQUARE, WIDE = (1024, 1024), (60, 100)


def package(name: str) -> ModuleType:
    """A module of a reference package; what it warns of is its own affair."""
    if importlib.util.find_spec(name.partition(".")[0]) is None:
        pytest.skip(f"{name} is not installed; 'make test-models' brings it")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


def unsettled(network: torch.nn.Module, seed: int) -> None:
    """Random weights with nothing left at zero or one, so that none can be swapped or left out unseen."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
        for name, buffer in network.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                buffer.add_(0.05 * torch.rand_like(buffer))
    # Some have made from their weights what they compute with.
    network.train().eval()


def noise(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def questions(size: tuple[int, int]) -> list[dict[str, Any]]:
    height, width = size
    points = np.array([[0.4 * width, 0.5 * height], [0.8 * width, 0.1 * height]])
    box = np.array([0.2 * width, 0.1 * height, 0.7 * width, 0.8 * height])
    mask = np.random.default_rng(5).normal(0, 5, (1, 256, 256)).astype(np.float32)
    return [
        {"point_coords": points[:1], "point_labels": np.array([1])},
        {"point_coords": points, "point_labels": np.array([1, 0]), "multimask_output": False},
        {"box": box, "multimask_output": False},
        {"box": box, "point_coords": points[1:], "point_labels": np.array([0])},
        {"point_coords": points[:1], "point_labels": np.array([1]), "mask_input": mask},
    ]


@pytest.fixture(scope="module")
def mobile_sam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of our own network with random weights."""
    network = ARCHITECTURES["vit_t"].build()
    unsettled(network, 3)
    path: Path = tmp_path_factory.mktemp("vit_t") / "vit_t.pt"
    torch.save(network.state_dict(), path)
    return path


def sam2_reference(size: str, seed: int) -> torch.nn.Module:
    build = package("sam2.build_sam").build_sam2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network: torch.nn.Module = build(f"configs/sam2.1/sam2.1_hiera_{size}.yaml", None, device="cpu")
    unsettled(network, seed)
    return network


@pytest.fixture(scope="module")
def sam2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[torch.nn.Module, Path]]:
    network = sam2_reference("t", 4)
    path: Path = tmp_path_factory.mktemp("sam2") / "sam2.pt"
    torch.save({"model": network.state_dict()}, path)
    yield network, path
    path.unlink()


def same(mine: Predictor, its: Any, size: tuple[int, int], limit: Callable[[np.ndarray], np.ndarray]) -> None:
    for asked in questions(size):
        masks, scores, low = mine.predict(**asked, return_logits=True)
        wanted, wanted_scores, wanted_low = its.predict(**asked, return_logits=True)
        assert np.allclose(scores, wanted_scores, atol=1e-4)
        assert np.allclose(limit(low), wanted_low, atol=1e-4, rtol=1e-4)
        assert np.allclose(masks, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.timeout(600)
def test_mobile_sam_is_its_own_package(mobile_sam):
    reference = package("mobile_sam").sam_model_registry["vit_t"]()
    found = reference.load_state_dict(torch.load(mobile_sam, weights_only=True))
    assert not found.missing_keys
    assert not found.unexpected_keys
    reference.train().eval()
    predictor = Predictor("vit_t", mobile_sam, device="cpu")
    its = package("mobile_sam").SamPredictor(reference)
    predictor.set_image(noise(WIDE))
    its.set_image(noise(WIDE))
    assert torch.allclose(predictor.get_image_embedding(), its.features, atol=1e-4)
    same(predictor, its, WIDE, lambda low: low)


@pytest.mark.timeout(600)
def test_sam2_is_its_own_package(sam2):
    reference, checkpoint = sam2
    predictor = Predictor("sam2.1_hiera_tiny", checkpoint, device="cpu")
    kind = package("sam2.sam2_image_predictor").SAM2ImagePredictor
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        its = kind(reference)
    predictor.set_image(noise(SQUARE))
    its.set_image(noise(SQUARE))
    features = predictor.get_image_embedding()
    assert features.shape == (1, 1024, 64, 64)
    assert torch.allclose(features[:, :256], its.get_image_embedding(), atol=1e-4, rtol=1e-4)
    same(predictor, its, SQUARE, lambda low: low.clip(-32, 32))
    # The reference stretches in fractions, and ours in whole values: what comes after the picture is the same.
    its._orig_hw = [WIDE]
    predictor.original_size = WIDE
    same(predictor, its, WIDE, lambda low: low.clip(-32, 32))


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("size", "name"), [("t", "tiny"), ("s", "small"), ("b+", "base_plus"), ("l", "large")], ids=lambda each: each
)
def test_every_size_of_sam2_takes_its_checkpoint(size, name, tmp_path):
    network = sam2_reference(size, 6)
    path = tmp_path / "sam2.pt"
    torch.save({"model": network.state_dict()}, path)
    encoder = load_encoder(f"sam2.1_hiera_{name}", checkpoint=path, device="cpu")
    inside = encoder._engine._module.network  # type: ignore[attr-defined]
    small = torch.randn(1, 3, 128, 128)
    with torch.inference_mode():
        (finest, middle, coarse) = network.forward_image(small)["backbone_fpn"]
        found = inside(small)
    assert torch.allclose(found[:, :256], coarse + network.no_mem_embed.reshape(1, -1, 1, 1), atol=1e-4, rtol=1e-4)
    unfolded = package("streamseg.sam.engines.sam2_engine").unfold(found)
    assert torch.allclose(unfolded[1], middle, atol=1e-4, rtol=1e-4)
    assert torch.allclose(unfolded[2], finest, atol=1e-4, rtol=1e-4)
    assert load_decoder(f"sam2.1_hiera_{name}", checkpoint=path, device="cpu").info.stretches
    other = "small" if name == "tiny" else "tiny"
    with pytest.raises(CheckpointError, match=f"looks like sam2.1_hiera_{name}"):
        load_encoder(f"sam2.1_hiera_{other}", checkpoint=path, device="cpu")


def follows(model: str, checkpoint: Path, folder: Path) -> None:
    """Two frames in a graph of real processes."""
    clip = write_video(folder / "clip.mp4", [noise((96, 128), seed) for seed in range(2)])
    results = list(
        streamseg.segment_video(clip, boxes=[(20, 20, 90, 70)], model=model, checkpoint=str(checkpoint), device="cpu")
    )
    assert [each.index for each in results] == [0, 1]
    assert all(each.to_numpy()["masks"].shape[1:] == (96, 128) for each in results)


@pytest.mark.timeout(600)
def test_mobile_sam_in_a_graph(mobile_sam, tmp_path):
    follows("vit_t", mobile_sam, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_mobile_sam_as_onnx(mobile_sam, tmp_path):
    onnx_files.export(MODELS["vit_t"], mobile_sam, tmp_path)
    assert onnx_files.largest_difference(MODELS["vit_t"], mobile_sam, tmp_path) < 1e-4


@pytest.mark.timeout(600)
def test_sam2_in_a_graph(sam2, tmp_path):
    follows("sam2.1_hiera_tiny", sam2[1], tmp_path)
