"""Models with random weights for these tests, a very small SAM and ViT-B itself; and a picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from support.nano import NanoSam, nano

from streamseg.sam.networks.torchvision_ops import ensure_torchvision

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


@pytest.fixture(scope="session")
def image() -> np.ndarray:
    """(200, 300, 3) uint8 RGB: a disk with a disk in it, and a small one beside."""
    picture = np.full((200, 300, 3), (40, 90, 60), np.uint8)
    for center, radius, color in (
        ((100, 110), 80, (240, 200, 60)),
        ((100, 110), 40, (60, 60, 200)),
        ((245, 55), 30, (230, 230, 230)),
    ):
        cv2.circle(picture, center, radius, color, -1)
    return cv2.GaussianBlur(picture, (3, 3), 0)
