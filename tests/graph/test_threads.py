from __future__ import annotations

import pytest

from streamseg.graph import config, plan
from streamseg.graph.standard import standard_graph


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch):
    monkeypatch.setattr(plan, "cores", lambda: 8)


def threads(**change):
    options = {name: change[name] for name in ("model", "engine", "focus") if name in change}
    graph = standard_graph("clip.mp4", [{"id": 1, "box": [0, 0, 9, 9]}], output="out", **options)
    plain = config.to_plain(graph)
    plain["nodes"]["embed"] |= {key: change[key] for key in ("replicas", "threads") if key in change}
    made = plan.Plan(config.parse(plain))
    return {name: made.worker(name, 0).threads for name in made.order}


def test_the_bundled_model_is_quickest_with_a_thread_a_process():
    assert threads() == {"decode": 1, "embed": 1, "propagate": 1, "cleanup": 1, "record": 1}
    assert threads(replicas=5)["embed"] == 1
    assert set(threads(focus="off").values()) == {1}
    assert set(threads(engine="torch").values()) == {1}


def test_a_large_model_gets_all_cores_and_its_replicas_share_them():
    assert threads(model="vit_b") == {"decode": 1, "embed": 8, "propagate": 8, "cleanup": 1, "record": 1}
    assert threads(model="vit_b", replicas=3)["embed"] == 2


def test_what_the_graph_says_holds():
    assert threads(threads=5)["embed"] == 5


def test_waiting_threads_sleep():
    assert plan.thread_environment(3)["OMP_NUM_THREADS"] == "3"
    assert plan.thread_environment(3)["OMP_WAIT_POLICY"] == "PASSIVE"
