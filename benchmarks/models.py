"""Milliseconds a frame of following one object in 1280x720 on the CPU: the bundled model beside others.

    python benchmarks/models.py [--frames 60] [--only tiny,vit_b,sam2]

The bundled model runs in ONNX Runtime and, if it is installed, OpenVINO, as streamseg runs it on a CPU, and in torch.
The others run with random weights, which take as long as trained ones: SAM's ViT-B through `SamPredictor` as its
examples use it, and the video predictor of the package `sam2` (hiera-tiny, at 1024 and at 512 pixels), which is left
out if it is not installed (``SAM2_BUILD_CUDA=0 pip install --no-deps --no-build-isolation sam2==1.1.0``; 'make bench'
does that). They see fewer frames, since they take so long. They use all cores; the bundled model does so too, and
again one thread, as in a graph, where the other cores have other work. Reading and writing video is not in these
figures.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import bench_report as report
import cv2
import numpy as np
import torch
from bench_clip import Box, make_clip

from streamseg.benchmarking.halves import OneObject
from streamseg.graph.plan import cores
from streamseg.sam import engines
from streamseg.sam.decoder import MaskDecoder
from streamseg.sam.encoder import ImageEncoder
from streamseg.sam.loading import load_decoder, load_encoder
from streamseg.sam.networks.torchvision_ops import ensure_torchvision

HEIGHT, WIDTH = 720, 1280
SLOW_FRAMES = 3  # of models that take seconds
SAM2_FRAMES = 5
SAM2_CONFIG = "configs/sam2.1/sam2.1_hiera_t.yaml"
GOAL_MS = 25.0


def main() -> None:
    args = _arguments()
    torch.set_num_threads(cores())
    machine = report.machine()
    report.say_machine(machine)
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        box = make_clip(clip, WIDTH, HEIGHT, args.frames)
        images = list(_images(clip))
        for name, times_ms in _measure(args.only, images, box, Path(folder)):
            found[name] = times_ms
            print(f"{name}: {sum(times_ms.values()):.1f} ms", flush=True)
    rows = [
        [
            name,
            *(f"{times[key]:.1f}" if key in times else "" for key in ("encode", "decode")),
            f"{_all(times):.1f}",
            f"{1e3 / _all(times):.1f}",
            f"<= {GOAL_MS:g} ms" if name.startswith("tiny") else "",
        ]
        for name, times in found.items()
    ]
    print("\n" + report.table(["model", "encode ms", "decode ms", "ms a frame", "frames/s", "goal"], rows))
    report.save("models", {"machine": machine, "ms": found})


def _measure(
    names: list[str], images: list[np.ndarray], box: Box, folder: Path
) -> Iterator[tuple[str, dict[str, float]]]:
    if "tiny" in names:
        installed = [name for name in (*engines.LIGHT, "torch") if engines.is_installed(name)]
        for engine, threads in itertools.product(installed, sorted({1, cores()})):
            torch.set_num_threads(threads)
            encoder = load_encoder("tiny", device="cpu", engine=engine, threads=threads)
            decoder = load_decoder("tiny", device="cpu", engine=engine, threads=threads)
            for what, focus in (("region of the object (focus)", True), ("whole frame", False)):
                name = f"tiny in {engine}, {what}, threads: {threads}"
                yield name, _streamseg(encoder, decoder, images, box, focus=focus)
        torch.set_num_threads(cores())
    if "vit_b" in names:
        yield "SAM ViT-B, SamPredictor", _predictor(images[:SLOW_FRAMES], box)
    if "sam2" in names:
        if importlib.util.find_spec("sam2") is None:
            print("sam2: left out, it is not installed")
            return
        for side in (1024, 512):
            yield f"sam2 hiera-tiny at {side}", _sam2(images[:SAM2_FRAMES], box, side, folder / f"jpeg-{side}")


def _streamseg(
    encoder: ImageEncoder, decoder: MaskDecoder, images: list[np.ndarray], box: Box, *, focus: bool
) -> dict[str, float]:
    """What embed and propagate do with a frame, the picture made of it and the mask made of the answer included."""
    seen = OneObject(encoder.info, (HEIGHT, WIDTH), box, focus=focus)
    encode_ms, decode_ms = [], []
    for image in images:
        started_s = time.perf_counter()
        features = seen.encode(encoder, image)
        encoded_s = time.perf_counter()
        seen.decode(decoder, features)
        encode_ms.append(1e3 * (encoded_s - started_s))
        decode_ms.append(1e3 * (time.perf_counter() - encoded_s))
    return {"encode": statistics.median(encode_ms), "decode": statistics.median(decode_ms)}


def _predictor(images: list[np.ndarray], box: Box) -> dict[str, float]:
    ensure_torchvision()
    from segment_anything import SamPredictor, sam_model_registry

    predictor = SamPredictor(sam_model_registry["vit_b"]().eval())

    def decode() -> None:
        predictor.predict(box=np.array(box), multimask_output=False)

    encode_ms = [_timed(lambda image=image: predictor.set_image(image)) for image in images]
    return {"encode": statistics.median(encode_ms), "decode": statistics.median(_timed(decode) for _ in range(5))}


def _sam2(images: list[np.ndarray], box: Box, side: int, folder: Path) -> dict[str, float]:
    ensure_torchvision()
    from sam2.build_sam import build_sam2_video_predictor

    folder.mkdir()
    for number, image in enumerate(images):
        cv2.imwrite(str(folder / f"{number:05d}.jpg"), image[..., ::-1])
    predictor = build_sam2_video_predictor(
        SAM2_CONFIG, device="cpu", hydra_overrides_extra=[f"++model.image_size={side}"]
    )
    with torch.inference_mode():
        state = predictor.init_state(str(folder))
        predictor.add_new_points_or_box(state, frame_idx=0, obj_id=1, box=np.array(box, np.float32))
        frames = predictor.propagate_in_video(state)
        next(frames)
        return {"all": statistics.median(_timed(lambda: next(frames)) for _ in range(len(images) - 1))}


def _all(times: dict[str, float]) -> float:
    return sum(times.values())


def _timed(work: Callable[[], object]) -> float:
    started_s = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - started_s)


def _images(clip: Path) -> Iterator[np.ndarray]:
    with av.open(str(clip)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--only", type=lambda text: text.split(","), default=["tiny", "vit_b", "sam2"])
    return parser.parse_args()


if __name__ == "__main__":
    main()
