"""How threads that write share Python with the one that draws."""

from __future__ import annotations

import sys

import pytest

from streamseg.formats.files.turns import short_turns


def test_turns_are_short_for_a_while_and_then_what_they_were() -> None:
    before = sys.getswitchinterval()
    with pytest.raises(ValueError, match="wrong"), short_turns():
        assert sys.getswitchinterval() == pytest.approx(0.0003)
        raise ValueError("wrong")
    assert sys.getswitchinterval() == before


def test_who_has_shorter_ones_keeps_them() -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with short_turns():
            assert sys.getswitchinterval() == pytest.approx(1e-5)
    finally:
        sys.setswitchinterval(before)
