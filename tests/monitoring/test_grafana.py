"""The dashboard in samples/ asks for what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.graphs import toy_graph
from support.watched import Scrape

from streamseg.graph.plan import Plan
from streamseg.monitoring.metrics import exposition
from streamseg.monitoring.monitor import Monitor
from streamseg.transport.control import Stats

GRAFANA = Path(__file__).parents[2] / "samples" / "grafana"
DASHBOARD = json.loads((GRAFANA / "dashboard.json").read_text())
QUERIES = [(panel["title"], target) for panel in DASHBOARD["panels"] for target in panel["targets"]]


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Metric -> its labels, of a run in which all there is to tell has happened."""
    plan = Plan(toy_graph(tmp_path_factory.mktemp("run") / "lines"))
    monitor = Monitor(plan)
    stats = Stats(pid=1, counters={"reconnects": 1, "damaged": 1}, dropped_by={"late": 1})
    monitor.look("running", {"count": stats, "sum": stats}, ())
    text, _ = exposition(monitor)("")
    found: dict[str, set[str]] = {}
    for name, has in Scrape(text.decode()).values:
        found.setdefault(name, set()).update(dict(has))
    return found


@pytest.mark.parametrize(("title", "target"), QUERIES, ids=[target["expr"][:60] for _, target in QUERIES])
def test_a_query_names_metrics_and_labels_that_exist(
    title: str, target: dict[str, Any], labels: dict[str, set[str]]
) -> None:
    expression = target["expr"]
    names = re.findall(r"streamseg_\w+", expression)
    assert names and title
    assert expression.count("(") == expression.count(")") and expression.count("{") == expression.count("}")
    for name in names:
        assert name in labels
        # What Prometheus adds itself is on every metric.
        grouped = {word.strip() for found in re.findall(r"by \(([^)]*)\)", expression) for word in found.split(",")}
        assert grouped <= labels[name] | {"instance"}
        assert name.endswith("_total") == ("rate(" in expression or "increase(" in expression) or "_bucket" in name
    shown = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
    left = grouped if "by (" in expression else labels[names[0]] | {"instance"}
    assert shown <= left


def test_panels_lie_beside_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken and max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_every_metric_is_in_the_docs(labels: dict[str, set[str]]) -> None:
    text = (GRAFANA.parents[1] / "docs" / "monitoring.md").read_text()
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in labels}
    assert {name for name in families if f"`{name}`" not in text} == set()
    assert set(re.findall(r"`(streamseg_\w+)`", text)) == families


def test_prometheus_is_told_where_runs_are() -> None:
    found = yaml.safe_load((GRAFANA / "prometheus.yml").read_text())
    assert found["scrape_configs"][0]["static_configs"][0]["targets"] == ["127.0.0.1:9400"]
