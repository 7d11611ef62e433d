"""Checkpoints that cannot be used, each with one clear error."""

from __future__ import annotations

import dataclasses
import gc
import logging
import shutil
import weakref
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from streamseg.errors import CheckpointError, ModelError
from streamseg.sam import checkpoints
from streamseg.sam.checkpoints import locate
from streamseg.sam.loading import load_decoder, load_encoder, load_matching
from streamseg.sam.models import MODELS, find
from streamseg.sam.networks.architectures import ARCHITECTURES


def shaped_like(name: str, path: Path) -> Path:
    """A checkpoint with that model's names and shapes that takes no room: every weight is one number, repeated."""
    shapes = {k: v.shape for k, v in ARCHITECTURES[name].skeleton().state_dict().items()}
    torch.save({k: torch.zeros(()).expand(shape) for k, shape in shapes.items()}, path)
    return path


class Hostile:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


def test_no_such_file(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.pth does not exist"):
        load_encoder("tiny", checkpoint=tmp_path / "none.pth", device="cpu")
    with pytest.raises(CheckpointError, match="is a folder"):
        load_encoder("tiny", checkpoint=tmp_path, device="cpu")


def test_unknown_model():
    with pytest.raises(ModelError, match="did you mean 'tiny'"):
        load_encoder("tny", device="cpu")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated(tmp_path, nano, suffix, share):
    whole = tmp_path / f"whole{suffix}"
    if suffix == ".pth":
        shutil.copy(nano.checkpoint, whole)
    else:
        save_file(nano.reference.state_dict(), whole)
    content = whole.read_bytes()
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CheckpointError, match="damaged"):
        load_encoder(nano.name, checkpoint=cut, device="cpu")


def test_the_official_file_cut_short_is_known_by_its_size(tmp_path):
    path = tmp_path / MODELS["vit_b"].file_name
    path.write_bytes(b"PK")
    with pytest.raises(CheckpointError, match="truncated: 2 bytes of 375,042,383"):
        load_encoder("vit_b", checkpoint=path, device="cpu")


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"\x80\x02}q\x00.", bytes(range(256)) * 9])
def test_scrambled(tmp_path, content):
    path = tmp_path / "odd.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"odd\.pth is .*damaged"):
        load_decoder("tiny", checkpoint=path, device="cpu")


@pytest.mark.parametrize("zipped", [True, False])
def test_hostile(tmp_path, zipped):
    marker, path = tmp_path / "marker", tmp_path / "evil.pth"
    torch.save({"enc.a": Hostile(marker)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match="holds more than weights"):
        load_encoder("tiny", checkpoint=path, device="cpu")
    assert not marker.exists()
    # The file is truly hostile: opened carelessly, it does what it says.
    torch.load(path, weights_only=False)
    assert marker.exists()


@pytest.mark.parametrize(
    ("asked", "given"),
    [("vit_b", "vit_h"), ("vit_h", "vit_l"), ("vit_l", "tiny"), ("tiny", "vit_b"), ("vit_b", "vit_t")],
)
def test_another_architecture_is_named(tmp_path, asked, given):
    path = shaped_like(given, tmp_path / "other.pth")
    with pytest.raises(
        CheckpointError, match=rf"not of model '{asked}': it looks like .*{given}; use --model {given}$"
    ):
        load_encoder(asked, checkpoint=path, device="cpu")


@pytest.mark.parametrize(
    ("weight", "said"),
    [
        ("mask_decoder.hf_token.weight", "HQ-SAM"),
        ("sam_mask_decoder.iou_token.weight", "SAM 2"),
        ("conv1.weight", "no model known here"),
    ],
)
def test_relatives_are_told_apart(tmp_path, weight, said):
    path = tmp_path / "relative.pth"
    torch.save({weight: torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match=rf"looks like .*{said}.*; give a checkpoint of vit_b"):
        load_encoder("vit_b", checkpoint=path, device="cpu")


def test_weights_missing_or_of_another_shape(tmp_path, nano):
    path = tmp_path / "odd.pth"
    weights = nano.reference.state_dict()
    renamed = dict(weights)
    renamed["mask_decoder.iou_tokens.weight"] = renamed.pop("mask_decoder.iou_token.weight")
    torch.save(renamed, path)
    with pytest.raises(CheckpointError, match=r"1 weights missing, 1 unknown, the first 'mask_decoder\.iou_token"):
        load_encoder(nano.name, checkpoint=path, device="cpu")
    torch.save(weights | {"mask_decoder.iou_token.weight": torch.zeros(1, 8)}, path)
    with pytest.raises(CheckpointError, match=r"has shape \(1, 8\) instead of \(1, 256\)"):
        load_decoder(nano.name, checkpoint=path, device="cpu")


@pytest.mark.parametrize("content", [torch.zeros(3), [1, 2], {"a": 1}, {1: torch.zeros(1)}])
def test_no_weights_by_name(tmp_path, content):
    path = tmp_path / "odd.pth"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="no weights by name"):
        load_encoder("tiny", checkpoint=path, device="cpu")


@pytest.mark.parametrize("form", ["safetensors", "legacy", "wrapped", "half"])
def test_other_forms_of_a_good_checkpoint(tmp_path, nano, form):
    weights = nano.reference.state_dict()
    path = tmp_path / ("sam.safetensors" if form == "safetensors" else "sam.pth")
    if form == "safetensors":
        save_file(weights, path)
    elif form == "legacy":
        torch.save(weights, path, _use_new_zipfile_serialization=False)
    elif form == "wrapped":
        torch.save({"model": weights, "epoch": 3}, path)
    else:
        torch.save({name: value.half() for name, value in weights.items()}, path)
    decoder = load_decoder(nano.name, checkpoint=path, device="cpu")
    loaded = decoder._engine._module.mask_decoder.state_dict()["iou_token.weight"]
    assert loaded.dtype == torch.float32
    tolerance = 1e-3 if form == "half" else 0
    torch.testing.assert_close(loaded, weights["mask_decoder.iou_token.weight"], rtol=tolerance, atol=tolerance)


def test_a_fine_tuned_file_is_used_with_a_note(nano, caplog):
    with caplog.at_level(logging.INFO, "streamseg"):
        assert load_encoder(nano.name, checkpoint=nano.checkpoint, device="cpu").info.name == "nano"
    assert "not the original checkpoint of nano" in caplog.text


def test_a_damaged_installation(tmp_path, monkeypatch):
    monkeypatch.setitem(MODELS, "tiny", dataclasses.replace(MODELS["tiny"], folder=tmp_path))
    with pytest.raises(CheckpointError, match="reinstall"):
        load_encoder("tiny", device="cpu")
    (tmp_path / "tiny.safetensors").write_bytes(b"cut")
    with pytest.raises(CheckpointError, match=r"is damaged.*reinstall"):
        load_encoder("tiny", device="cpu")


def test_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("STREAMSEG_CACHE", str(tmp_path))
    assert checkpoints.expected_path(MODELS["vit_b"]) == tmp_path / "sam_vit_b_01ec64.pth"
    monkeypatch.delenv("STREAMSEG_CACHE")
    assert "streamseg" in str(checkpoints.cache_dir())
    assert dataclasses.asdict(MODELS["vit_h"])["size_bytes"] == 2_564_550_879


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 3e38])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_numbers_that_no_training_gives_are_named(tmp_path, nano, suffix, bad):
    weights = {name: value.clone() for name, value in nano.reference.state_dict().items()}
    name = next(name for name in weights if name.startswith("image_encoder.") and weights[name].ndim > 1)
    weights[name].view(-1)[-1] = bad
    path = tmp_path / f"bad{suffix}"
    torch.save(weights, path) if suffix == ".pth" else save_file(weights, path)
    with pytest.raises(CheckpointError, match=f"finite weights up to 1e[+]06, but '{name}' has"):
        load_encoder(nano.name, checkpoint=path, device="cpu")


@pytest.mark.parametrize("bad", [float("nan"), 1e30])
def test_also_where_torch_is_not_asked(tmp_path, bad):
    from safetensors.torch import load_file

    weights = load_file(checkpoints.expected_path(MODELS["tiny"]))
    name = next(name for name in weights if name.startswith("enc.") and weights[name].is_floating_point())
    weights[name].view(-1)[0] = bad if weights[name].dtype == torch.float32 else float("nan")
    save_file(weights, tmp_path / "bad.safetensors")
    with pytest.raises(CheckpointError, match=f"'{name}' has"):
        load_encoder("tiny", checkpoint=tmp_path / "bad.safetensors", device="cpu")


def test_what_is_loaded_is_shared_as_long_as_somebody_has_it(tmp_path: Path) -> None:
    encoder = load_encoder("tiny", device="cpu", threads=1)
    decoder, matching = load_decoder("tiny", device="cpu", threads=1), load_matching("tiny")
    assert load_encoder("tiny", device="cpu", threads=1) is encoder
    assert load_decoder("tiny", device="cpu", threads=1) is decoder
    assert load_matching("tiny") is matching
    assert load_encoder("tiny", device="cpu", threads=2) is not encoder
    assert load_encoder("tiny", device="cpu", engine="torch") is not encoder
    # Other weights under the same name are other weights.
    own = tmp_path / "own.safetensors"
    weights = load_file(locate(find("tiny")))
    save_file({**weights, "match.key.weight": weights["match.key.weight"] * 2}, own)
    assert load_matching("tiny", checkpoint=own) is not matching
    gone = weakref.ref(encoder)
    del encoder
    gc.collect()
    assert gone() is None
