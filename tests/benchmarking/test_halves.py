"""What of a model's two halves is measured is what embed and propagate do with an object."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.nano import NanoSam

from streamseg.benchmarking.clip import make_clip
from streamseg.benchmarking.halves import Model, OneObject, engines_of, measure_decoder, measure_encoder
from streamseg.errors import ModelError, UsageError
from streamseg.masks import roi
from streamseg.sam import engines
from streamseg.sam.loading import load_decoder, load_encoder
from streamseg.video.open import open_source


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[np.ndarray], tuple[int, int, int, int]]:
    """Two frames of 192x128 with a thing, and the box round it in the first."""
    path: Path = tmp_path_factory.mktemp("clip") / "made.mp4"
    box = make_clip(path, 192, 128, 2)
    with open_source(str(path)) as reader:
        return [picture.to_rgb() for picture in reader], box


@pytest.mark.parametrize("focus", [True, False])
def test_the_thing_in_the_made_clip_is_found(
    clip: tuple[list[np.ndarray], tuple[int, int, int, int]], focus: bool
) -> None:
    (image, _), box = clip
    encoder, decoder = (
        load_encoder(engine="onnxruntime", device="cpu"),
        load_decoder(engine="onnxruntime", device="cpu"),
    )
    seen = OneObject(encoder.info, (128, 192), box, focus=focus)
    mask = seen.decode(decoder, seen.encode(encoder, image)) > 0
    x0, y0, x1, y1 = roi.window_of(seen.region, (128, 192)) if focus else (0, 0, 192, 128)
    assert mask.shape == (y1 - y0, x1 - x0)
    found = np.zeros((128, 192), bool)
    found[y0:y1, x0:x1] = mask
    true = image[..., 0].astype(int) > image[..., 1].astype(int) + 40
    assert (found & true).sum() / (found | true).sum() > 0.8


@pytest.mark.parametrize("measure", [measure_encoder, measure_decoder])
def test_engines_that_are_installed_take_turns(
    measure: object, clip: tuple[list[np.ndarray], tuple[int, int, int, int]]
) -> None:
    images, box = clip
    here = [name for name in ("onnxruntime", "openvino") if engines.is_installed(name)]
    measured = measure(Model(threads=1), images, box, rounds=2, calls=2, warm_up=0)  # type: ignore[operator]
    assert measured.settings["engines"] == here
    assert measured.settings["frame"] == "192x128"
    assert len(measured.figures) == 2 * len(here)
    for figure in measured.figures:
        assert figure.unit == "ms"
        assert 0 < figure.least <= figure.median <= figure.most
        assert figure.count == 4
        assert (figure.beside is None) == figure.name.startswith(here[0])
    assert {figure.name.partition("view ")[2] for figure in measured.figures} == {"256x256", "512x341"}


def test_a_model_of_ones_own_runs_in_torch(
    nano: NanoSam, clip: tuple[list[np.ndarray], tuple[int, int, int, int]]
) -> None:
    images, box = clip
    model = Model("nano", checkpoint=nano.checkpoint, device="cpu")
    measured = measure_decoder(model, images, box, rounds=1, calls=1, warm_up=0)
    assert measured.settings["engines"] == ["torch"]
    assert measured.settings["device"] == {"torch": "cpu"}


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(UsageError, match="each engine once, got torch, torch"):
        engines_of(Model(engines=["torch", "torch"]))
    with pytest.raises(ModelError, match="there is no model 'tinny'"):
        engines_of(Model("tinny"))
