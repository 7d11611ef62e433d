from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.errors import GraphError
from streamseg.graph import config

CHAIN = {"nodes": {"a": {"use": "x"}, "b": None, "c": {}}, "links": ["a -> b -> c"]}


def test_a_chain_in_one_line():
    graph = config.parse(CHAIN)
    assert graph.links == [("a", "b"), ("b", "c")]
    assert graph.nodes["a"].use == "x"
    assert graph.nodes["b"].use == "b"


def test_reading_back_what_a_run_recorded():
    graph = config.parse({**CHAIN, "feedback": ["c -> a"], "tickets": 3})
    assert config.parse(config.to_plain(graph)) == graph


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "expected a mapping"),
        ({"nods": {}}, "did you mean 'nodes'"),
        ({"nodes": {}}, "links"),
        ({"nodes": {}, "links": []}, "no nodes"),
        ({"nodes": {"a": {"option": {}}}, "links": []}, "did you mean 'options'"),
        ({"nodes": {"a": {"replicas": 0}}, "links": []}, "replicas"),
        ({"nodes": {"a": {"replicas": "two"}}, "links": []}, "replicas"),
        ({"nodes": {"1a": {}}, "links": []}, "node name"),
        ({"nodes": {"../a": {}}, "links": []}, "node name"),
        ({"nodes": {"a": {}, "b": {}}, "links": ["a b"]}, "from -> to"),
        ({"nodes": {"a": {}, "b": {}}, "links": ["a -> "]}, "from -> to"),
        ({"nodes": {"decode": {}, "b": {}}, "links": ["decod -> b"]}, "did you mean 'decode'"),
        ({"nodes": {"a": {}, "b": {}}, "links": ["a -> b", "a -> b"]}, "twice"),
        ({"nodes": {"a": {}, "b": {}}, "links": ["a -> b -> a"]}, "loop"),
        ({"nodes": {"a": {}, "b": {}, "c": {}}, "links": ["a -> b"]}, "'c' has no link"),
        ({"nodes": {n: {} for n in "abcd"}, "links": ["a -> b -> d", "a -> c -> d"]}, "2 ways"),
        ({**CHAIN, "version": 2}, "version 2"),
        ({**CHAIN, "tickets": 0}, "tickets"),
    ],
)
def test_what_is_wrong_is_said(data, words):
    with pytest.raises(GraphError, match=words):
        config.parse(data)


def test_errors_of_a_file_name_the_file(tmp_path):
    path = tmp_path / "graph.yaml"
    path.write_text("nodes: [")
    with pytest.raises(GraphError, match=r"graph\.yaml: not valid YAML"):
        config.load(path)
    with pytest.raises(GraphError, match="cannot be read"):
        config.load(tmp_path / "none.yaml")


def test_yaml_cannot_make_objects(tmp_path):
    path = tmp_path / "graph.yaml"
    path.write_text("nodes: !!python/object/apply:os.system ['true']\nlinks: []\n")
    with pytest.raises(GraphError, match="not valid YAML"):
        config.load(path)


def test_order_puts_each_node_after_its_inputs():
    graph = config.parse({"nodes": {n: {} for n in "cab"}, "links": ["a -> b", "a -> c"]})
    assert config.order(graph)[0] == "a"


def test_many_diamonds_are_refused_without_walking_every_way():
    names = [f"n{k}" for k in range(120)]
    links = [f"{a} -> {b}" for i, a in enumerate(names) for b in names[i + 1 : i + 3]]
    with pytest.raises(GraphError, match="ways"):
        config.parse({"nodes": dict.fromkeys(names), "links": links})


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["nodes", "links", "use", "options", "feedback", "a", "b"]), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(json)
def test_any_data_gives_a_graph_or_a_graph_error(data):
    try:
        assert isinstance(config.parse(data), config.Graph)
    except GraphError as error:
        assert str(error)
