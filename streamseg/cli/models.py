"""``streamseg models``: which models are here, which can be had, and how large they are."""

from __future__ import annotations

import argparse

from streamseg.cli.parser import Parser
from streamseg.cli.text import size_text, table
from streamseg.sam.checkpoints import cache_dir, expected_path, is_here
from streamseg.sam.models import MODELS


def add_to(parser: Parser) -> None:
    """Add its arguments."""
    parser.description = __doc__
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the models."""
    rows = [("MODEL", "SIZE", "HERE", "WHAT IT IS")]
    for info in MODELS.values():
        here = "bundled" if info.bundled and is_here(info) else "yes" if is_here(info) else "no"
        rows.append((info.name, size_text(info.size_bytes) if info.size_bytes else "?", here, info.description))
    print(table(rows))
    print(f"\nA model that is not here is downloaded at its first use, or put there by hand (under {cache_dir()}):")
    for info in MODELS.values():
        if info.url is not None and not is_here(info):
            print(f"  {info.url} -> {expected_path(info).name}")
    return 0
