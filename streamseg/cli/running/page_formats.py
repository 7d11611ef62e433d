"""What the page writes of a file when somebody exports, besides the results: ``run.json``, and other formats."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from streamseg.cli.output.text import say
from streamseg.cli.running import other_formats
from streamseg.cli.running.run_json import write_run_json
from streamseg.errors import StreamsegError
from streamseg.formats import format as formats
from streamseg.graph.plan import Plan
from streamseg.runtime.report import make_report


class PageFormats:
    """The formats that can be chosen on the page.

    Args:
        plan: of the graph whose work the page does.
        sources: names of the nodes that read the files.
        always: formats that every export is also written in.
    """

    def __init__(self, plan: Plan, sources: Collection[str], always: Sequence[str] = ()) -> None:
        self._plan = plan
        self._sources = sources
        self._always = always
        self.formats: Mapping[str, str] = _offered()
        """Name -> what it holds."""

    def write(self, stream: str, folder: Path, facts: Mapping[str, dict[str, Any]], also: str) -> list[str]:
        """Write ``run.json`` and the formats beside the results of a stream; a line for each, or for what failed."""
        frames = facts["record"]["frames"][stream]
        report = msgspec.structs.replace(make_report(self._plan, {}, facts), frames_in=frames, frames_out=frames)
        for other in set(self._sources) - {stream}:
            report.graph["nodes"].pop(other, None)
        write_run_json(folder, report)
        lines, troubles = other_formats.write(folder, list(dict.fromkeys([*self._always, *([also] if also else [])])))
        for line in troubles:
            say(line)
        return [*lines, *troubles]


def _offered() -> dict[str, str]:
    """Those that can be written; one that cannot be imported is no reason to have no page."""
    found = {}
    for name in formats.entry_points():
        try:
            kind = formats.load(name)
        except StreamsegError as error:
            say(f"warning: {error}")
            continue
        if formats.writes(kind):
            found[name] = kind.holds
    return found
