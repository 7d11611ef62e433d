"""Things by words: without transformers it says how to get it; with it, tiny models of random weights are read."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamseg_nodes.text_detector import MODEL, TextDetector, words_of
from support import text_models
from support.media import moving_images, write_video

from streamseg.cli.main import make_parser
from streamseg.cli.running.run_graph import from_sources, page_of
from streamseg.errors import GraphError, ModelError, UsageError
from streamseg.graph.plan import Plan
from streamseg.messages import Detection, Frame, Stamp
from streamseg.node import run_node

HEIGHT, WIDTH = 90, 120
needs_transformers = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None,
    reason="transformers is not installed; 'make test-text' has it",
)


def frame() -> Frame:
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    image.flags.writeable = False
    return Frame(Stamp("s", 0, 0, None, (1, 25), 0, 0, 1), image)


def found_by(folder: Path, **options: Any) -> list[Detection]:
    node = TextDetector(TextDetector.Config(words="red cup, dog", model_folder=str(folder), **options))
    (message,) = run_node(node, [frame()])
    assert message.detections is not None
    return message.detections


def graph(*words: str) -> Any:
    return from_sources(make_parser().parse_args(["run", "clip.mp4", *words]))


def test_words_become_a_detector_that_looks_now_and_then() -> None:
    made = graph("--text", "red cup, dog", "--text-score", "0.4", "--text-model", "owl")
    assert made.nodes["detect"].use == "text_detector"
    wanted = {"words": "red cup, dog", "score": 0.4, "model_folder": "owl", "every": 25}
    assert made.nodes["detect"].options == wanted
    assert made.nodes["propagate"].options == {"detections": {}}
    assert graph("--text", "dog", "--detect-every", "1").nodes["detect"].options == {"words": "dog"}
    assert graph("--text", "dog", "--detect-every", "0").nodes["detect"].options == {"words": "dog", "every": 0}
    page = page_of(make_parser().parse_args(["serve", "0", "--text", "dog"]), "127.0.0.1:0")
    assert page.nodes["detect"].options == {"words": "dog", "every": 25}


def test_words_are_what_stands_between_commas() -> None:
    assert words_of(" red   cup,dog ,, ") == ["red cup", "dog"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--text", "dog", "--discover", "5"], "expected one detector, got --discover and --text"),
        (["--text-score", "0.5", "--detect", "motion"], "expected --text WORDS with --text-score"),
        (["--text-model", "owl", "--box", "1,2,30,40"], "expected --text WORDS with --text-model"),
    ],
)
def test_what_cannot_be_meant_is_refused(words: list[str], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        graph(*words)


def test_no_words_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GraphError, match="expected words that say what to find, got ' , '"):
        Plan(graph("--text", " , "), results_from="cleanup")


def test_without_transformers_it_is_said_what_installs_it_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "transformers" else there(name))
    with pytest.raises(UsageError, match=r"'transformers' .* pip install 'streamseg\[text\]' installs it"):
        Plan(graph("--text", "red cup"), results_from="cleanup")


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty cache, and nobody may connect anywhere."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something is downloaded")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "empty"))


@needs_transformers
def test_boxes_scores_and_words_are_those_of_owlv2(tmp_path: Path) -> None:
    folder = text_models.owlv2(tmp_path / "owl")
    from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

    processor = AutoProcessor.from_pretrained(folder)
    model = AutoModelForZeroShotObjectDetection.from_pretrained(folder).eval()
    inputs = processor(images=np.array(frame().image_rgb), text=[["red cup", "dog"]], return_tensors="pt")
    answers = model(**inputs)
    scores = answers.logits[0].sigmoid().detach().numpy()  # (places, words)
    x, y, width, height = answers.pred_boxes[0].detach().numpy().T * max(HEIGHT, WIDTH)
    wanted = []
    for place in np.argsort(-scores.max(axis=1)):
        x0, x1 = np.clip([x[place] - width[place] / 2, x[place] + width[place] / 2], 0, WIDTH)
        y0, y1 = np.clip([y[place] - height[place] / 2, y[place] + height[place] / 2], 0, HEIGHT)
        if x0 < x1 and y0 < y1:
            wanted.append(((x0, y0, x1, y1), ["red cup", "dog"][scores[place].argmax()], scores[place].max()))
    found = found_by(folder, score=0.0)
    assert len(wanted) > 1
    assert [each.label for each in found] == [label for _, label, _ in wanted]
    for each, (box, _, score) in zip(found, wanted, strict=True):
        assert each.box_xyxy == pytest.approx(box, abs=0.01)
        assert each.score == pytest.approx(score, abs=1e-5)
    middle = (found[0].score + found[1].score) / 2
    assert found_by(folder, score=middle) == found[:1]


@needs_transformers
def test_grounding_dino_is_understood_too(tmp_path: Path) -> None:
    found = found_by(text_models.grounding_dino(tmp_path / "dino"), score=0.0)
    assert found and [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    for each in found:
        x0, y0, x1, y1 = each.box_xyxy
        assert 0 <= x0 < x1 <= WIDTH and 0 <= y0 < y1 <= HEIGHT and 0 < each.score <= 1


@needs_transformers
def test_nothing_is_downloaded(no_network: None) -> None:
    with pytest.raises(ModelError, match=f"nothing is downloaded here: 'hf download {MODEL}' does"):
        TextDetector(TextDetector.Config(words="dog")).setup()


@needs_transformers
@pytest.mark.parametrize("spoil", [lambda folder: (folder / "config.json").write_text("{}"), lambda folder: None])
def test_a_folder_with_something_else_is_refused(tmp_path: Path, spoil: Callable[[Path], Any]) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    spoil(folder)
    with pytest.raises(ModelError, match="expected OWLv2 or Grounding DINO"):
        TextDetector(TextDetector.Config(words="dog", model_folder=str(folder))).setup()


@needs_transformers
@pytest.mark.parametrize("data", [b"", b"\0" * 1000, b"\xff" * 1000])
def test_damaged_weights_are_one_sentence(tmp_path: Path, data: bytes) -> None:
    folder = text_models.owlv2(tmp_path / "owl")
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(ModelError, match="expected OWLv2 or Grounding DINO"):
        TextDetector(TextDetector.Config(words="dog", model_folder=str(folder))).setup()


@needs_transformers
def test_weights_of_other_shapes_are_one_sentence(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    folder = text_models.owlv2(tmp_path / "owl")
    weights = load_file(folder / "model.safetensors")
    cut = {name: each[:1] if each.ndim > 1 else each for name, each in weights.items()}
    save_file(cut, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="expected OWLv2 or Grounding DINO"):
        TextDetector(TextDetector.Config(words="dog", model_folder=str(folder))).setup()


@needs_transformers
def test_another_model_under_the_same_name_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the cache as it is on the disk: a name leads to the number of a version, and that to a folder of links."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    config = TextDetector.Config(words="dog", model_folder="somebody/owl")
    assert TextDetector.depends_on(config) == {"model": []}
    place = tmp_path / "models--somebody--owl"
    for number, version in enumerate(("a" * 40, "b" * 40), 1):
        folder = place / "snapshots" / version
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(b"x" * number)
        (place / "refs").mkdir(exist_ok=True)
        (place / "refs" / "main").write_text(version)
        ((name, facts),) = TextDetector.depends_on(config)["model"]
        assert (name, facts["size_bytes"]) == ("model.safetensors", number)
    assert TextDetector.depends_on(TextDetector.Config(words="dog", model_folder="no/such/name")) == {"model": []}


@needs_transformers
def test_weights_as_pickles_are_not_opened(tmp_path: Path) -> None:
    import torch

    folder = text_models.owlv2(tmp_path / "owl")
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors"):
        TextDetector(TextDetector.Config(words="dog", model_folder=str(folder))).setup()


@needs_transformers
def test_a_run_follows_what_was_found_by_words(tmp_path: Path) -> None:
    from streamseg import segment_video

    folder = text_models.owlv2(tmp_path / "owl")
    clip = write_video(tmp_path / "clip.mp4", moving_images(3))
    options = {"text": "dog", "text_model": str(folder), "text_score": 0.3, "detect_every": 1}
    results = list(segment_video(clip, detect="text_detector", **options))
    assert len(results) == 3
    assert {found.label for result in results for found in result.objects} == {"dog"}
