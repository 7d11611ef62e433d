"""docs/wire-format.md says what is really sent: no field too few, none too many, each of the type that it has."""

from __future__ import annotations

import re
import types
import typing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import zmq
from support.bright_nodes import drawn

from streamseg.masks import rle
from streamseg.messages import Gap, SourceStatus
from streamseg.publishing import format, subscriber

PAGE = (Path(__file__).parents[2] / "docs" / "wire-format.md").read_text()
ROW = re.compile(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
STRUCTS = {
    "frame": format.FrameHeader,
    "object": format.PublishedObject,
    "attachment": format.Attachment,
    "gap": format.GapHeader,
    "end": format.EndHeader,
    "status": format.StatusHeader,
    "heartbeat": format.HeartbeatHeader,
}
LABELS = np.zeros((30, 40), np.uint16)
LABELS[5:12, 3:20] = 1


def section(title: str) -> str:
    found = re.search(rf"^##+ {title}\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found[1]


def fields_of(title: str) -> dict[str, tuple[str, str]]:
    """Field -> its type and what it is, as the page says."""
    return {name: (kind, text) for name, kind, text in ROW.findall(section(title))}


COMMON = fields_of("Headers")


def words_for(annotation: Any) -> str:
    """A type as the page says it."""
    arguments = typing.get_args(annotation)
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return " or ".join("nil" if each is types.NoneType else words_for(each) for each in arguments)
    if typing.get_origin(annotation) is tuple:
        return f"[{', '.join(map(words_for, arguments))}]"
    if typing.get_origin(annotation) is typing.Literal:
        return "str"
    names = {list[format.PublishedObject]: "array of objects", format.Attachment: "attachment"}
    return names.get(annotation) or str(annotation.__name__)


def values_of(annotation: Any) -> set[str]:
    """The values that a field can only have; empty if it can have any."""
    if typing.get_origin(annotation) is typing.Literal:
        return set(typing.get_args(annotation))
    return set().union(*map(values_of, typing.get_args(annotation)))


@pytest.mark.parametrize("title", STRUCTS)
def test_the_page_has_each_field_with_its_type(title: str) -> None:
    declared = {field.name: field.type for field in msgspec.structs.fields(STRUCTS[title])}
    said = fields_of(title)
    is_header = title not in ("object", "attachment")
    wanted = {name: words_for(kind) for name, kind in declared.items() if not (is_header and name in COMMON)}
    assert {name: kind for name, (kind, _) in said.items()} == wanted
    for name, (_, text) in said.items():
        assert values_of(declared[name]) <= set(re.findall(r"`(\w+)`", text)), name


def sent() -> dict[str, list[bytes]]:
    """Kind -> the parts of such a message."""
    message = drawn(4, LABELS, (7,), stream="camera")
    return {
        "frame": format.encode_frame(message, 5, "rle", "jpeg"),
        "gap": format.encode_gap(Gap(message.stamp, "propagate", "failed", "no luck")),
        "end": format.encode_end("camera"),
        "status": format.encode_status(SourceStatus("camera", "lost", "unplugged", 5), 6),
        "heartbeat": format.encode_heartbeat("camera", None, 6),
    }


@pytest.mark.parametrize("kind", sent())
def test_what_is_sent_has_the_fields_of_the_page_and_no_others(kind: str) -> None:
    parts = sent()[kind]
    header = msgspec.msgpack.decode(parts[1])
    assert set(header) == {*COMMON, *(fields_of(kind) if kind != "end" else ())}
    assert (header["v"], header["kind"], header["stream"]) == (1, kind, "camera")
    for entry in header.get("objects", []):
        assert set(entry) == set(fields_of("object"))
    for attached in (header.get("image"), *(entry["mask"] for entry in header.get("objects", []))):
        assert attached is None or set(attached) == set(fields_of("attachment"))


def test_topics_are_those_of_the_page() -> None:
    said = dict(re.findall(r"^\| `(\w+)` \| `(camera[./]\w+)` \|", section("Connecting"), re.MULTILINE))
    assert said == {kind: parts[0].decode() for kind, parts in sent().items()}


def test_the_worked_example_of_run_lengths_is_right() -> None:
    text = section("Masks")
    rows = re.findall(r"^    ([.#]+)$", text, re.MULTILINE)
    mask = np.array([[pixel == "#" for pixel in row] for row in rows])
    assert mask.shape == (4, 5)
    runs = [int(run) for run in re.search(r"runs +([\d ]+)\n", text)[1].split()]  # type: ignore[index]
    numbers = [int(run) for run in re.search(r"numbers +([\d ]+)\n", text)[1].split()]  # type: ignore[index]
    letters = re.search(r"text +(\S+)\n", text)[1]  # type: ignore[index]
    assert rle.encode(mask) == runs and rle.compress(runs) == letters
    assert numbers == [run - (runs[i - 2] if i > 2 else 0) for i, run in enumerate(runs)]
    table = re.findall(r"^\| (-?\d+) \| `+ ?(.+?) ?`+ \|$", text, re.MULTILINE)
    assert len(table) == 10
    for number, written in table:
        assert rle.compress([int(number)]) == written, number


def test_limits_are_those_of_the_subscriber() -> None:
    assert f"{format.PIXELS_MAX:,} pixels" in section("Limits") and format.PART_MAX_BYTES == 3 * format.PIXELS_MAX
    with zmq.Context() as context, subscriber.listen(context, "tcp://127.0.0.1:1") as socket:
        assert f"`ZMQ_RCVHWM` of {socket.get(zmq.RCVHWM)} " in PAGE
        assert f"`ZMQ_RCVBUF` of {socket.get(zmq.RCVBUF):,} bytes" in PAGE


def test_a_kind_that_is_not_known_is_passed_over_and_another_version_is_not() -> None:
    header = {"v": 1, "kind": "weather", "stream": "camera", "state": 7}
    heard = format.decode([b"camera.weather", msgspec.msgpack.encode(header)])
    assert isinstance(heard.header, format.UnknownHeader) and heard.kind == "weather"
    with pytest.raises(format.WireError, match="expected version 1"):
        format.decode([b"camera.weather", msgspec.msgpack.encode({**header, "v": 2})])
