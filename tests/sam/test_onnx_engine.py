"""ONNX Runtime computes what torch computes, from the same checkpoint, and without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from streamseg.errors import CheckpointError, DeviceError, ModelError, UsageError
from streamseg.prompts.decoder import DecoderPrompt
from streamseg.sam import engines, loading
from streamseg.sam.decoder import MaskDecoder
from streamseg.sam.encoder import ImageEncoder
from streamseg.sam.engines import packaged_graphs
from streamseg.sam.engines.onnx_engine import session_options
from streamseg.sam.loading import load_decoder, load_encoder
from streamseg.sam.models import MODELS
from streamseg.sam.networks.tiny import Tiny

SIZES = {"focus": (256, 256), "landscape": (360, 640), "portrait": (640, 360), "odd": (31, 257)}
TOLERANCE = 1e-3


def picture(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (size[0] // 8 + 1, size[1] // 8 + 1, 3), np.uint8)
    return np.ascontiguousarray(coarse.repeat(8, 0).repeat(8, 1)[: size[0], : size[1]])


def prompts(height: int, width: int, side: int) -> list[DecoderPrompt]:
    """One of each kind."""
    box = (0.2 * width, 0.1 * height, 0.7 * width, 0.8 * height)
    points = np.array([[0.4 * width, 0.5 * height], [0.9 * width, 0.1 * height], [0.5 * width, 0.6 * height]])
    mask = np.random.default_rng(5).normal(0, 5, (side, side)).astype(np.float32)
    return [
        DecoderPrompt(points_xy=points[:1], point_labels=np.array([1])),
        DecoderPrompt(points_xy=points, point_labels=np.array([1, 0, 1])),
        DecoderPrompt(box_xyxy=box),
        DecoderPrompt(box_xyxy=box, points_xy=points[:2], point_labels=np.array([1, 0])),
        DecoderPrompt(box_xyxy=box, mask_logits=mask),
        DecoderPrompt(points_xy=points[:1], point_labels=np.array([1]), mask_logits=mask),
        DecoderPrompt(mask_logits=mask),
    ]


def load(engine: str, checkpoint: Path | None = None) -> tuple[ImageEncoder, MaskDecoder]:
    chosen = {"checkpoint": checkpoint, "device": "cpu", "engine": engine, "threads": 1}
    return load_encoder("tiny", **chosen), load_decoder("tiny", **chosen)


@pytest.fixture(scope="module")
def halves() -> tuple[ImageEncoder, MaskDecoder]:
    return load("onnxruntime")


@pytest.fixture(scope="module")
def torch_halves() -> tuple[ImageEncoder, MaskDecoder]:
    return load("torch")


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """Weights that are not the packaged ones, as a user's would be."""
    torch.manual_seed(3)
    network = Tiny().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return {name: value.contiguous() for name, value in network.state_dict().items()}


def assert_same(
    found: tuple[ImageEncoder, MaskDecoder], expected: tuple[ImageEncoder, MaskDecoder], size: tuple[int, int]
) -> None:
    """Features, and masks and scores of every kind of prompt."""
    images = [picture(size, seed) for seed in range(3)]
    features = expected[0].encode(images)
    for mine, its in zip(found[0].encode(images), features, strict=True):
        assert mine.dtype == np.float32
        np.testing.assert_allclose(mine, its, atol=TOLERANCE)
    asked = prompts(*size, side=4 * features[0].shape[1])
    own = [features[i % 3] for i in range(len(asked))]
    for multimask in (False, True):
        for given in (features[0], own):
            mine = found[1].decode(given, size, asked, multimask=multimask)
            its = expected[1].decode(given, size, asked, multimask=multimask)
            assert mine.logits.dtype == mine.scores.dtype == np.float32
            np.testing.assert_allclose(mine.logits, its.logits, atol=TOLERANCE)
            np.testing.assert_allclose(mine.scores, its.scores, atol=TOLERANCE)
            differs = (mine.logits > 0) != (its.logits > 0)
            assert differs.mean() < 1e-4, "isolated pixels only"
            assert len(set(its.scores.ravel().tolist())) > len(asked) // 2, "the prompts do matter"


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_it_computes_what_torch_computes(halves, torch_halves, size):
    assert [half.engine for half in (*halves, *torch_halves)] == ["onnxruntime", "onnxruntime", "torch", "torch"]
    assert_same(halves, torch_halves, size)


@pytest.mark.parametrize("form", ["safetensors", "half.safetensors", "bfloat16.safetensors", "pth"])
def test_it_runs_a_users_own_weights(tmp_path, tuned, form):
    path = tmp_path / f"mine.{form}"
    kind = {"half.safetensors": torch.float16, "bfloat16.safetensors": torch.bfloat16}.get(form, torch.float32)
    weights = {name: value.to(kind) if value.is_floating_point() else value for name, value in tuned.items()}
    torch.save(weights, path) if form == "pth" else save_file(weights, path)
    mine, expected = load("onnxruntime", path), load("torch", path)
    assert mine[0].sha256 == expected[0].sha256 != MODELS["tiny"].sha256
    assert_same(mine, expected, SIZES["focus"])


def test_many_prompts_go_through_in_parts(halves, torch_halves):
    size = SIZES["landscape"]
    features = torch_halves[0].encode([picture(size)])[0]
    asked = [DecoderPrompt(box_xyxy=(10.0 * i, 20.0, 200.0 + 10 * i, 300.0)) for i in range(9)]
    assert halves[1]._engine.prompts_per_call(64) < len(asked)
    mine = halves[1].decode(features, size, asked, multimask=False)
    its = torch_halves[1].decode(features, size, asked, multimask=False)
    np.testing.assert_allclose(mine.logits, its.logits, atol=TOLERANCE)


def test_torch_stays_out_of_the_process():
    code = """
import sys, numpy as np
from streamseg.errors import GraphError
from streamseg.messages import Frame, Stamp
from streamseg.node import NodeContext
from streamseg_nodes.embed import Embed
from streamseg_nodes.propagate.node import Propagate
from streamseg.prompts.model import ObjectPrompt
embed, propagate = Embed(Embed.Config(engine="onnxruntime")), Propagate(
    Propagate.Config(engine="onnxruntime", prompts=[ObjectPrompt(id=1, box=(8, 8, 60, 50))]), NodeContext(streams=["s"])
)
embed.setup(), propagate.setup()
for seq in range(2):
    image = np.random.default_rng(seq).integers(0, 256, (72, 128, 3), np.uint8)
    propagate.process(embed.process(Frame(Stamp("s", seq, seq, None, (1, 25), 0, 0, seq + 1), image)))
print(embed.describe()["engine"], propagate.describe()["engine"], [n for n in ("torch", "onnx") if n in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "onnxruntime onnxruntime []"
    assert not done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads as Linux shows them")
@pytest.mark.parametrize("threads", [1, 3])
def test_it_takes_no_more_threads_than_it_is_given(threads):
    code = f"""
import os, numpy, cv2, onnxruntime
from streamseg.sam.engines.onnx_engine import OnnxEncoder
from streamseg.sam.checkpoints import locate
from streamseg.sam.models import MODELS
before = len(os.listdir("/proc/self/task"))
engine = OnnxEncoder(MODELS["tiny"], locate(MODELS["tiny"]), {threads})
engine.encode(numpy.zeros((1, 256, 256, 3), numpy.uint8))
print(len(os.listdir("/proc/self/task")) - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert int(done.stdout) == threads - 1, "the caller's thread works too"


def test_waiting_threads_sleep():
    options = session_options(2)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_what_auto_chooses(monkeypatch):
    tiny, vit_b = MODELS["tiny"], MODELS["vit_b"]
    monkeypatch.setattr(engines, "is_installed", lambda name: name == "onnxruntime")
    assert engines.choose(tiny, "auto", "cpu") == ("onnxruntime", "cpu")
    assert engines.choose(tiny, "torch", "cpu") == ("torch", "cpu")
    assert engines.choose(vit_b, "auto", "cpu") == ("torch", "cpu")
    monkeypatch.undo()
    monkeypatch.setattr(engines, "LIGHT", ("onnxruntime",))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert engines.choose(tiny, "auto", "cpu") == ("torch", "cpu")
    with pytest.raises(ModelError, match=r"pip install onnxruntime.*engine auto"):
        engines.choose(tiny, "onnxruntime", "cpu")


def test_torch_is_asked_only_where_a_gpu_could_be(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(engines.metadata, "version", lambda name: "2.9.0+cpu")
    driver = tmp_path / "nvidiactl"
    monkeypatch.setattr(engines, "_GPU_FILES", (str(driver),))
    driver.touch()
    assert not engines.may_have_gpu()
    monkeypatch.setattr(engines.metadata, "version", lambda name: "2.9.0")
    assert engines.may_have_gpu()
    driver.unlink()
    assert not engines.may_have_gpu()


@pytest.mark.parametrize(
    ("name", "engine", "device", "error", "said"),
    [
        ("vit_b", "onnxruntime", "cpu", ModelError, "runs tiny, not 'vit_b'; use engine auto or torch"),
        ("tiny", "onnxruntime", "cuda:0", DeviceError, "runs on the CPU, not on 'cuda:0'"),
        ("tiny", "onxruntime", "cpu", UsageError, "did you mean 'onnxruntime'"),
        ("tiny", "auto", "gpu", DeviceError, "unknown device 'gpu'"),
    ],
)
def test_what_cannot_be_meant_is_refused(name, engine, device, error, said):
    with pytest.raises(error, match=said):
        load_encoder(name, engine=engine, device=device)


def test_a_checkpoint_of_another_model_is_refused_in_torchs_words(nano, tmp_path, tuned):
    with pytest.raises(CheckpointError, match="not of model 'tiny'"):
        load("onnxruntime", nano.checkpoint)
    path = tmp_path / "mine.safetensors"
    save_file({name: value for name, value in tuned.items() if name != "pe.no_mask_embed.weight"}, path)
    with pytest.raises(CheckpointError, match=r"1 weights missing.*'pe.no_mask_embed.weight'"):
        load("onnxruntime", path)
    path.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="damaged"):
        load("onnxruntime", path)


def test_graphs_of_an_older_network_are_refused(monkeypatch):
    graphs = packaged_graphs.find(MODELS["tiny"])
    older = msgspec.structs.replace(graphs, network={**graphs.network, "enc.z.weight": (3,)})
    monkeypatch.setattr(packaged_graphs, "find", lambda info: older)
    monkeypatch.setattr(loading, "_loaded", {})  # what other tests hold is not loaded again
    with pytest.raises(ModelError, match="out of date; run 'make graphs'"):
        load("onnxruntime")


def test_the_packaged_graphs_are_those_of_the_network():
    graphs = packaged_graphs.find(MODELS["tiny"])
    with torch.device("meta"):
        network = {name: tuple(value.shape) for name, value in Tiny().state_dict().items()}
    assert graphs.network == network
    size_bytes = sum(path.stat().st_size for path in packaged_graphs.FOLDER.iterdir())
    assert size_bytes < 1e6, "no weights in them"
