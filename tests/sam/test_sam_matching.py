"""Comparing a view with earlier views: numpy computes what the network was trained with."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from streamseg.errors import UsageError
from streamseg.sam import matching as matching_module
from streamseg.sam.loading import load_matching
from streamseg.sam.matching import Matching
from streamseg.sam.networks.tiny import KEY_WIDTH, WIDTH, Matcher
from streamseg.tracking.appearance import Template, stack_templates


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = Matcher()
    # As it begins it adds nothing, which would hide every mistake.
    torch.nn.init.normal_(network.out[2].weight, std=0.1)
    return network.eval()


@pytest.fixture(scope="module")
def matching(network):
    return Matching({name: value.numpy() for name, value in network.state_dict().items()})


def views(rng, count):
    return [rng.normal(size=(WIDTH, 32, 32)).astype(np.float32) for _ in range(count)]


@torch.no_grad()
def test_numpy_adds_what_the_network_adds(network, matching):
    rng = np.random.default_rng(1)
    now, before = views(rng, 2)
    covered = (rng.random(1024) > 0.6).astype(np.float32)
    expected = network(torch.from_numpy(now), torch.from_numpy(before.reshape(WIDTH, -1)), torch.from_numpy(covered))
    memory = matching.keys(before).reshape(KEY_WIDTH, -1)
    found = matching.added(matching.keys(now), memory, covered)
    assert expected.std() > 0.01
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("scale", [3.0, 30.0])
def test_so_it_does_for_cells_that_are_like_none(network, matching, scale):
    """Exponentials of such distances are 0 in float32."""
    rng = np.random.default_rng(1)
    now, before = (scale * each for each in views(rng, 2))
    now[:, :4] = before[:, :4]
    covered = (rng.random(1024) > 0.6).astype(np.float32)
    expected = network(torch.from_numpy(now), torch.from_numpy(before.reshape(WIDTH, -1)), torch.from_numpy(covered))
    found = matching.added(matching.keys(now), matching.keys(before).reshape(KEY_WIDTH, -1), covered)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-4 * scale**2)


def test_a_template_keeps_what_matters(matching):
    rng = np.random.default_rng(2)
    keys = matching.keys(views(rng, 1)[0])
    logits = np.full((128, 128), -1, np.float32)
    logits[:, :64] = 1
    template = Template.of(keys, logits)
    memory, shares = stack_templates((template, template))
    assert memory.shape == (KEY_WIDTH, 512)
    assert shares.reshape(2, 16, 16)[1, :, :8].min() == 1
    assert shares.reshape(2, 16, 16)[1, :, 8:].max() == 0
    pooled = keys.reshape(KEY_WIDTH, 16, 2, 16, 2).mean(axis=(2, 4)).reshape(KEY_WIDTH, -1)
    assert np.abs(memory[:, :256] - pooled).max() <= 0.51 * np.abs(pooled).max() / 127
    assert len(template.keys) + len(template.covered) < 20_000


def test_what_does_not_fit_is_refused(matching):
    keys = matching.keys(np.zeros((WIDTH, 32, 32), np.float32))
    with pytest.raises(UsageError, match="expected a memory"):
        matching.added(keys, np.zeros((KEY_WIDTH, 3), np.float32), np.zeros(4, np.float32))
    with pytest.raises(UsageError, match="expected keys"):
        Template.of(keys, np.zeros((64, 64), np.float32))


def test_only_the_bundled_model_compares():
    assert load_matching("tiny") is not None
    assert load_matching("vit_b") is None


@pytest.mark.parametrize("cells", [8, 16, 24])
def test_cells_are_compared_some_at_a_time(matching, monkeypatch: pytest.MonkeyPatch, cells: int) -> None:
    rng = np.random.default_rng(cells)
    keys = matching.keys(rng.normal(size=(128, cells, cells)).astype(np.float32))
    memory = rng.normal(size=(len(keys), 100)).astype(np.float32)
    covered = rng.random(100).astype(np.float32)
    found = matching.added(keys, memory, covered)
    monkeypatch.setattr(matching_module, "_CELLS", 1 << 20)
    np.testing.assert_allclose(found, matching.added(keys, memory, covered), atol=1e-5)
