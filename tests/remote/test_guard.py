"""What another machine may have done here, as far as that can be said without starting anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamseg.errors import GraphError
from streamseg.graph import config
from streamseg.graph.plan import Plan, WorkerSpec
from streamseg.jobs import Job, PastCommand
from streamseg.remote.guard import Guard


def spec(name: str = "embed", **options: Any) -> WorkerSpec:
    """Of a node of the usual graph, as another machine would ask for it."""
    plain = {
        "nodes": {
            "decode": {"options": {"source": "0"}, "host": "far"},
            "embed": {"host": "far"},
            "propagate": {"host": "far", "options": {"prompts": []}},
            "record": {"host": "far", "options": {"output": "out"}},
        },
        "links": ["decode -> embed -> propagate -> record"],
        "hosts": {"far": {"address": "a:1", "own_key": "k", "server_key": "k"}},
    }
    found = Plan(config.parse(plain)).worker(name, 0)
    return msgspec.structs.replace(found, options={**found.options, **options})


def test_what_works_on_messages_may_be_started() -> None:
    guard = Guard()
    assert guard.check(spec()).__name__ == "Embed"
    assert guard.check(spec("propagate", prompts=[{"id": 1, "label": "cup", "box": [1, 2, 3, 4]}]))


@pytest.mark.parametrize("name", ["decode", "record"])
def test_what_reads_or_writes_only_if_it_was_named(name: str) -> None:
    with pytest.raises(GraphError, match=f"start the worker with --node {name}"):
        Guard().check(spec(name))
    assert Guard([name]).check(spec(name))


@pytest.mark.parametrize("field", ["use", "inputs", "feedback_inputs"])
@pytest.mark.parametrize("use", ["os:system", "antigravity:fly", "unknown"])
def test_nothing_is_imported_that_is_not_installed_as_a_node(field: str, use: str) -> None:
    asked = msgspec.structs.replace(spec(), **{field: use if field == "use" else [use]})
    with pytest.raises(GraphError, match="is not installed there"):
        Guard().check(asked)


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("{allowed}/model.pt", True),
        ("{allowed}/a/../model.pt", True),
        ("{allowed}", True),
        ("tiny", True),
        ("data:image/png;base64,iVBORw0/KGgo", True),
        ("rtsp://camera.lan/stream", True),
        ("{allowed}/../other/model.pt", False),
        ("{allowed}/link/model.pt", False),
        ("{allowed}-too/model.pt", False),
        ("a/b", False),
        ("~", False),
        ("~/model.pt", False),
        ("..\\model.pt", False),
        ("concat:{allowed}/../other", False),
        ("rtsp://camera.lan.evil.example/stream", False),
        ("http://169.254.169.254/", False),
        ("file:///etc/passwd", False),
    ],
)
def test_files_and_addresses(tmp_path: Path, text: str, allowed: bool) -> None:
    """At any depth of the options, in keys too."""
    folder = tmp_path / "allowed"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    guard = Guard(files=[str(folder), "rtsp://camera.lan/"])
    text = text.format(allowed=folder)
    for options in ({"model": text}, {"deep": [{"deeper": [text]}]}, {"keys": {text: 1}}):
        if allowed:
            assert guard.check(spec(**options))
        else:
            with pytest.raises(GraphError, match="a file of that machine that it does not give"):
                guard.check(spec(**options))
    assert guard.may_command(msgspec.msgpack.encode({"mask": text})) is allowed


def test_commands_that_had_come_into_force_are_looked_at_again() -> None:
    commands = [
        PastCommand(node="propagate", body=msgspec.msgpack.encode({"mask": mask}), id=1, stream="film", frame=3)
        for mask in ("/etc/passwd", "data:image/png;base64,AA")
    ]
    job = Guard().job(Job(facts={}, commands=commands))
    assert job is not None
    assert job.commands == commands[1:]


def test_threads_are_those_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamseg.graph.plan.cores", lambda: 16)
    guard = Guard()
    asked = spec(model="vit_b", engine="torch")
    assert guard.adapted(asked, guard.check(asked)).threads == 16
