"""What fuzzing, and reading the code for it, has found; what fuzzing begins with; and a little of it anew each time."""

from __future__ import annotations

import base64
import random
import zlib
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from fuzz.targets import SEPARATOR, TARGETS
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.errors import GraphError, MediaError, UsageError
from streamseg.masks.image_files import decode_image
from streamseg.tracking.records import read_tracks
from streamseg.training.data import coco
from streamseg.yaml_files import parse_json, parse_yaml, read_yaml

_HEADER = msgspec.msgpack.encode({"v": 1, "kind": "gap", "stream": "abc", "frame": 1, "reason": "x"})
_NOT_TEXT = _HEADER.replace(b"abc", b"a\x9bc")

# A transport stream with frames that swscale cannot convert, packed.
_ODD_PIXELS = zlib.decompress(
    base64.b85decode(
        "c-mufcMue45b+RVWOH-NEl5r03{EX7`;P=z|NqA(i~`gcK%j{MA>zQ`L_fg5$iTq={|5sD<5vCt|DPQjfGkGgU$L6r5XXFcx"
        "I(_^z0d#jW7U69-0kkjV89*#a(f*RGd^HoXgI)S$iOJ0C<rtYXe#4oCI$uJ|NkF=q_>K6fy98U9Sj@{4h%@v0&OK$9g^#y?g"
        "BaM6H@_u`nnelM;LFu-o;?ZP*(M>fyY61-tM<R11>y`4`N7SSTIQtWGIvHBL=WC1$CgZw-3OI^LQLU9x6rn4QT5B{~+%I0RF"
        "<wKm"
    )
)

# A transport stream that was damaged at its start: FFmpeg 8.0 of PyAV before 17.1 wrote where it should not.
_PACKETS = (
    "",
    "",
    "47500010",
    "47410030",
    "47010031",
    "47410012",
    "47010033",
    "474100340710000000000000000001e0",
    "47010035",
)
_DAMAGED_START = b"".join(bytes.fromhex(each).ljust(188, b"\0") for each in _PACKETS) + bytes(386)

FOUND = {
    "text that is not UTF-8 in a published header": (
        "published",
        b"abc/gap" + SEPARATOR + _NOT_TEXT,
    ),
    "text that is not UTF-8 in a command": ("command", b"\x93\x01\xa2\xff\xfe\xc0"),
    "a value of another type than it says": ("graph", b"{nodes: {a: !!bool 7}}"),
    "a date that there is not": ("recipe", b"data: 2001-99-99"),
    "a number that is none": ("prompts", b"- !!int ''"),
    "nested too deeply": ("graph", b"[" * 1000),
    "a list that is in itself": ("graph", b"nodes: &a {b: *a}"),
    "more characters than a key has bytes": ("keys", b'public-key = "' + b"#" * 40 + b'"'),
    "pixels that cannot be converted": ("container", _ODD_PIXELS),
    "a transport stream that begins in its middle": ("container", b"\2" + _DAMAGED_START),
    "weights that end in their first number": ("weights", b"J"),
}


@pytest.mark.parametrize("what", FOUND)
def test_what_was_found_stays_fixed(what: str) -> None:
    name, data = FOUND[what]
    TARGETS[name].run(data)


@pytest.mark.parametrize("name", TARGETS)
def test_a_little_of_it_each_time(name: str) -> None:
    target = TARGETS[name]
    seeds = target.seeds()
    for seed in seeds:
        target.run(seed)

    @settings(max_examples=25, deadline=None, database=None)
    @given(st.sampled_from(seeds), st.randoms(use_true_random=False))
    def mutated(seed: bytes, rng: random.Random) -> None:
        data = bytearray(seed)
        for _ in range(rng.randint(1, 6)):
            start, length = rng.randrange(len(data) + 1), rng.randint(0, 8)
            data[start : start + length] = rng.randbytes(rng.choice([0, length, 1]))
        target.run(bytes(data))

    mutated()


def test_a_png_of_some_bytes_cannot_take_gigabytes() -> None:
    picture = cv2.imencode(".png", np.zeros((6, 5, 3), np.uint8))[1].tobytes()
    at = picture.index(b"IDAT") - 4
    for name in (b"IDAT", b"tEXt"):
        with pytest.raises(ValueError, match="a part of it says that it has 3781754906 bytes"):
            decode_image(picture[:at] + (3_781_754_906).to_bytes(4) + name + picture[at + 8 :], cv2.IMREAD_COLOR)
    assert decode_image(picture, cv2.IMREAD_COLOR).shape == (6, 5, 3)


def test_a_few_letters_cannot_stand_for_more_than_memory_holds() -> None:
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for k in range(1, 12):
        text += f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]\n"
    with pytest.raises(ValueError, match="aliases"):
        parse_yaml(text)
    assert parse_yaml("a: &a {b: 1}\nc: *a\n") == {"a": {"b": 1}, "c": {"b": 1}}
    assert len(parse_yaml("{" + ",".join(f"k{k}" for k in range(2_000)) + "}")) == 2_000


def test_merges_are_refused_before_they_are_copied() -> None:
    text = "a0: &a0 {k: 1}\n"
    for k in range(1, 40):
        text += f"a{k}: &a{k}\n  <<: [{', '.join([f'*a{k - 1}'] * 9)}]\n"
    with pytest.raises(ValueError, match="line 3: mappings are not merged"):
        parse_yaml(text)


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3\n", "x:\n  a: 1\n  a: 1\n", "- {a: 1, b: 1,\n   'a': 2}\n"])
def test_a_key_that_is_there_twice_is_named_with_its_line(text: str) -> None:
    with pytest.raises(ValueError, match=f"line {text.rstrip().count(chr(10)) + 1}: the key 'a' is there twice"):
        parse_yaml(text)


def test_a_key_that_is_there_twice_in_json_is_named() -> None:
    with pytest.raises(ValueError, match="'box' is there twice"):
        parse_json('[{"id": 1, "box": [1], "box": [2]}]')
    assert parse_json('{"a": {"b": 1}, "b": [1]}') == {"a": {"b": 1}, "b": [1]}


def test_keys_that_only_look_the_same_are_two() -> None:
    assert parse_yaml("1: a\n'1': b\n") == {1: "a", "1": "b"}
    assert parse_yaml("") is None


def test_a_yaml_file_of_any_size_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "graph.yaml"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(GraphError, match="at most 1 are read"):
        read_yaml(path, GraphError)


def test_text_that_is_not_utf8_is_one_sentence_in_other_files_too(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b'{"images": [{"id": 1, "file_name": "\x9b", "width": 1, "height": 1}], "annotations": []}')
    with pytest.raises(MediaError, match="expected COCO's"):
        coco.read(path)
    path.write_bytes(b'{"frame": 1, "label": "\x9b"}')
    with pytest.raises(UsageError, match="line 1: expected a track"):
        list(read_tracks(path))


def test_a_line_without_an_end_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "tracks.jsonl"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UsageError, match="line 1: expected a track as record writes it, got a line without end"):
        list(read_tracks(path))
