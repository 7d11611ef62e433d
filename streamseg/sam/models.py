"""The models there are: names, sizes, where their weights come from. Imports nothing heavy."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace

from streamseg.errors import ModelError

FOCUS_STEP = 32
"""Sides of focus pictures smaller than `ModelInfo.focus_size` are multiples of this."""


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a model before its weights are loaded."""

    name: str
    description: str
    url: str | None
    """Where the checkpoint can be had; None if it comes with the package."""
    sha256: str | None
    size_bytes: int | None
    file_name: str
    whole_size: int
    """Whole frame: long side in pixels of the picture the network sees."""
    focus_size: int
    """Focus: side in pixels of the square picture of one region."""
    least_focus_size: int
    """Focus: the smallest side the network takes, in steps of `FOCUS_STEP`; SAM's own take one size only."""
    width: int
    """Channels of the features."""
    stride: int
    """Pixels per feature, in each direction."""
    matches: bool = False
    """Whether it can compare a view with earlier views of an object (`streamseg.sam.matching`)."""

    @property
    def bundled(self) -> bool:
        """Whether the weights come with the package."""
        return self.url is None

    def without_focus(self) -> ModelInfo:
        """The same, but no picture is a focus view: a small square one is enlarged like any other."""
        return replace(self, focus_size=self.whole_size, least_focus_size=self.whole_size)


_OFFICIAL = "https://dl.fbaipublicfiles.com/segment_anything/"


def _official(name: str, description: str, file_name: str, sha256: str, size_bytes: int) -> ModelInfo:
    return ModelInfo(
        name=name,
        description=description,
        url=_OFFICIAL + file_name,
        sha256=sha256,
        size_bytes=size_bytes,
        file_name=file_name,
        whole_size=1024,
        focus_size=1024,
        least_focus_size=1024,
        width=256,
        stride=16,
    )


MODELS: dict[str, ModelInfo] = {
    info.name: info
    for info in (
        ModelInfo(
            name="tiny",
            description="comes with streamseg: SAM's decoder on a light convolutional encoder, real-time on a CPU",
            url=None,
            sha256="2ed944b17a2eee3cbe5d62dc2cbba6aed1e45bf287626030a107dc91e6d3915d",
            size_bytes=8_002_256,
            file_name="tiny.safetensors",
            whole_size=512,
            focus_size=256,
            least_focus_size=64,
            width=128,
            stride=8,
            matches=True,
        ),
        _official(
            "vit_b",
            "Segment Anything, ViT-B: 91 million parameters, wants a GPU",
            "sam_vit_b_01ec64.pth",
            "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
            375_042_383,
        ),
        _official(
            "vit_l",
            "Segment Anything, ViT-L: 308 million parameters, wants a GPU",
            "sam_vit_l_0b3195.pth",
            "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
            1_249_524_607,
        ),
        _official(
            "vit_h",
            "Segment Anything, ViT-H: 636 million parameters, wants a GPU",
            "sam_vit_h_4b8939.pth",
            "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
            2_564_550_879,
        ),
    )
}


def find(name: str) -> ModelInfo:
    """The model of that name.

    Raises:
        ModelError: there is none; the message has the nearest valid name.
    """
    if name in MODELS:
        return MODELS[name]
    near = difflib.get_close_matches(name, MODELS, n=1, cutoff=0.4)
    guess = f"did you mean {near[0]!r}? " if near else ""
    raise ModelError(f"there is no model {name!r}; {guess}the models are {', '.join(MODELS)}")
