"""Writes streamseg/runtime/library/keywords.py: the keywords of `segment_video` and `Tracker`, from the nodes' options.

    make keywords

A test says when that is due.
"""

from __future__ import annotations

import json
import sys
import textwrap
import typing
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from streamseg.graph.options import OF_A_LOOP, NamedOption, frame_by_frame_options, named_options
from streamseg.structs import bare, members

HOME = Path(__file__).parent.parent / "streamseg" / "runtime" / "library" / "keywords.py"

HEAD = '''"""The keywords of `streamseg.segment_video` and `streamseg.Tracker` that are options of nodes.

``make keywords`` writes this file.
"""

from __future__ import annotations

import os
from typing import Literal, TypedDict


class TrackerKeywords(TypedDict, total=False):
    """Options of the nodes, as their flags of ``streamseg run`` are called. None leaves the choice to the node."""
'''

REST = '''

class Keywords(TrackerKeywords, total=False):
    """With those that a whole graph has besides."""
'''


def source_of(options: Mapping[str, NamedOption], of_tracker: Collection[str]) -> str:
    """The text of the module.

    Args:
        options: all of them.
        of_tracker: names of those that a tracker has.
    """
    fields = {name: f"\n    {name}: {_type(option)}\n{_text(option)}" for name, option in options.items()}
    first = "".join(text for name, text in fields.items() if name in of_tracker)
    return HEAD + first + REST + "".join(text for name, text in fields.items() if name not in of_tracker)


def _type(option: NamedOption) -> str:
    parts = [_name(bare(each)) for each in members(option.type) if each is not type(None)]
    if "str" in parts and option.about.metavar in ("FILE", "DIR", "PATH"):
        parts.append("os.PathLike[str]")
    return " | ".join([*parts, "None"])


def _name(kind: Any) -> str:
    if typing.get_origin(kind) is typing.Literal:
        return f"Literal[{', '.join(json.dumps(value) for value in typing.get_args(kind))}]"
    if typing.get_origin(kind) is not None:
        return f"{typing.get_origin(kind).__name__}[{', '.join(map(_name, typing.get_args(kind)))}]"
    return str(kind.__name__)


def _text(option: NamedOption) -> str:
    words = f"{option.help}{' (default: True)' if option.default is True else ''}"
    return textwrap.indent("\n".join(textwrap.wrap(f'"""{words}"""', 115)), "    ") + "\n"


if __name__ == "__main__":
    HOME.write_text(source_of(named_options(OF_A_LOOP), frame_by_frame_options()))
    sys.stdout.write(f"{HOME}\n")
