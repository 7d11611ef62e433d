"""``--resume``: going on with a run that was killed, stopped or ran out of disk, from its last commit."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from streamseg import commits
from streamseg.cli.output.text import redacted
from streamseg.errors import UsageError
from streamseg.graph import config
from streamseg.graph.config import Graph
from streamseg.graph.plan import Plan
from streamseg.jobs import Job
from streamseg.redaction import HIDDEN
from streamseg.regular_files import read_regular
from streamseg.result_files import RUN, is_finished
from streamseg.runtime.supervision import recovery

_NOT_THE_JOB = ("output", "overwrite", "also")
"""Options that say where results go, and what else is made of them, not what they are: a folder may have been moved."""
_LONGEST_VALUE = 80
_LARGEST_REPORT_BYTES = 64 << 20


def begin(plan: Plan, *, resume: bool) -> Job | None:
    """The job that a run of this plan is a part of; None if it cannot be gone on with.

    Args:
        resume: whether to go on with what earlier runs have left. If they have left nothing, it is begun.

    Raises:
        UsageError: what was left is of another job, or a graph like this cannot be gone on with.
    """
    if not recovery.can_resume(plan):
        if resume:
            raise UsageError(
                "this graph cannot be resumed: that takes a record node, and nodes that are marked as resumable"
            )
        return Job(facts={}) if recovery.can_replace(plan) else None
    job = Job(facts=_facts(plan), commit_s=plan.graph.recovery.commit_s)
    left = recovery.left(plan) if resume else {}
    for name, each in left.items():
        change = _first_difference(_essence(each.facts), _essence(job.facts))
        if change is not None:
            raise _of_another_job(name, change)
        # What is compared by the nodes later has to be the same to the letter.
        job = msgspec.structs.replace(job, facts=each.facts)
    return recovery.go_on(plan, job) if left else job


def graph_in(folder: Path) -> Graph:
    """The graph that has recorded into a folder, with its results still going there.

    Raises:
        UsageError: there is no unfinished run in it, or its source had a password, which is not kept.
    """
    # In a folder of several streams there is one for each, and in each of these there may be segments.
    logs = [
        path.parent
        for depth in ("", "*/", "*/*/")
        for path in sorted(folder.glob(depth + commits.NAME))
        if not any(each.is_symlink() for each in (path.parent, path.parent.parent) if folder in each.parents)
    ]
    found = next((each for each in map(commits.read, logs) if each is not None), None)
    if found is None:
        raise UsageError(
            f"expected the folder of a run that was interrupted, but {folder} has no {commits.NAME}; "
            f"say what to run: streamseg run SOURCE … -o {folder} --resume"
        )
    plain = found.began.facts.get("graph")
    if not isinstance(plain, dict):
        raise UsageError(
            f"expected {commits.NAME} in {folder} to name the graph of a run; start again with --overwrite"
        )
    if re.search(r"://\S*" + re.escape(HIDDEN), json.dumps(plain)):
        raise UsageError(
            f"the source of the run in {folder} has a password, which is not kept; "
            f"give the source again: streamseg run SOURCE … -o {folder} --resume"
        )
    recorders = [node["options"] for node in plain["nodes"].values() if "output" in node["options"]]
    if len(recorders) == 1:
        recorders[0]["output"] = str(folder)  # it may have been moved
    elif not any(os.path.realpath(options["output"]) == os.path.realpath(folder) for options in recorders):
        named = ", ".join(options["output"] for options in recorders)
        raise UsageError(
            f"the run in {folder} recorded into several folders ({named}), of which it is none now; "
            f"give the graph again: streamseg run GRAPH --resume"
        )
    return config.parse(plain)


def finished(plan: Plan, folders: Mapping[str, Path]) -> bool:
    """Whether the runs in all of these folders have come to their end.

    Raises:
        UsageError: they have, but are of another job.
    """
    if not folders or not all(is_finished(_report_in(folder)) for folder in folders.values()):
        return False
    asked = _asked({"graph": redacted(config.to_plain(plan.graph))})
    for name, each in recovery.left(plan).items():
        change = _first_difference(_asked(each.facts), asked)
        if change is not None:
            raise _of_another_job(name, change)
    return True


def _asked(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a job was asked for. What it depends on besides, such as the size of a file, may have changed since."""
    plain = msgspec.json.decode(msgspec.json.encode(facts["graph"]))
    return _essence({"graph": plain, "depends_on": {}, "versions": {}})


def _report_in(folder: Path) -> object:
    try:
        return json.loads(read_regular(folder / RUN, _LARGEST_REPORT_BYTES))
    except (OSError, ValueError, RecursionError):
        return None


def _of_another_job(name: str, change: str) -> UsageError:
    return UsageError(
        f"the results at {name!r} were made by another job, so it cannot be gone on with: {change}; "
        f"undo the change, or start again with --overwrite"
    )


def _facts(plan: Plan) -> dict[str, Any]:
    facts = {
        "graph": config.to_plain(plan.graph),
        "depends_on": recovery.depends_on(plan),
        "versions": {name: metadata.version(name) for name in ("streamseg", "av")},
    }
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(redacted(facts)))
    return plain


def _essence(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What of the facts has to be the same."""
    graph = facts["graph"]
    nodes = {
        name: {
            "use": node["use"],
            "options": {key: value for key, value in node["options"].items() if key not in _NOT_THE_JOB},
            "depends on": facts["depends_on"].get(name),
            **_pictures(graph, node),
        }
        for name, node in graph["nodes"].items()
    }
    links = {"links": graph["links"], "feedback": graph["feedback"]}
    return {"nodes": nodes, **links, "versions": facts["versions"]}


def _pictures(graph: Mapping[str, Any], node: Mapping[str, Any]) -> dict[str, Any]:
    """How pictures travel to a node on another machine, if that changes them; where it is makes no difference."""
    host = graph.get("hosts", {}).get(node.get("host"))
    if host is None or host["pictures"] != "jpeg":
        return {}
    return {"pictures": {key: host[key] for key in ("pictures", "quality")}}


def _first_difference(was: Any, now: Any, path: str = "") -> str | None:
    if isinstance(was, dict) and isinstance(now, dict):
        for key in [*was, *(key for key in now if key not in was)]:
            found = _first_difference(was.get(key), now.get(key), f"{path}.{key}" if path else str(key))
            if found is not None:
                return found
        return None
    return None if was == now else f"{path} was {_short(was)}, now it is {_short(now)}"


def _short(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
