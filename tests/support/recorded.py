"""A run with strange masks, recorded by the real nodes."""

from __future__ import annotations

from pathlib import Path

from support.strange_masks import IDS

from streamseg.cli.running.run_json import write_run_json
from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.runtime.inline import InlineRun
from streamseg.runtime.report import make_report


def record(folder: Path, source: Path, ids: tuple[int, ...] = IDS, **options: object) -> Path:
    """Run decode, strange masks and record in this process, and write ``run.json`` as the command does."""
    graph = config.parse(
        {
            "nodes": {
                "decode": {"options": {"source": str(source)}},
                "strange": {"use": "support.strange_masks:Strange", "options": {"ids": list(ids)}},
                "record": {"options": {"output": str(folder), **options}},
            },
            "links": ["decode -> strange -> record"],
        }
    )
    plan = Plan(graph)
    run = InlineRun(plan)
    run.run()
    write_run_json(folder, make_report(plan, run.stats, run.facts))
    return folder
