"""What ROS passes to a node on its command line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streamseg.errors import UsageError
from streamseg.ros2.arguments import RosArguments, parse


def of(*words: str) -> RosArguments:
    return parse(words, "streamseg")


def test_names_are_in_the_namespace_unless_they_are_full() -> None:
    found = of("--ros-args", "-r", "__ns:=/robot/left", "-r", "__node:=eyes")
    assert (found.node, found.namespace) == ("eyes", "/robot/left")
    assert [found.resolve(name) for name in ("image", "/image", "~/state")] == [
        "/robot/left/image",
        "/image",
        "/robot/left/eyes/state",
    ]


def test_rules_hold_for_full_names_whichever_way_they_are_written() -> None:
    words = ("-r", "image:=/cam/raw", "-r", "/robot/masks:=labels", "--remap", "streamseg:prompt:=~/say", "-r")
    found = of("--ros-args", *words, "__ns:=/robot")
    assert found.resolve("image") == "/cam/raw"
    assert found.resolve("masks") == "/robot/labels"
    assert found.resolve("prompt") == "/robot/streamseg/say"
    assert found.resolve("/image") == "/image"


def test_parameters_are_yaml_and_those_of_a_file_count_for_less(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(
        "/**: {ros__parameters: {model: tiny, depth: 3}}\n/robot/streamseg: {ros__parameters: {depth: 4, keep: all}}\n"
        "other: {ros__parameters: {depth: 9}}\n"
    )
    found = of("--params-file", str(path), "-p", "keep:=largest", "-p", "overlay:=false", "-p", "use_sim_time:=true")
    assert found.parameters == {"model": "tiny", "depth": 4, "keep": "largest", "overlay": False}


def test_what_is_about_the_log_of_ros_is_passed_over() -> None:
    words = ("--log-level", "debug", "--log-config-file", "log.conf", "--disable-rosout-logs", "--", "--ros-args")
    assert of("--ros-args", *words).remaps == ()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("-r",), "expected a value after -r"),
        (("-r", "a=b"), "expected NAME:=VALUE after -r"),
        (("-p", "x:=[1"), "parameter x: expected a value in YAML"),
        (("--params-file", "/nowhere.yaml"), "/nowhere.yaml: cannot be read"),
        (("--model", "tiny"), "options of streamseg stand before --ros-args"),
    ],
)
def test_words_that_are_not_understood_are_refused(words: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(UsageError, match=re.escape(sentence)):
        of("--ros-args", *words)


@pytest.mark.parametrize("name", ["", "a b", "/1", "a//b", "a/", "ä", "a-b"])
def test_names_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="expected the name of a topic or service"):
        of().resolve(name)


def test_a_file_without_parameters_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("/**: {model: tiny}\n")
    with pytest.raises(UsageError, match="expected ros__parameters under"):
        of("--params-file", str(path))
