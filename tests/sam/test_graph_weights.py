"""Weights put into a packaged graph by hand are those that the package onnx reads there."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from streamseg.errors import ModelError
from streamseg.sam.checkpoints import locate
from streamseg.sam.engines.graph_weights import with_weights
from streamseg.sam.engines.packaged_graphs import graph_path
from streamseg.sam.files.checkpoint_arrays import read_arrays
from streamseg.sam.models import MODELS

TINY = MODELS["tiny"]


@pytest.mark.parametrize("half", ["encoder", "decoder"])
def test_every_weight_is_inside_and_all_else_is_as_it_was(half: str) -> None:
    weights = read_arrays(TINY, locate(TINY), half)
    packaged = graph_path("tiny", half).read_bytes()
    found, before = onnx.load_from_string(with_weights(packaged, weights)), onnx.load_from_string(packaged)
    onnx.checker.check_model(found)
    inside = {each.name: each for each in found.graph.initializer}
    assert set(inside) == {each.name for each in before.graph.initializer} >= set(weights)
    for name, weight in weights.items():
        np.testing.assert_array_equal(numpy_helper.to_array(inside[name]), weight)
    del found.graph.initializer[:], before.graph.initializer[:]
    assert found == before


@pytest.mark.parametrize("packaged", [b"\x3a\xff", b"\x3a", b"\x3b\x00", b"\x3a\x02\x2a\x7f"])
def test_what_is_no_graph_is_refused(packaged: bytes) -> None:
    with pytest.raises(ModelError, match="damaged; reinstall streamseg"):
        with_weights(packaged, {"a": np.zeros(2, np.float32)})
