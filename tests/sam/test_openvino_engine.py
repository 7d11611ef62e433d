"""OpenVINO computes what torch computes, as closely as its numbers allow, and the same at every start."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from streamseg.errors import CheckpointError, DeviceError, ModelError
from streamseg.prompts.decoder import DecoderPrompt
from streamseg.sam import engines, loading
from streamseg.sam.checkpoints import locate
from streamseg.sam.decoder import MaskDecoder
from streamseg.sam.encoder import ImageEncoder
from streamseg.sam.engines import openvino_engine, openvino_package
from streamseg.sam.loading import load_decoder, load_encoder
from streamseg.sam.models import MODELS

if not engines.is_installed("openvino"):
    pytest.skip("OpenVINO is not installed; 'make test-openvino' has it", allow_module_level=True)

Halves = tuple[ImageEncoder, MaskDecoder]

SIZES = {"focus": (256, 256), "small": (96, 96), "landscape": (360, 640), "odd": (31, 257)}
FEATURES_OFF = {"bf16": 0.04, "f32": 1e-5}
"""Norm of the difference from torch's float32, of the norm: what docs/engines.md promises."""
LOGITS_OFF = {"bf16": 0.03, "f32": 1e-4}
SAME_MASK = {"bf16": 0.97, "f32": 0.999}


def picture(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (size[0] // 8 + 1, size[1] // 8 + 1, 3), np.uint8)
    return np.ascontiguousarray(coarse.repeat(8, 0).repeat(8, 1)[: size[0], : size[1]])


def asked(height: int, width: int, side: int) -> list[DecoderPrompt]:
    box = (0.2 * width, 0.1 * height, 0.7 * width, 0.8 * height)
    points = np.array([[0.4 * width, 0.5 * height], [0.9 * width, 0.1 * height]])
    mask = np.random.default_rng(5).normal(0, 5, (side, side)).astype(np.float32)
    return [
        DecoderPrompt(points_xy=points[:1], point_labels=np.array([1])),
        DecoderPrompt(box_xyxy=box),
        DecoderPrompt(box_xyxy=box, points_xy=points, point_labels=np.array([1, 0])),
        DecoderPrompt(box_xyxy=box, mask_logits=mask),
    ]


def load(engine: str, threads: int = 1) -> Halves:
    return load_encoder(engine=engine, threads=threads), load_decoder(engine=engine, threads=threads)


def iou(mine: np.ndarray, its: np.ndarray) -> float:
    return float((mine & its).sum() / max(1, (mine | its).sum()))


def off(mine: np.ndarray, its: np.ndarray) -> float:
    return float(np.linalg.norm(mine - its) / np.linalg.norm(its))


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What other tests hold is not loaded again."""
    folder = tmp_path_factory.getbasetemp() / "compiled-once"
    monkeypatch.setenv("STREAMSEG_CACHE", str(folder))
    monkeypatch.setattr(loading, "_loaded", {})
    yield folder


@pytest.fixture(params=["bf16", "f32"])
def numbers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    chosen = str(request.param)
    if chosen == "bf16" and openvino_engine.precision() != "bf16":
        pytest.skip("this processor does not compute in bfloat16")
    monkeypatch.setattr(openvino_engine, "precision", lambda: chosen)
    return chosen


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_it_is_as_close_to_torch_as_its_numbers_allow(numbers: str, size: tuple[int, int]) -> None:
    mine, its = load("openvino"), load("torch")
    assert [(half.engine, half.precision) for half in mine] == [("openvino", numbers)] * 2
    images = [picture(size, seed) for seed in range(2)]
    features = its[0].encode(images)
    for found, expected in zip(mine[0].encode(images), features, strict=True):
        assert (found.dtype, found.shape) == (np.float32, expected.shape)
        assert off(found, expected) < FEATURES_OFF[numbers]
    prompts = asked(*size, side=4 * features[0].shape[1])
    for multimask in (False, True):
        for given in (features[0], [features[i % 2] for i in range(len(prompts))]):
            found = mine[1].decode(given, size, prompts, multimask=multimask)
            expected = its[1].decode(given, size, prompts, multimask=multimask)
            assert off(found.logits, expected.logits) < LOGITS_OFF[numbers]
            np.testing.assert_allclose(found.scores, expected.scores, atol=LOGITS_OFF[numbers])
            assert iou(found.logits > 0, expected.logits > 0) > SAME_MASK[numbers]


@pytest.mark.parametrize("side", [96, 256])
def test_nothing_depends_on_what_is_asked_beside_it(numbers: str, side: int) -> None:
    """Nor on how many pictures or prompts are computed at once."""
    encoder, decoder = load("openvino")
    images = [picture((side, side), seed) for seed in range(openvino_engine._TOGETHER + 1)]
    together = encoder.encode(images)
    for image, features in zip(images, together, strict=True):
        np.testing.assert_array_equal(encoder.encode([image])[0], features)
    prompts = [prompt for prompt in asked(side, side, side // 2) for _ in images]
    given = [features for _ in range(len(prompts) // len(images)) for features in together]
    all_at_once = decoder.decode(given, (side, side), prompts, multimask=True)
    for place, prompt in list(enumerate(prompts))[::3]:
        alone = decoder.decode(given[place], (side, side), [prompt], multimask=True)
        np.testing.assert_array_equal(alone.logits[0], all_at_once.logits[place])
        np.testing.assert_array_equal(alone.scores[0], all_at_once.scores[place])


def computed() -> list[np.ndarray]:
    """With both halves loaded anew."""
    loading._loaded.clear()
    encoder, decoder = load("openvino")
    features = encoder.encode([picture((256, 256))])[0]
    answer = decoder.decode(features, (256, 256), asked(256, 256, 128), multimask=True)
    return [features, answer.logits, answer.scores]


def assert_equal(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for mine, its in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine, its)


def test_a_second_start_compiles_nothing_and_computes_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMSEG_CACHE", str(tmp_path))
    first = computed()
    kept = {path: path.read_bytes() for path in (tmp_path / "compiled").iterdir()}
    assert len(kept) == 4, "the encoder; the decoder for two points, for four, and for two and a mask"
    monkeypatch.setattr(openvino_engine, "with_weights", lambda *given: pytest.fail("compiled again"))
    assert_equal(computed(), first)
    monkeypatch.undo()
    monkeypatch.setenv("STREAMSEG_CACHE", str(tmp_path))
    for path, data in kept.items():
        path.write_bytes(data[: len(data) // 2])
    assert_equal(computed(), first)
    # Names that OpenVINO makes up vary in length.
    assert all(path.stat().st_size > 0.9 * len(data) for path, data in kept.items()), "and kept again"


def test_where_nothing_can_be_kept_it_runs_all_the_same(
    own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = computed()
    (tmp_path / "file").touch()
    monkeypatch.setenv("STREAMSEG_CACHE", str(tmp_path / "file"))
    assert_equal(computed(), expected)


def run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100, env=environment
    )
    assert not done.stderr
    return done.stdout.strip()


@pytest.fixture
def environment(own_cache: Path) -> dict[str, str]:
    return {**os.environ, "STREAMSEG_CACHE": str(own_cache)}


DIGEST = """
import hashlib, numpy as np
from streamseg.sam.loading import load_decoder, load_encoder
from streamseg.prompts.decoder import DecoderPrompt
encoder, decoder = load_encoder(engine="openvino", threads=1), load_decoder(engine="openvino", threads=1)
features = encoder.encode([np.arange(256 * 256 * 3, dtype=np.uint8).reshape(256, 256, 3)])[0]
answer = decoder.decode(features, (256, 256), [DecoderPrompt((20, 20, 200, 180))], multimask=False)
print(hashlib.sha256(features.tobytes() + answer.logits.tobytes()).hexdigest())
"""


def test_processes_that_start_at_once_compute_the_same(tmp_path: Path, environment: dict[str, str]) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", DIGEST],
            stdout=subprocess.PIPE,
            text=True,
            env={**environment, "STREAMSEG_CACHE": str(tmp_path)},
        )
        for _ in range(3)
    ]
    said = [process.communicate(timeout=100)[0] for process in started]
    assert len(set(said)) == 1 and len(said[0].strip()) == 64
    assert run(DIGEST, **{**environment, "STREAMSEG_CACHE": str(tmp_path)}) == said[0].strip()
    assert {path.suffix for path in (tmp_path / "compiled").iterdir()} == {".graph"}


def test_its_makers_hear_nothing(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "openvino_telemetry.py").write_text("print('telemetry is here')\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
    code += "from streamseg.sam.engines.openvino_engine import version; version()"
    assert run(code, **environment) == ""
    told = f"{code}; import openvino_telemetry"
    assert run(told, **environment) == "telemetry is here", "others get it as before"


def test_torch_and_onnx_stay_out_of_the_process(environment: dict[str, str]) -> None:
    code = f"{DIGEST}\nimport sys; print([name for name in ('torch', 'onnx', 'onnxruntime') if name in sys.modules])"
    assert run(code, **environment).splitlines()[1] == "[]"


def test_threads_that_ask_at_once_get_their_own(own_cache: Path) -> None:
    encoder, decoder = load("openvino")
    images = [picture((256, 256), seed) for seed in range(4)]
    expected = [encoder.encode([image])[0] for image in images]
    prompts = asked(256, 256, 128)
    answers = [decoder.decode(each, (256, 256), prompts, multimask=False).logits for each in expected]
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(5):
            found = encoder.encode([images[number]])[0]
            logits = decoder.decode(found, (256, 256), prompts, multimask=False).logits
            if not (np.array_equal(found, expected[number]) and np.array_equal(logits, answers[number])):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_auto_takes_it_where_it_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = MODELS["tiny"]
    for machine, expected in (("x86_64", "openvino"), ("AMD64", "openvino"), ("aarch64", "onnxruntime")):
        monkeypatch.setattr(engines.platform, "machine", lambda machine=machine: machine)
        assert engines.choose(tiny, "auto", "cpu") == (expected, "cpu")
    assert engines.choose(tiny, "openvino", "auto") == ("openvino", "cpu")
    assert engines.choose(MODELS["vit_b"], "auto", "cpu") == ("torch", "cpu")


def test_without_it_auto_takes_onnx_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    openvino_package.import_openvino.cache_clear()
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert engines.choose(MODELS["tiny"], "auto", "cpu") == ("onnxruntime", "cpu")
    with pytest.raises(ModelError, match=r"needs the package openvino: \"pip install 'streamseg\[openvino\]'\""):
        load_encoder(engine="openvino")


def test_what_cannot_be_meant_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="'openvino' runs on the CPU, not on 'cuda:0'"):
        load_encoder(engine="openvino", device="cuda:0")
    with pytest.raises(ModelError, match="'openvino' runs tiny, not 'vit_b'"):
        load_decoder("vit_b", engine="openvino")
    other = tmp_path / "other.safetensors"
    other.write_bytes(locate(MODELS["tiny"]).read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="damaged"):
        load_encoder(engine="openvino", checkpoint=other)


def test_running_out_of_memory_is_said() -> None:
    encoder, _ = load("openvino")
    with pytest.raises(DeviceError, match="out of memory on cpu: use less"), encoder._engine.guard("use less"):
        raise RuntimeError("std::bad_alloc")
    with pytest.raises(RuntimeError, match="else"), encoder._engine.guard("use less"):
        raise RuntimeError("something else")
