"""Does streamseg compute right on a GPU, and how fast? One script, at most eight minutes, JSON on standard output.

    python benchmarks/gpu.py > gpu.json                # what it does meanwhile is on standard error
    python benchmarks/gpu.py --device cpu --small      # its logic, on any machine, with a network of two narrow layers

For each model (random weights; the bundled one has its own): the ways to compute the encoder beside segment-anything's
own code in float32 without TF32: in float32, in bfloat16, with attention at once and with its bias folded in, compiled,
as a CUDA graph, in batches. Then what streamseg calls (`load_encoder`, `load_decoder`: arrays in, arrays out) beside
the same on the CPU, and frames/s of a run. ``ok`` says whether all that was computed is within its tolerance; what
failed or had no time left is named. When the time is over what is there is printed.

Nobody has run it on a GPU yet.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from streamseg.benchmarking import report
from streamseg.benchmarking.clip import make_clip
from streamseg.benchmarking.figures import figures, in_turns
from streamseg.benchmarking.halves import Model, OneObject
from streamseg.benchmarking.runs import Clip, measure_pipeline
from streamseg.errors import StreamsegError
from streamseg.sam.loading import load_decoder, load_encoder
from streamseg.sam.models import MODELS
from streamseg.sam.networks.architectures import ARCHITECTURES, Architecture
from streamseg.sam.networks.vit import ViTEncoder, attend_at_once, attend_folded

from segment_anything.build_sam import _build_sam  # isort: skip  (needs torchvision put right)
from segment_anything.modeling import ImageEncoderViT  # isort: skip

MOST_OFF = {"f32": 1e-4, "bf16": 3e-2}
"""Relative error in norm of the features, against float32."""
LEAST_IOU = {"f32": 0.995, "bf16": 0.95}
BATCHES = (4, 16)
# torch.compile of ViT-B takes a minute or two.
COMPILE_RESERVE_S = 150.0
SMALL_SIDE = 256
BOX = (200.0, 150.0, 700.0, 600.0)
SIZE = (720, 1280)

Compute = Callable[[torch.Tensor], torch.Tensor]


class Findings:
    """What is known so far; printed once, at the end or when the time is over."""

    def __init__(self, seconds: float) -> None:
        self._until_s = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._printed = False
        self.facts: dict[str, Any] = {"machine": report.machine(), "encoders": {}, "calls": {}, "left_out": {}}
        self._checks: dict[str, bool] = {}

    def left_s(self) -> float:
        return self._until_s - time.monotonic()

    def check(self, name: str, holds: bool) -> bool:
        self._checks[name] = holds
        return holds

    def try_to(self, name: str, work: Callable[[], None], *, needs_s: float = 5.0) -> None:
        """Do it if there is time; if it fails, the others go on."""
        if self.left_s() < needs_s:
            self.facts["left_out"][name] = "no time left"
            return
        print(f"{name} ({self.left_s():.0f} s left)", file=sys.stderr, flush=True)
        try:
            work()
        except (RuntimeError, StreamsegError, NotImplementedError, OSError) as error:
            self.facts["left_out"][name] = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:300]}"

    def tell(self, *, cut_off: bool) -> None:
        with self._lock:
            if self._printed:
                return
            self._printed = True
            wrong = sorted(name for name, holds in dict(self._checks).items() if not holds)
            facts = {"ok": bool(self._checks) and not wrong, "wrong": wrong, "cut_off": cut_off, **self.facts}
            print(json.dumps(facts), flush=True)


def main() -> None:
    args = _arguments()
    findings = Findings(args.seconds)
    timer = threading.Timer(args.seconds, _end, [findings])
    timer.daemon = True
    timer.start()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    findings.facts["device"] = _device(args.device)
    with tempfile.TemporaryDirectory() as folder:
        for name in ["small"] if args.small else args.models:
            findings.try_to(f"{name}: encoder", partial(_encoder, name, args, findings), needs_s=20)
        for name in ["small"] if args.small else ["tiny", *args.models]:
            findings.try_to(f"{name}: calls", partial(_calls, name, args, findings, Path(folder)), needs_s=20)
        findings.try_to("run", partial(_run, args, findings, Path(folder)), needs_s=30)
        # Last, since it cannot be interrupted.
        for name in ["small"] if args.small else args.models[:1]:
            reserve_s = 0.0 if args.small else COMPILE_RESERVE_S
            findings.try_to(f"{name}: compiled", partial(_compiled, name, args, findings), needs_s=reserve_s)
    timer.cancel()
    findings.tell(cut_off=False)


def _end(findings: Findings) -> None:
    findings.tell(cut_off=True)
    # Something computes, and would not stop for an exception.
    os._exit(0)


def _encoder(name: str, args: argparse.Namespace, findings: Findings) -> None:
    """Ways to compute a network beside segment-anything's own code: tensors in, tensors out."""
    network = _random(name).image_encoder.to(args.device)
    in_blocks = copy.deepcopy(network)
    ways: dict[str, tuple[str, Compute]] = {
        "stock, f32": ("f32", network),
        "at once, f32": ("f32", ViTEncoder(network, at_once=attend_at_once)),
        "folded, f32": ("f32", ViTEncoder(network, at_once=attend_folded)),
        "stock, bf16 autocast": ("bf16", _autocast(network, args.device)),
        "at once, bf16 autocast": ("bf16", _autocast(ViTEncoder(network, at_once=attend_at_once), args.device)),
        "at once, bf16 blocks": ("bf16", ViTEncoder(in_blocks, torch.bfloat16, attend_at_once)),
        "folded, bf16 blocks": ("bf16", ViTEncoder(in_blocks, torch.bfloat16, attend_folded)),
    }
    if args.device.startswith("cuda"):
        graph = partial(_as_graph, ViTEncoder(in_blocks, torch.bfloat16, attend_at_once))
        ways["at once, bf16 blocks, CUDA graph"] = ("bf16", _on_first_call(graph))
    _beside_stock(name, ways, args, findings)
    best = ViTEncoder(in_blocks, torch.bfloat16, attend_at_once)
    for batch in [2] if args.small else BATCHES:
        findings.try_to(f"{name}: batch {batch}", partial(_batch, name, best, batch, args, findings), needs_s=15)


def _beside_stock(
    name: str,
    ways: dict[str, tuple[str, Compute]],
    args: argparse.Namespace,
    findings: Findings,
) -> None:
    pixels = _pixels(1, args)
    right: dict[str, Callable[[], object]] = {}
    true: torch.Tensor | None = None
    for way, (precision, compute) in ways.items():

        def once(way: str = way, precision: str = precision, compute: Any = compute) -> None:
            nonlocal true
            _reset_memory(args.device)
            found = _computed(compute, pixels, args.device)
            true = found.double() if true is None else true
            off = float((found.double() - true).norm() / true.norm())
            findings.check(f"{name}: {way}", off <= MOST_OFF[precision])
            facts = findings.facts["encoders"].setdefault(name, {})
            facts[way] = {"off": off, "peak_mib": _peak_mib(args.device)}
            right[way] = lambda: _computed(compute, pixels, args.device)

        findings.try_to(f"{name}: {way}", once)
    measured = in_turns(right, rounds=args.rounds, calls=args.calls, warm_up=1)
    for figure in figures(measured, "ms"):
        findings.facts["encoders"][name][figure.name]["time"] = msgspec.to_builtins(figure)


def _batch(name: str, compute: Compute, batch: int, args: argparse.Namespace, findings: Findings) -> None:
    pixels = _pixels(batch, args)
    work = {f"at once, bf16 blocks, batch {batch}": lambda: _computed(compute, pixels, args.device)}
    (figure,) = figures(in_turns(work, rounds=args.rounds, calls=args.calls, warm_up=1), "ms")
    findings.facts["encoders"][name][figure.name] = {
        "time": msgspec.to_builtins(figure),
        "pictures_per_s": round(1e3 * batch / figure.median, 2),
        "peak_mib": _peak_mib(args.device),
    }


def _compiled(name: str, args: argparse.Namespace, findings: Findings) -> None:
    """torch.compile with static shapes; on CUDA with CUDA graphs ("reduce-overhead")."""
    network = _random(name).image_encoder.to(args.device)
    way = ViTEncoder(copy.deepcopy(network), torch.bfloat16, attend_at_once)
    on_cuda = args.device.startswith("cuda")
    # Without a compiler for the CPU: it is the way through torch that is tested there.
    compiled = (
        torch.compile(way, dynamic=False, mode="reduce-overhead")
        if on_cuda
        else torch.compile(way, dynamic=False, backend="aot_eager")
    )
    started_s = time.perf_counter()
    ways = {"stock, f32": ("f32", network), "at once, bf16 blocks": ("bf16", way), "compiled": ("bf16", compiled)}
    _beside_stock(f"{name}, compiled", ways, args, findings)
    findings.facts["encoders"][f"{name}, compiled"]["seconds_with_compiling"] = time.perf_counter() - started_s


def _calls(name: str, args: argparse.Namespace, findings: Findings, folder: Path) -> None:
    """What streamseg calls, copies to and from the device and resizing included, beside the same on the CPU."""
    checkpoint = None
    if name != "tiny":
        checkpoint = folder / f"{name}.pth"
        torch.save(_random(name).state_dict(), checkpoint)
    rng = np.random.default_rng(3)
    coarse = torch.from_numpy(rng.integers(0, 256, (1, 3, 18, 32)).astype(np.float32))
    frame = torch.nn.functional.interpolate(coarse, SIZE, mode="bicubic").clamp(0, 255)[0]
    image = frame.permute(1, 2, 0).to(torch.uint8).numpy()
    load = partial(load_encoder, name, checkpoint=checkpoint, engine="torch")
    # The CPU computes ViT-H in half a minute; where it is to be compared with, its decoder's answers are, too.
    host, host_decoder = load(device="cpu"), load_decoder(name, checkpoint=checkpoint, device="cpu", engine="torch")
    seen = OneObject(host.info, SIZE, BOX, focus=False)
    true = seen.encode(host, image)
    true_mask = seen.decode(host_decoder, true) > 0
    decoder = load_decoder(name, checkpoint=checkpoint, device=args.device, engine="torch")
    facts = findings.facts["calls"][name] = {}
    ways: dict[str, Callable[[], object]] = {}
    for precision in ("f32", "bf16"):
        if name == "tiny" and precision == "bf16" and args.device == "cpu":
            continue
        encoder = load(device=args.device, precision=precision)
        found = seen.encode(encoder, image)
        off = float(np.linalg.norm(found - true) / np.linalg.norm(true))
        mask = seen.decode(decoder, found) > 0
        iou = float((mask & true_mask).sum() / max(1, (mask | true_mask).sum()))
        facts[precision] = {"off": off, "iou": iou, "mask_share": float(true_mask.mean())}
        findings.check(f"{name}: encoder, {precision}", off <= MOST_OFF[precision])
        findings.check(f"{name}: mask, {precision}", iou >= LEAST_IOU[precision])
        ways[f"encode, {precision}"] = partial(seen.encode, encoder, image)
    ways["decode"] = partial(seen.decode, decoder, true)
    measured = in_turns(ways, rounds=args.rounds, calls=args.calls, warm_up=2)
    facts["times"] = [
        msgspec.to_builtins(figure) for way, rounds in measured.items() for figure in figures({way: rounds}, "ms")
    ]


def _run(args: argparse.Namespace, findings: Findings, folder: Path) -> None:
    """Frames/s of following one object with the bundled model."""
    frames = 8 if args.small else 150
    path = folder / "clip.mp4"
    width, height = (320, 192) if args.small else (1280, 720)
    clip = Clip(path, make_clip(path, width, height, frames), frames, folder)
    model = Model(device=args.device, engines=["torch"])
    measured = measure_pipeline(model, clip, rounds=1 if args.small else 2, warm_up=frames // 4)
    findings.facts["run"] = msgspec.to_builtins(measured)


def _random(name: str) -> Any:
    """A SAM with random weights, the same at every call, with biases of relative positions that matter."""
    if name == "small" and name not in MODELS:
        sides = dict.fromkeys(("whole_size", "focus_size", "least_focus_size"), SMALL_SIDE)
        MODELS["small"] = dataclasses.replace(MODELS["vit_b"], name="small", **sides)
        ARCHITECTURES["small"] = Architecture(_small)
    torch.manual_seed(7)
    sam = ARCHITECTURES[name].build().eval().requires_grad_(False)
    for key, parameter in sam.named_parameters():
        if "rel_pos" in key or "pos_embed" in key:
            parameter.add_(0.05 * torch.randn_like(parameter))
    return sam


def _small() -> Any:
    """Two narrow layers, one of them with windows, for pictures of 256 pixels."""
    sam = _build_sam(32, 2, 2, [])
    sam.image_encoder = ImageEncoderViT(
        img_size=SMALL_SIDE,
        embed_dim=32,
        depth=2,
        num_heads=2,
        use_rel_pos=True,
        window_size=14,
        global_attn_indexes=(1,),
    )
    return sam


def _pixels(count: int, args: argparse.Namespace) -> torch.Tensor:
    side = SMALL_SIDE if args.small else 1024
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(5)).to(args.device)


def _autocast(network: Any, device: str) -> Compute:
    def compute(pixels: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device.partition(":")[0], dtype=torch.bfloat16):
            found: torch.Tensor = network(pixels)
            return found

    return compute


def _on_first_call(make: Callable[[torch.Tensor], Compute]) -> Any:
    made: list[Compute] = []

    def compute(pixels: torch.Tensor) -> torch.Tensor:
        if not made:
            made.append(make(pixels))
        return made[0](pixels)

    return compute


def _as_graph(network: Any, pixels: torch.Tensor) -> Compute:
    """The network recorded as a CUDA graph for pictures like these."""
    given = pixels.clone()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            network(given)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = network(given)

    def compute(pixels: torch.Tensor) -> torch.Tensor:
        given.copy_(pixels)
        graph.replay()
        return found

    return compute


@torch.inference_mode()
def _computed(compute: Compute, pixels: torch.Tensor, device: str) -> torch.Tensor:
    """What comes out, once the device is done."""
    found = compute(pixels).clone()
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return found


def _device(device: str) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": device, "torch": torch.__version__}
    if device.startswith("cuda"):
        found = torch.cuda.get_device_properties(device)
        facts |= {"gpu": found.name, "memory_gib": round(found.total_memory / 2**30, 1), "cuda": torch.version.cuda}
    return facts


def _reset_memory(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)


def _peak_mib(device: str) -> float | None:
    return round(torch.cuda.max_memory_allocated(device) / 2**20, 1) if device.startswith("cuda") else None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0", help="cuda:N, or cpu with --small")
    parser.add_argument("--models", nargs="+", default=["vit_b", "vit_h"], choices=["vit_b", "vit_l", "vit_h"])
    parser.add_argument("--small", action="store_true", help="a network of two narrow layers instead")
    parser.add_argument("--seconds", type=float, default=460.0, help="after which what is there is printed")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=10)
    return parser.parse_args()


if __name__ == "__main__":
    main()
