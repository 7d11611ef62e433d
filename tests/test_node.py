from __future__ import annotations

import numpy as np
import pytest
from support.frames import frames
from support.toy_nodes import Counter, Sum, Write

from streamseg.errors import GraphError, RunError, UsageError, rebuild
from streamseg.graph import registry
from streamseg.messages import Frame, Message, Segmented, Stamp
from streamseg.node import Node, Ports, Source, ports, run_node


def test_ports_are_read_from_the_type_arguments():
    assert ports(Counter) == Ports(None, Frame)
    assert ports(Sum).takes is Frame
    assert ports(Write).gives is None


def test_a_subclass_keeps_the_ports_of_its_parent():
    class Twice(Sum):
        pass

    assert ports(Twice) == ports(Sum)


def test_a_node_without_type_arguments_is_told_what_to_write():
    class Bare(Node):
        pass

    class Wrong(Source[int]):
        pass

    with pytest.raises(GraphError, match=r"class Bare\(Node\[Frame, Frame\]\)"):
        ports(Bare)
    with pytest.raises(GraphError, match="must be a Message class"):
        ports(Wrong)


def test_a_node_runs_without_a_graph():
    results = run_node(Sum(Sum.Config(drop=[1])), frames(3))
    assert [result.total for result in results] == [0, 24]


def test_run_node_closes_the_node_when_it_fails():
    closed = []

    class Failing(Sum):
        def close(self):
            closed.append(True)

    with pytest.raises(ValueError, match="no luck"):
        run_node(Failing(Sum.Config(fail=[0])), frames(1))
    assert closed == [True]


def test_the_registry_knows_the_built_in_nodes():
    assert {"decode", "embed", "propagate", "cleanup", "record", "publish"} <= set(registry.entry_points())


@pytest.mark.parametrize(
    ("use", "words"),
    [
        ("decod", "did you mean 'decode'"),
        ("no.such.module:X", "cannot be imported"),
        ("support.toy_nodes:Nothing", "cannot be imported"),
        ("support.toy_nodes:np", "not a subclass"),
    ],
)
def test_an_unknown_node_is_refused(use, words):
    with pytest.raises(GraphError, match=words):
        registry.load(use)


def test_errors_cross_processes_as_two_strings():
    assert isinstance(rebuild("GraphError", "x"), GraphError)
    assert isinstance(rebuild("KeyError", "x"), RunError)
    assert issubclass(GraphError, UsageError)


def test_a_message_without_a_stamp_says_so():
    class Bare(Message, frozen=True):
        pass

    with pytest.raises(AttributeError, match="give it a field"):
        _ = Bare().stamp


def test_a_mask_is_cut_out_of_the_labels():
    (frame,) = frames(1)
    labels = np.array([[0, 1], [2, 2]], np.uint16)
    assert Segmented(frame, [], labels).mask(1).tolist() == [[False, False], [True, True]]


def test_time_of_a_frame():
    assert Stamp("s", 0, 0, 90, (1, 30), 0, 0, 1).pts_s == 3.0
    assert Stamp("s", 0, 0, None, (1, 30), 0, 0, 1).pts_s is None
