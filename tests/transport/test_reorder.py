from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamseg.transport.reorder import ReorderBuffer


@given(st.permutations(range(30)))
def test_any_order_comes_out_in_order(order):
    buffer = ReorderBuffer()
    out = [item for seq in order for item in buffer.push(seq, f"item {seq}")]
    assert out == [f"item {seq}" for seq in range(30)]
    assert buffer.waiting == 0


def test_nothing_passes_a_hole():
    buffer = ReorderBuffer()
    assert buffer.push(1, "b") == []
    assert buffer.waiting == 1
    assert buffer.push(0, "a") == ["a", "b"]


def test_an_item_whose_turn_is_over_is_discarded():
    buffer = ReorderBuffer(first=5)
    assert buffer.push(4, "late") == []
    assert buffer.push(5, "now") == ["now"]
    assert buffer.push(5, "again") == []


@given(st.lists(st.integers(0, 40), max_size=120), st.integers(0, 10))
def test_whatever_comes_each_turn_is_had_once_and_in_order(seqs, first):
    """Late, repeated and missing items too: what comes out is the longest whole beginning, each item as it came first
    or, while it waits, as it came last."""
    buffer, out = ReorderBuffer(first), []
    for count, seq in enumerate(seqs):
        out += [item[0] for item in buffer.push(seq, (seq, count))]
    seen = set(seqs)
    whole = next(end for end in range(first, 60) if end not in seen)
    assert out == list(range(first, whole))
    assert buffer.waiting == len([seq for seq in seen if seq > whole])
