"""Exported ONNX files compute what torch computes, on their own: only ONNX Runtime opens them here."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file, save_file

from streamseg.cli import main
from streamseg.errors import ModelError, OutputError
from streamseg.prompts.decoder import DecoderPrompt
from streamseg.sam import onnx_files
from streamseg.sam.checkpoints import locate
from streamseg.sam.engines import packaged_graphs
from streamseg.sam.exporting import write_packaged
from streamseg.sam.loading import load_decoder, load_encoder
from streamseg.sam.models import MODELS

TOLERANCE = 1e-3


class Files:
    """The files of one model, used as their JSON says."""

    def __init__(self, name: str, folder: Path) -> None:
        self.folder = folder
        self.facts: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
        self.encoder, self.decoder = (
            onnxruntime.InferenceSession(folder / self.facts[half]["file"], providers=["CPUExecutionProvider"])
            for half in ("encoder", "decoder")
        )

    def encode(self, image_rgb: np.ndarray) -> np.ndarray:
        return self.encoder.run(None, {"images_rgb": image_rgb[None]})[0]

    def ask(
        self, features: np.ndarray, points: list, labels: list, mask: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        side = 4 * features.shape[-1]
        logits, scores = self.decoder.run(
            ["logits", "scores"],
            {
                "features": features,
                "points_xy": np.array(points, np.float32).reshape(len(labels), len(labels[0]), 2),
                "point_labels": np.array(labels, np.int64),
                "mask_input": np.zeros((len(labels), 1, side, side), np.float32) if mask is None else mask,
                "has_mask_input": np.full(len(labels), mask is not None),
            },
        )
        return logits, scores


@pytest.fixture(scope="module")
def exported(nano, tmp_path_factory) -> dict[str, Files]:
    """tiny with its weights in the graphs, a narrow ViT with those of its encoder beside it."""
    folder = tmp_path_factory.mktemp("onnx")
    onnx_files.export(MODELS["tiny"], locate(MODELS["tiny"]), folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_files, "_INLINE_BYTES", 1000)
        written = onnx_files.export(MODELS[nano.name], nano.checkpoint, folder)
    assert [path.name for path in written] == [
        *("nano-encoder.onnx", "nano-encoder.onnx.data", "nano-decoder.onnx", "nano-decoder.onnx.data", "nano.json")
    ]
    return {name: Files(name, folder) for name in ("tiny", nano.name)}


@pytest.mark.parametrize(
    ("name", "size"),
    [("tiny", (288, 512)), ("tiny", (512, 300)), ("tiny", (256, 256)), ("nano", (576, 1024))],
    ids=["whole", "portrait", "focus", "vit"],
)
def test_files_agree_with_torch(exported, nano, name, size):
    files, checkpoint = exported[name], {"tiny": None, "nano": nano.checkpoint}[name]
    encoder = load_encoder(name, checkpoint=checkpoint, device="cpu", engine="torch")
    decoder = load_decoder(name, checkpoint=checkpoint, device="cpu", engine="torch")
    coarse = np.random.default_rng(0).integers(0, 256, (size[0] // 4, size[1] // 4, 3), np.uint8)
    image = coarse.repeat(4, 0).repeat(4, 1)
    features = encoder.encode([image])[0][None]
    np.testing.assert_allclose(files.encode(image), features, atol=TOLERANCE)

    height, width = size
    inside, outside, corner = [0.4 * width, 0.5 * height], [0.9 * width, 0.1 * height], [0.0, 0.0]
    box = [0.2 * width, 0.1 * height, 0.7 * width, 0.8 * height]
    point = np.array([inside])
    mask = np.random.default_rng(5).normal(0, 5, (1, 1, 4 * features.shape[-1], 4 * features.shape[-1]))
    mask = mask.astype(np.float32)
    clicks = {"points_xy": np.array([inside, outside]), "point_labels": np.array([1, 0])}
    asked = {
        "point": (DecoderPrompt(points_xy=point, point_labels=np.array([1])), [inside, corner], [[1, -1]], None),
        "negative": (DecoderPrompt(**clicks), [inside, outside, corner], [[1, 0, -1]], None),
        "box": (DecoderPrompt(tuple(box)), [box], [[2, 3]], None),
        "box+points": (DecoderPrompt(tuple(box), **clicks), [*inside, *outside, *box], [[1, 0, 2, 3]], None),
        "box+mask": (DecoderPrompt(tuple(box), mask_logits=mask[0, 0]), [box], [[2, 3]], mask),
        "mask": (DecoderPrompt(mask_logits=mask[0, 0]), [], [[]], mask),
    }
    for what, (prompt, points, labels, given) in asked.items():
        logits, scores = files.ask(features, points, labels, given)
        for multimask, wanted in ((False, slice(0, 1)), (True, slice(1, 4))):
            expected = decoder.decode(features[0], size, [prompt], multimask=multimask)
            np.testing.assert_allclose(logits[0, wanted], expected.logits[0], atol=TOLERANCE, err_msg=what)
            np.testing.assert_allclose(scores[0, wanted], expected.scores[0], atol=TOLERANCE, err_msg=what)


def test_many_prompts_on_one_picture_and_on_one_each(exported):
    files = exported["tiny"]
    images = [np.full((256, 256, 3), value, np.uint8) for value in (40, 200)]
    features = np.concatenate([files.encode(image) for image in images])
    boxes, labels = [10, 10, 90, 90, 100, 20, 250, 200], [[2, 3], [2, 3]]
    own, _ = files.ask(features, boxes, labels)
    shared, _ = files.ask(features[:1], boxes, labels)
    np.testing.assert_allclose(own[0], shared[0], atol=TOLERANCE)
    assert np.abs(own[1] - shared[1]).max() > 0.01


def test_the_facts_are_those_of_the_graphs(exported):
    for files in exported.values():
        for half, session in (("encoder", files.encoder), ("decoder", files.decoder)):
            for said, ports in (("inputs", session.get_inputs()), ("outputs", session.get_outputs())):
                assert [(p["name"], p["shape"]) for p in files.facts[half][said]] == [(p.name, p.shape) for p in ports]
                assert all(port["meaning"] for port in files.facts[half][said])
    facts = exported["tiny"].facts
    assert (facts["model"], facts["sha256"]) == ("tiny", MODELS["tiny"].sha256)
    assert facts["encoder"]["outputs"][0]["shape"] == ["images", 128, "grid", "grid"]
    assert exported["nano"].facts["encoder"]["outputs"][0]["shape"] == ["images", 256, 64, 64]


def test_the_command_writes_checks_and_says_so(tmp_path, capsys):
    assert main(["export", "tiny", "--onnx", "-o", str(tmp_path / "to")]) == 0
    said = capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "to").iterdir()) == [
        *("tiny-decoder.onnx", "tiny-encoder.onnx", "tiny.json")
    ]
    assert "off torch" in said
    assert main(["export", "tiny"]) == 2
    assert main(["export", "tny", "--onnx"]) == 4


def test_files_that_are_off_are_refused(tmp_path, exported):
    """Files of other weights stand in for an export that went wrong."""
    other = tmp_path / "other.safetensors"
    weights = load_file(locate(MODELS["tiny"]))
    save_file({**weights, "dec.iou_prediction_head.layers.2.bias": torch.ones(4)}, other)
    with pytest.raises(ModelError, match=r"off torch by .*do not use them"):
        onnx_files.largest_difference(MODELS["tiny"], other, exported["tiny"].folder)


def test_without_onnx_one_clear_error(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main(["export", "tiny", "--onnx", "-o", str(tmp_path)]) == 4
    assert "pip install 'streamseg[export]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        onnx_files.export(MODELS["tiny"], locate(MODELS["tiny"]), tmp_path / "file")


def test_the_packaged_graphs_can_be_made_anew(tmp_path):
    write_packaged(MODELS["tiny"], tmp_path)
    facts = packaged_graphs.facts_path("tiny")
    assert packaged_graphs.facts_path("tiny", tmp_path).read_bytes() == facts.read_bytes()
    for half in ("encoder", "decoder"):
        assert packaged_graphs.graph_path("tiny", half, tmp_path).stat().st_size < 500_000
