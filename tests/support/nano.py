"""A real but very small SAM: segment-anything's own classes and geometry, two narrow layers, random weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch

from streamseg.sam.models import MODELS
from streamseg.sam.networks.architectures import ARCHITECTURES, Architecture

from segment_anything.build_sam import _build_sam  # isort: skip  (needs torchvision put right)
from segment_anything.modeling import Sam  # isort: skip


@dataclasses.dataclass(frozen=True)
class NanoSam:
    name: str
    reference: Sam
    checkpoint: Path


@pytest.fixture(scope="session")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NanoSam]:
    build = partial(_build_sam, 32, 2, 2, [])
    torch.manual_seed(7)
    sam = build()
    with torch.no_grad():
        for parameter in sam.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    path = tmp_path_factory.mktemp("nano") / "nano.pth"
    torch.save(sam.state_dict(), path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "nano", dataclasses.replace(MODELS["vit_b"], name="nano"))
        patch.setitem(ARCHITECTURES, "nano", Architecture(build))
        yield NanoSam("nano", sam, path)
