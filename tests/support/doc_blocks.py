"""The code on pages of documentation, block by block, as a reader would copy it.

A block is run unless the line above it says why it cannot be here:

    <!-- not run here: a camera is needed -->

What is marked like that is still looked at: its commands have to be ones that streamseg understands.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_MARK = re.compile(r"^<!-- not run here: (.+) -->$")
_FENCE = re.compile(r"^```(\w*)$")
PROGRAMS = ("streamseg", "pip", "make", "python", "sudo", "cmake", "npm", "node", "mkdir", "scp")
"""What commands begin with."""


class Block(NamedTuple):
    """A piece of code."""

    line: int
    """Where it begins on its page, from 1."""
    kind: str
    """The word of its fence; ``shell`` for commands, ``text`` for what is none."""
    text: str
    not_run: str
    """Why it is not run; empty if it is."""

    def commands(self) -> Iterator[list[str]]:
        """The words of each command: comments left out, ``&&`` taken for a new one."""
        for line in self.text.splitlines():
            words = shlex.split(line, comments=True)
            while words:
                end = words.index("&&") if "&&" in words else len(words)
                yield words[:end]
                words = words[end + 1 :]

    @property
    def file_name(self) -> str | None:
        """What it says in its first line that it is called."""
        found = re.match(r"# ([\w-]+\.\w+)\n", self.text)
        return found[1] if found else None


def program_of(words: list[str]) -> str:
    """The program of a command, without what is set before it."""
    return next((word for word in words if "=" not in word), "")


def blocks(page: Path) -> list[Block]:
    """All of a page, in their order."""
    lines = page.read_text(encoding="utf-8").splitlines()
    found, number, mark = [], 0, ""
    while number < len(lines):
        line, begin = lines[number], number
        if marked := _MARK.match(line):
            mark = marked[1]
        elif fence := _FENCE.match(line):
            number = lines.index("```", begin + 1)
            found.append(Block(begin + 2, fence[1] or "text", "\n".join(lines[begin + 1 : number]) + "\n", mark))
            mark = ""
        elif line.startswith("    ") and (begin == 0 or not lines[begin - 1].strip()):
            while number < len(lines) and (lines[number].startswith("    ") or not lines[number].strip()):
                number += 1
            text = "\n".join(each[4:] for each in lines[begin:number]).strip("\n") + "\n"
            found.append(Block(begin + 1, _kind(text), text, mark))
            mark = ""
            continue
        elif line.strip():
            mark = ""
        number += 1
    return found


def _kind(text: str) -> str:
    """Whether an indented block is commands: each of its lines begins with a program."""
    first = text.split(maxsplit=1)[0] if text.strip() else ""
    if "=" in first:
        first = text.split(maxsplit=2)[1]
    return "shell" if first in PROGRAMS else "text"
