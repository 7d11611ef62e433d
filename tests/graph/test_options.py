"""Options of nodes by name: what is collected from the nodes, and how it gets into a graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keywords
import msgspec
import pytest
from streamseg_nodes.embed import Embed
from streamseg_nodes.propagate.node import Propagate
from support.optional import Brushed, Clashing, use_as_cleanup

from streamseg.errors import GraphError, UsageError
from streamseg.graph import config
from streamseg.graph.config import Graph
from streamseg.graph.options import by_node, frame_by_frame_options, named_options, with_option_at, with_options
from streamseg.graph.plan import Plan
from streamseg.graph.standard import standard_graph

PROMPTS = [{"id": 1, "box": [0, 0, 9, 9]}]


def graph(**options: Any) -> Graph:
    return standard_graph("clip.mp4", PROMPTS, **options)


def options_of(graph: Graph, node: str) -> dict[str, Any]:
    return graph.nodes[node].options


def test_an_option_that_two_nodes_have_is_one():
    known = named_options()
    assert known["model"].nodes == ("embed", "propagate", "discover")
    made = graph(model="vit_b", device="cpu")
    for node in ("embed", "propagate"):
        given = {key: value for key, value in options_of(made, node).items() if key != "prompts"}
        assert given == {"model": "vit_b", "device": "cpu"}
    shared = [name for name, option in known.items() if option.nodes == ("embed", "propagate", "discover")]
    for kind in (Embed, Propagate):
        assert set(shared) <= {field.name for field in msgspec.structs.fields(kind.Config)}


def test_every_option_with_a_flag_says_what_it_is_for():
    for option in named_options().values():
        assert option.about.help, option.name
        assert option.flag.startswith("--"), option.name


def test_a_flag_that_switches_off_is_named_after_what_it_switches():
    overlay = named_options()["overlay"]
    assert (overlay.flag, overlay.default, overlay.switches_off) == ("--no-overlay", True, True)


def test_what_holds_anyway_is_not_written_down():
    made = graph(focus="auto", live=None, model=None, output="out", overlay=True, overwrite=False)
    assert options_of(made, "decode") == {"source": "clip.mp4"}
    assert options_of(made, "embed") == {}
    assert options_of(made, "record") == {"output": "out"}


def test_none_is_a_value_where_an_option_may_have_it():
    known = named_options()
    live = with_options(graph(live=True), {"live": None}, known)
    assert options_of(live, "decode")["live"] is None
    assert options_of(with_options(graph(model="vit_b"), {"model": None}, known), "embed")["model"] == "vit_b"


def test_paths_become_text():
    assert options_of(graph(checkpoint=Path("a.pt")), "propagate")["checkpoint"] == "a.pt"


def test_a_sink_is_there_if_it_is_asked_for():
    assert list(graph().nodes) == ["decode", "embed", "propagate", "cleanup"]
    made = graph(output="out", publish="tcp://127.0.0.1:*", publish_key="k")
    assert options_of(made, "record") == {"output": "out"}
    assert options_of(made, "publish") == {"bind": "tcp://127.0.0.1:*", "key": "k"}
    with pytest.raises(UsageError, match=r"expected --publish ADDR with --publish-key, since without it there is no"):
        graph(publish_key="k")
    with pytest.raises(UsageError, match="expected --output DIR with --no-overlay"):
        graph(overlay=False)


def test_without_focus_there_is_no_way_back():
    assert graph().feedback == [("propagate", "embed")]
    assert graph(focus="off").feedback == []


def test_a_new_option_of_a_node_is_one_of_the_graph(monkeypatch: pytest.MonkeyPatch):
    use_as_cleanup(Brushed, monkeypatch)
    assert named_options()["bristles"].default == 3
    assert options_of(graph(bristles=5), "cleanup") == {"bristles": 5}
    with pytest.raises(
        GraphError, match="the options of node 'cleanup': expected a whole number of at most 9 for bristles"
    ):
        Plan(graph(bristles=12), results_from="cleanup")
    plain = config.to_plain(graph(bristles=5))
    plain["nodes"]["cleanup"]["options"] = {"bristels": 5}
    with pytest.raises(GraphError, match="unknown key 'bristels'; did you mean 'bristles'"):
        Plan(config.parse(plain), results_from="cleanup")


def test_one_flag_for_two_things_is_refused(monkeypatch: pytest.MonkeyPatch):
    use_as_cleanup(Clashing, monkeypatch)
    with pytest.raises(GraphError, match="nodes 'decode' and 'cleanup' have different options with the flag --max-fr"):
        named_options()


def test_values_by_node():
    values = {"tracker": "naive", "device": "cpu"}
    assert by_node(values, frame_by_frame_options()) == {
        "embed": {"device": "cpu"},
        "propagate": {"tracker": "naive", "device": "cpu"},
    }


def two_sources() -> Graph:
    nodes = {name: {"use": "decode", "options": {"source": f"{name}.mp4"}} for name in ("left", "right")}
    nodes |= {"embed": {}, "propagate": {"options": {"prompts": PROMPTS}}, "record": {"options": {"output": "out"}}}
    links = ["left -> embed", "right -> embed", "embed -> propagate -> record"]
    return config.parse({"nodes": nodes, "links": links})


def test_an_option_needs_one_node_that_it_could_belong_to():
    known = named_options()
    with pytest.raises(UsageError, match="--max-frames needs a graph with one decode node, this one has 2"):
        with_options(two_sources(), {"max_frames": 3}, known)
    with pytest.raises(UsageError, match="--keep needs a graph with one cleanup node, this one has 0"):
        with_options(two_sources(), {"keep": "largest"}, known)
    assert options_of(with_options(two_sources(), {"alpha": 0.2}, known), "record")["alpha"] == 0.2


def test_any_option_of_any_node():
    made = with_option_at(two_sources(), "left.start", 4)
    assert options_of(made, "left") == {"source": "left.mp4", "start": 4}
    assert "start" not in options_of(made, "right")
    deep = with_option_at(with_option_at(made, "propagate.tracking.motion", 0.25), "propagate.tracking.speck", 0.0)
    assert options_of(deep, "propagate")["tracking"] == {"motion": 0.25, "speck": 0.0}
    assert Plan(deep).options["propagate"].tracking.motion == 0.25  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="the graph has no node 'recrod'; did you mean 'record'"):
        with_option_at(made, "recrod.alpha", 0.2)
    for path in ("record", "record.", ".alpha", ""):
        with pytest.raises(UsageError, match=r"expected NODE\.OPTION"):
            with_option_at(made, path, 0.2)


def test_the_keywords_are_those_of_the_nodes():
    expected = keywords.source_of(named_options(keywords.OF_A_LOOP), keywords.frame_by_frame_options())
    assert keywords.HOME.read_text() == expected, "the options of the nodes have changed: run 'make keywords'"
