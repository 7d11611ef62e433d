"""``streamseg models``: which models there are, where they come from, which are here, and how the others are had."""

from __future__ import annotations

import argparse
import json
from typing import Any

from streamseg.cli.output.text import say, size_text, table
from streamseg.cli.parser import Parser
from streamseg.errors import ModelError
from streamseg.sam.checkpoints import cache_dir, expected_path, is_here, locate
from streamseg.sam.models import MODELS, ModelInfo, brought_by, find

_DESCRIPTION = """The models there are, those of other packages too (entry points 'streamseg.models'), and whether they
can be used here. With MODEL all that is known of one."""


def add_to(parser: Parser) -> None:
    """Add its arguments."""
    parser.description = _DESCRIPTION
    parser.add_argument("model", metavar="MODEL", nargs="?", help="only this one, with all that is known of it")
    parser.add_argument("--get", metavar="MODEL", help="download its checkpoint now, once, and verify its SHA-256")
    parser.add_argument("--json", action="store_true", help="print all facts as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the models, or get one.

    Raises:
        ModelError: there is no such model.
        CheckpointError: it cannot be had.
    """
    if args.get is not None:
        say(f"{args.get}: {locate(find(args.get), download=True)}")
        return 0
    if args.model is not None:
        found = _facts(find(args.model))
        print(json.dumps(found) if args.json else table([(f"{key}:", str(value)) for key, value in found.items()]))
        return 0
    known, broken = _all()
    if args.json:
        print(json.dumps({"models": [_facts(info) for info in known], "broken": broken}))
        return 0
    rows = [("MODEL", "SIZE", "HERE", "FROM", "WHAT IT IS")]
    for info in known:
        here = "bundled" if info.bundled and is_here(info) else "yes" if is_here(info) else "no"
        size = size_text(info.size_bytes) if info.size_bytes else "?"
        rows.append((info.name, size, here, brought_by(info.name) or "?", info.description))
    print(table(rows))
    print(f"\nCheckpoints are kept under {cache_dir()}, and may be put there by hand. Of those that are not ready:")
    print(table([(f"  {info.name}:", whereabouts(info)) for info in known if info.missing or not is_here(info)]))
    for said in broken:
        print(f"\n{said}")
    return 0


def whereabouts(info: ModelInfo) -> str:
    """Whether a model can be used here, and what to do if not."""
    package = f"needs {info.needs}: {info.install}; " if info.missing else ""
    if is_here(info):
        return f"{package}here"
    if info.bundled:
        return f"{package}its weights are missing: reinstall {brought_by(info.name)}"
    if not info.file_name:
        return f"{package}give a checkpoint of your own (--checkpoint FILE)"
    if info.url is None:
        return f"{package}not here; put it by hand: {expected_path(info)}"
    how = f"got by 'streamseg models --get {info.name}'" if info.on_request else "downloaded at its first use"
    return f"{package}not here; {how}, or put by hand: {info.url} -> {info.file_name}"


def _all() -> tuple[list[ModelInfo], list[str]]:
    """Those that can be described, and what is wrong with the others."""
    known, broken = [], []
    for name in MODELS:
        try:
            known.append(find(name))
        except ModelError as error:
            broken.append(str(error))
    # Those that are here first.
    return sorted(known, key=lambda info: not is_here(info)), broken


def _facts(info: ModelInfo) -> dict[str, Any]:
    return {
        "model": info.name,
        "description": info.description,
        "package": brought_by(info.name),
        "needs": info.needs,
        "installed": not info.missing,
        "install": info.install or None,
        "checkpoint": str(expected_path(info)) if info.file_name else None,
        "here": is_here(info),
        "url": info.url,
        "size_bytes": info.size_bytes,
        "sha256": info.sha256,
        "whole_size": info.whole_size,
        "features": [info.width, info.whole_size // info.stride, info.whole_size // info.stride],
        "encoder": info.encoder,
        "decoder": info.decoder,
    }
