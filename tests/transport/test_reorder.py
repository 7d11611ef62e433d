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
