from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from streamseg.errors import DeviceError, ModelError
from streamseg.sam import devices
from streamseg.sam.geometry import fit
from streamseg.sam.models import MODELS, find
from streamseg.sam.networks.architectures import ARCHITECTURES, describe


def test_an_unknown_model_gets_the_nearest_name():
    with pytest.raises(ModelError, match="did you mean 'vit_b'"):
        find("vitb")
    with pytest.raises(ModelError, match=r"the models are .*tiny, vit_b, vit_h, vit_l, vit_t"):
        find("")
    assert find("tiny").bundled and not find("vit_h").bundled


@pytest.mark.parametrize("name", ["tiny", "vit_t", "vit_b", "vit_l", "vit_h"])
def test_the_registry_tells_the_truth_about_the_networks(name):
    info, architecture = MODELS[name], ARCHITECTURES[name]
    network = architecture.skeleton()
    assert not network.training
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    assert describe(shapes).endswith(name)
    prompt_encoder = network.get_submodule(architecture.prompt_encoder)
    assert prompt_encoder.embed_dim == info.width
    assert prompt_encoder.input_image_size == (info.whole_size, info.whole_size)
    assert prompt_encoder.image_embedding_size[0] * info.stride == info.whole_size
    pixels = torch.zeros(1, 3, info.focus_size, info.focus_size, device="meta")
    features = network.get_submodule(architecture.encoder)(pixels)
    side = info.focus_size // info.stride
    assert features.shape == (1, info.width, side, side)


def test_registry_and_prompts_import_without_torch():
    code = (
        "import sys, streamseg.sam.models, streamseg.sam.geometry, streamseg.prompts.decoder;"
        "import streamseg.sam.checkpoints;"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("size", "expected"),
    [((720, 1280), (288, 512)), ((1280, 720), (512, 288)), ((512, 512), (512, 512)), ((1, 2000), (1, 512))],
)
def test_fitting_keeps_the_shape(size, expected):
    geometry = fit(MODELS["tiny"], size)
    assert (geometry.input_size, geometry.square, geometry.grid) == (expected, 512, 64)


def test_a_square_of_the_focus_size_is_taken_as_it_is():
    assert fit(MODELS["tiny"], (256, 256)).is_identity
    assert fit(MODELS["tiny"], (256, 256)).grid == 32


def test_devices_that_are_not_there():
    assert devices.resolve("cpu") == "cpu"
    assert devices.resolve("auto") in ("cpu", "cuda:0", "mps")
    with pytest.raises(DeviceError, match=r"unknown device 'gpu'.*auto, cpu, cuda"):
        devices.resolve("gpu")
    with pytest.raises(DeviceError, match=r"cuda:77.*--device cpu"):
        devices.resolve("cuda:77")


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has it")
def test_mps_elsewhere():
    with pytest.raises(DeviceError, match="Apple"):
        devices.resolve("mps")
