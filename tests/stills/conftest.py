"""Models with random weights for these tests: a very small SAM, and ViT-B itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from support.nano import NanoSam, nano

from streamseg.sam.torchvision_ops import ensure_torchvision

ensure_torchvision()

from segment_anything import sam_model_registry  # noqa: E402

__all__ = ["nano", "vit_b"]


@pytest.fixture(scope="session")
def vit_b(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NanoSam]:
    torch.manual_seed(11)
    sam = sam_model_registry["vit_b"](checkpoint=None)
    with torch.no_grad():
        for parameter in sam.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    path: Path = tmp_path_factory.mktemp("vit_b") / "vit_b.pth"
    torch.save(sam.state_dict(), path)
    yield NanoSam("vit_b", sam, path)
    path.unlink()
