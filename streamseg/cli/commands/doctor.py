"""``streamseg doctor``: what this machine can do, what is missing, and how to get it."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import NamedTuple

from streamseg import __version__, extras
from streamseg.cli.commands.models import whereabouts
from streamseg.cli.output.text import size_text, table
from streamseg.cli.parser import Parser
from streamseg.errors import ModelError, StreamsegError
from streamseg.graph import registry
from streamseg.graph.plan import cores
from streamseg.ros2.opening import has_rclpy
from streamseg.sam import engines
from streamseg.sam.checkpoints import cache_dir, is_here
from streamseg.sam.engines import packaged_graphs
from streamseg.sam.models import MODELS, find
from streamseg.transport.sockets import make_run_dir

_PACKAGES = (
    "av",
    "msgspec",
    "numpy",
    "onnxruntime",
    "opencv-python-headless",
    "pillow",
    "platformdirs",
    "pyyaml",
    "pyzmq",
    "safetensors",
)


class Finding(NamedTuple):
    """One line of the report."""

    topic: str
    text: str
    ok: bool = True
    """False if streamseg cannot work like this."""


def add_to(parser: Parser) -> None:
    """Add its arguments."""
    parser.description = f"{__doc__} Exit code 1 if something is missing that every run needs."
    parser.add_argument("--json", action="store_true", help="print the findings as one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print what is there and what is not; 1 if something is missing that every run needs."""
    findings = list(_findings())
    missing = [f.topic for f in findings if not f.ok]
    if args.json:
        facts = {"version": __version__, "ok": not missing, "findings": [f._asdict() for f in findings]}
        print(json.dumps(facts))
    else:
        print(table([("ok" if f.ok else "MISSING", f.topic, f.text) for f in findings]))
        print(f"\nmissing: {', '.join(missing)}" if missing else "\neverything that is needed is here")
    return 1 if missing else 0


def _findings() -> Iterator[Finding]:
    yield Finding("python", f"{platform.python_version()} ({sys.executable})")
    yield Finding("system", platform.platform())
    yield from _packages()
    yield Finding("cores", f"{cores()} of {os.cpu_count()} may be used")
    yield Finding("memory", _memory())
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        _engines,
        _torch,
        _video,
        _extras,
        _nodes,
        _models,
        _folders,
    )
    for check in checks:
        topic = check.__name__.removeprefix("_")
        try:
            yield from check()
        except (ImportError, OSError, RuntimeError, StreamsegError) as error:
            yield Finding(topic, f"{type(error).__name__}: {error}; reinstall streamseg", ok=False)


def _packages() -> Iterator[Finding]:
    for package in _PACKAGES:
        found = _version(package)
        text = f"{package} is not installed: pip install {package}" if found is None else f"{package} {found}"
        yield Finding("package", text, ok=found is not None)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _memory() -> str:
    try:
        return size_text(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return "unknown"


def _torch() -> Iterator[Finding]:
    missing = extras.missing_for_torch()
    for package in extras.TORCH.values():
        if package not in missing:
            yield Finding("package", f"{package} {_version(package)}")
    yield Finding("device", "cpu")
    if missing:
        yield Finding(
            "torch",
            f"not here ({', '.join(missing)}): SAM's own ViT checkpoints (vit_b, vit_l, vit_h), other such models, "
            f"GPUs, 'train' and 'export' need it; install it: {extras.TORCH_COMMAND}",
        )
        return
    import torch

    for number in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(number)
        yield Finding("device", f"cuda:{number} {properties.name}, {size_text(properties.total_memory)}")
    if torch.backends.mps.is_available():
        yield Finding("device", "mps")
    if not torch.cuda.is_available() and torch.version.cuda is None and torch.version.hip is None:
        yield Finding("device", "no GPU: this torch is built for the CPU; a GPU needs another build (pytorch.org)")

    from streamseg.sam.networks.torchvision_ops import ensure_torchvision

    patched = ensure_torchvision()
    yield Finding("torchvision", "its compiled operators do not load; ours stand in" if patched else "healthy")


def _engines() -> Iterator[Finding]:
    import onnxruntime

    light = engines.quickest()
    able = packaged_graphs.names()
    said = f"onnxruntime {onnxruntime.__version__}"
    if light == "openvino":
        from streamseg.sam.engines import openvino_engine

        said = f"openvino {openvino_engine.version()} in {openvino_engine.precision()}"
    rest = "all else needs torch" if extras.missing_for_torch() else "torch: all else"
    yield Finding("engine", f"{said}: {', '.join(able)} on the CPU; {rest}")
    if light != "openvino" and engines.has_bfloat16():
        yield Finding(
            "engine", f"this processor has bfloat16, so openvino takes half the time: {extras.command('openvino')}"
        )


def _video() -> Iterator[Finding]:
    import av

    has_x264 = "libx264" in av.codecs_available
    text = "H.264 through libx264" if has_x264 else "no libx264, another encoder is used; 'pip install av' has it"
    yield Finding("overlay", text)


def _extras() -> Iterator[Finding]:
    for extra, modules in extras.EXTRAS.items():
        missing = [module for module in modules if importlib.util.find_spec(module) is None]
        text = f"not here ({', '.join(missing)}): {extras.command(extra)}" if missing else "here"
        yield Finding("extra", f"{extra}: {text}")
    here = "a ROS environment is sourced, it is used" if has_rclpy() else "no ROS environment is sourced; over DDS then"
    yield Finding("ros 2", here)


def _nodes() -> Iterator[Finding]:
    for name in sorted(registry.entry_points()):
        try:
            registry.load(name)
            yield Finding("node", name)
        except StreamsegError as error:
            yield Finding("node", str(error), ok=False)


def _models() -> Iterator[Finding]:
    for name in MODELS:
        try:
            info = find(name)
        except ModelError as error:
            yield Finding("model", str(error), ok=False)
            continue
        yield Finding("model", f"{name}: {whereabouts(info)}", ok=is_here(info) or not info.bundled)


def _folders() -> Iterator[Finding]:
    cache = cache_dir()
    nearest_there = next(folder for folder in (cache, *cache.parents) if folder.exists())
    writable = os.access(nearest_there, os.W_OK)
    hint = "" if writable else " is not writable: set STREAMSEG_CACHE to a folder that is"
    yield Finding("cache", f"{cache}{hint}", ok=True)
    run_dir, owner_fd = make_run_dir()
    shutil.rmtree(run_dir)
    os.close(owner_fd)
    yield Finding("sockets", f"in {run_dir.parent}")
