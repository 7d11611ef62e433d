"""``streamseg convert``: results in the format of another program, and back."""

from __future__ import annotations

import argparse
import re
import typing
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec

from streamseg.cli.output.text import say, shown, table
from streamseg.cli.parser import Parser, positive
from streamseg.errors import StreamsegError, UsageError
from streamseg.formats import format as formats
from streamseg.formats.convert import open_clip, write_clip
from streamseg.formats.format import Format
from streamseg.structs import bare, members, option_of

_DESCRIPTION = """Write the results of a run in the format of another program: --list says which there are. With --from,
read the files of another program instead, to write them in a third one's format, as prompts for a new run, or as
truth for 'streamseg eval'."""


def add_to(parser: Parser) -> None:
    """Add its arguments."""
    parser.description = _DESCRIPTION
    parser.add_argument("path", metavar="RUN", nargs="?", help="folder of a run; with --from, a file or folder")
    parser.add_argument("--to", metavar="FORMAT", help="the format to write")
    parser.add_argument("-o", "--output", metavar="DIR", help="folder for the files (default: RUN-FORMAT)")
    parser.add_argument("--from", dest="from_format", metavar="FORMAT", help="RUN is no run, but of this format")
    parser.add_argument("--list", action="store_true", help="list the formats, with what is in them and who reads them")
    parser.add_argument("--source", metavar="FILE", help="the video or folder of the pictures, if it was moved")
    parser.add_argument("--every", type=positive, default=1, metavar="N", help="only every N-th frame")
    parser.add_argument(
        "--renumber", action="store_true", help="give the objects the ids 1, 2, …; ids.json says which is which"
    )
    parser.add_argument("--size", type=_size, metavar="WxH", help="of the frames, where the files of --from do not say")
    parser.add_argument("--overwrite", action="store_true", help="write into a folder that has files in it")
    _add_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Convert; returns the exit code.

    Raises:
        StreamsegError: the run or the files cannot be read, or not be written in that format.
    """
    if args.list:
        print(_listed(), flush=True)
        return 0
    if args.path is None or args.to is None:
        raise UsageError("expected RUN --to FORMAT; 'streamseg convert --list' says which formats there are")
    path = Path(args.path)
    options = {name: value for name, value in vars(args).items() if name.startswith("format_") and value is not None}
    plain = {name.removeprefix("format_"): value for name, value in options.items()}
    formats.make(args.to, plain)
    folder = Path(args.output) if args.output else path.with_name(f"{path.resolve().stem}-{args.to}")
    clip = open_clip(path, args.from_format, source=args.source, size=args.size)
    notes = write_clip(clip, args.to, folder, plain, every=args.every, renumber=args.renumber, overwrite=args.overwrite)
    for note in notes:
        say(f"note: {note}")
    frames = -(-clip.length // args.every)
    say(f"{folder}: {frames} frames, {len(clip.objects)} objects as {args.to}")
    return 0


def _add_options(parser: Parser) -> None:
    """The options of all formats; which of them has one is looked at when it is chosen."""
    found: dict[str, Any] = {}
    owners: dict[str, list[str]] = defaultdict(list)
    for name in formats.entry_points():
        try:
            kind = formats.load(name)
        except StreamsegError:
            continue  # --list says what is wrong with it
        for field in msgspec.structs.fields(kind.Config):
            found.setdefault(field.name, field.type)
            owners[field.name].append(name)
    group = parser.add_argument_group("options of formats")
    for name, annotation in sorted(found.items()):
        option = option_of(annotation)
        words = f"{option.help if option else ''} ({', '.join(owners[name])})".strip()
        flag = "--" + name.replace("_", "-")
        if bare(annotation) is bool:
            group.add_argument(
                flag, dest=f"format_{name}", action=argparse.BooleanOptionalAction, default=None, help=words
            )
            continue
        values = [str(v) for each in members(annotation) for v in typing.get_args(bare(each))]
        metavar = "|".join(values) if values else (option and option.metavar) or name.upper()
        group.add_argument(flag, dest=f"format_{name}", metavar=metavar, help=words.replace("%", "%%"))


def _listed() -> str:
    rows = [("FORMAT", "WHAT", "HOLDS", "READ BY", "")]
    for name in formats.entry_points():
        try:
            kind = formats.load(name)
        except StreamsegError as error:
            rows.append((name, f"cannot be used: {shown(str(error))}", "", "", ""))
            continue
        summary = (kind.__doc__ or "").strip().partition("\n")[0]
        rows.append((name, summary, kind.holds, kind.read_by, _ways(kind)))
    return table(rows)


def _ways(kind: type[Format]) -> str:
    ways = [word for word, has in (("--to", formats.writes(kind)), ("--from", formats.reads(kind))) if has]
    return " ".join(ways)


def _size(text: str) -> tuple[int, int]:
    """``1280x720`` as (height, width)."""
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"expected a size such as 1280x720, got {text!r}")
    return int(found[2]), int(found[1])
