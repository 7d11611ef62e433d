"""YAML that people write: what it seems to say is what is read, soon, or one sentence says why not."""

from __future__ import annotations

import datetime

import pytest

from streamseg.yaml_files import parse_json, parse_yaml


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("[0, -7, 0x10, 0.5, 1e3, 08, 0o17]", [0, -7, 16, 0.5, "1e3", "08", "0o17"]),
        ("{a: '017', b: no, c: ~, d: 2024-05-01}", {"a": "017", "b": False, "c": None, "d": datetime.date(2024, 5, 1)}),
        ("!!str 017", "017"),
    ],
)
def test_plain_values_are_read(text: str, data: object) -> None:
    assert parse_yaml(text) == data


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{id: 017}", "017 begins with 0, so YAML takes it for an octal number; leave the 0 out"),
        ("[1, -0_10]", "-0_10 begins with 0"),
        ("box: !!set {1, 2, 3, 4}", "expected plain values and lists, got the type !!set; leave the type out"),
        ("!!python/tuple [1, 2]", "got the type !!python/tuple"),
        ("!mine {a: 1}", "got the type !mine"),
        ("!!binary aGVsbG8=", "got the type !!binary"),
        ("9" * 5000, "a number there has 5000 digits"),
        ("[" + "1," * 200_000 + "1]", "too many values"),
        ("- 1\n" * 200_000, "too many values"),
    ],
)
def test_what_would_be_taken_for_something_else_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_yaml(text)


def test_a_number_of_thousands_of_digits_in_json_is_refused() -> None:
    with pytest.raises(ValueError, match="a number in it has 5000 digits"):
        parse_json("[" + "9" * 5000 + "]")
