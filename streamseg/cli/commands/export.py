"""``streamseg export``: a model as files for other programs."""

from __future__ import annotations

import argparse
from pathlib import Path

from streamseg import extras
from streamseg.cli.output.text import say, size_text
from streamseg.cli.parser import Parser
from streamseg.errors import ModelError
from streamseg.sam import checkpoints
from streamseg.sam.models import ModelInfo, find

_DESCRIPTION = """Write a model as ONNX files: an encoder (picture to features), a decoder (features, points, box and
mask input to masks), and a JSON file with their inputs and outputs. This needs the package onnx, which
pip install 'streamseg[export]' brings."""


def add_to(parser: Parser) -> None:
    """Add its arguments."""
    parser.description = _DESCRIPTION
    parser.add_argument("model", metavar="MODEL", help="of SAM's own architecture: tiny, vit_b, vit_l, vit_h, vit_t")
    parser.add_argument("--onnx", action="store_true", required=True, help="the format; there is no other yet")
    parser.add_argument("-o", "--output", metavar="DIR", help="folder for the files (default: out/MODEL-onnx)")
    parser.add_argument("--checkpoint", metavar="FILE", help="the model's weights, if not the original ones")
    parser.add_argument("--no-check", action="store_true", help="do not compare the files with torch afterwards")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Export; returns the exit code.

    Raises:
        StreamsegError: the model is of another architecture, the weights cannot be had, onnx is missing, or the files
            cannot be written or are off torch.
    """
    info = find(args.model)
    extras.check_torch("'streamseg export'")
    if info.encoder != ModelInfo.encoder or info.decoder != ModelInfo.decoder:
        raise ModelError(f"expected a model of SAM's own architecture, such as tiny, got {info.name!r}")
    # Only now: torch takes seconds to import.
    from streamseg.sam.exporting import import_onnx
    from streamseg.sam.onnx_files import export, largest_difference

    import_onnx()
    checkpoint = checkpoints.locate(info, Path(args.checkpoint) if args.checkpoint else None)
    folder = Path(args.output) if args.output else Path("out") / f"{info.name}-onnx"
    for path in export(info, checkpoint, folder):
        say(f"{path}  {size_text(path.stat().st_size)}")
    if not args.no_check:
        say(f"at most {largest_difference(info, checkpoint, folder):.1e} off torch")
    return 0
