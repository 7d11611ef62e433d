"""``streamseg keys``: make and list the keys with which programs on other machines are let in."""

from __future__ import annotations

import argparse
from pathlib import Path

from streamseg.cli.output.text import say, table
from streamseg.cli.parser import Parser
from streamseg.errors import UsageError
from streamseg.publishing import keys

_DESCRIPTION = """Make and list CURVE keys. The machine that publishes needs its own secret file and the public files of
those who may listen; a listener needs its own secret file and the public file of the machine that publishes."""


def add_to(parser: Parser) -> None:
    """Add its arguments."""
    parser.description = _DESCRIPTION
    actions = parser.add_subparsers(metavar="new | show", dest="action", required=True)
    new = actions.add_parser("new", help="make a pair of keys", description="Make a pair of keys in two new files.")
    new.add_argument("name", metavar="NAME", help="what the files are called, say the name of the machine")
    new.set_defaults(run=_new)
    show = actions.add_parser("show", help="list public keys", description="List the public keys of a folder.")
    show.set_defaults(run=_show)
    for action in (new, show):
        action.add_argument("-o", "--output", metavar="DIR", help=f"the folder (default: {keys.default_folder()})")


def _folder(args: argparse.Namespace) -> Path:
    return Path(args.output).expanduser() if args.output else keys.default_folder()


def _new(args: argparse.Namespace) -> int:
    files = keys.make(args.name, _folder(args))
    print(files.public)
    print(files.secret)
    say(f"{files.public.name} may be given to anyone; {files.secret.name} stays here, readable by its owner only")
    return 0


def _show(args: argparse.Namespace) -> int:
    """Print names and public keys; whether a secret could be used is said, never the secret.

    Raises:
        UsageError: there is no key.
    """
    folder = _folder(args)
    files = sorted(folder.glob(f"*{keys.PUBLIC_SUFFIX}")) if folder.is_dir() else []
    if not files:
        raise UsageError(f"there are no keys in {folder}; make a pair with 'streamseg keys new NAME'")
    rows = [("NAME", "PUBLIC KEY", "SECRET")]
    rows += [(path.stem, keys.load_public(path).decode(), _secret_text(path)) for path in files]
    print(table(rows))
    return 0


def _secret_text(public: Path) -> str:
    path = public.with_suffix(keys.SECRET_SUFFIX)
    if not path.exists():
        return "not here"
    try:
        pair = keys.load_pair(path)
    except UsageError as error:
        return f"cannot be used: {error}"
    return "here" if pair.public == keys.load_public(public) else "of another pair"
