"""Options of nodes as flags of the command and keywords of the library, and how unknown ones are refused."""

from __future__ import annotations

import argparse
import typing
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
import yaml
from support.command import light_graph
from support.optional import Brushed, use_as_cleanup

import streamseg
from streamseg.cli import main
from streamseg.cli.flags.options import add_options, given_options
from streamseg.cli.main import make_parser
from streamseg.cli.parser import Parser
from streamseg.cli.running.run_graph import asked_for
from streamseg.errors import UsageError
from streamseg.graph.options import OF_A_LOOP, NamedOption, named_options
from streamseg.runtime.library.keywords import Keywords
from streamseg.structs import Option

BOX = ("--box", "0,0,18,18")
OWN = {
    *("--help", "--help-all", "--set", "--resume", "--one-by-one", "--control", "--inline", "--json", "--verbose"),
    *("--box", "--point", "--negative", "--choice", "--mask", "--frame"),
    *("--metrics", "--metrics-cert", "--metrics-key", "--metrics-token", "--trace"),
    *("--prompts", "--prompts-format", "--everything", "--everything-frame", "--detect", "--discover"),
    *("--metrics", "--metrics-token", "--metrics-cert", "--metrics-key", "--trace"),
}
"""Flags of ``streamseg run`` that are not options of nodes."""


def run_parser() -> Parser:
    """The parser of ``streamseg run``, with its arguments."""
    parser = make_parser()
    with pytest.raises(UsageError):
        parser.parse_args(["run", "--no-such-flag"])
    commands = next(each for each in parser._actions if isinstance(each, argparse._SubParsersAction))
    run: Parser = commands.choices["run"]
    return run


def options_of(node: str, *words: str) -> dict[str, Any]:
    """What a command line tells a node."""
    return asked_for(make_parser().parse_args(["run", *words])).nodes[node].options


def help_of(*words: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_every_flag_and_keyword_is_an_option_of_a_node() -> None:
    known = named_options()
    flags = {flag for flag in run_parser()._option_string_actions if flag.startswith("--")}
    both_ways = {"--no-live"}
    assert flags == {*OWN, *both_ways, *(option.flag for option in known.values())}
    assert set(typing.get_type_hints(Keywords)) == set(named_options(OF_A_LOOP)) <= set(known)


def test_a_new_option_of_a_node_is_a_flag_and_a_keyword(
    video: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_as_cleanup(Brushed, monkeypatch)
    assert "--bristles N          hairs of the brush (default: 3)" in help_of("run", "--help", capsys=capsys)
    assert options_of("cleanup", str(video), *BOX, "--bristles", "5") == {"bristles": 5}
    streamseg.segment_video(video, boxes=[(0, 0, 18, 18)], bristles=5).close()  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="bristles"):
        streamseg.segment_video(video, boxes=[(0, 0, 18, 18)], bristles=50)  # type: ignore[call-arg]
    assert main(["run", str(video), *BOX, "--bristles", "50"]) == 2
    assert "--bristles: expected a whole number from 1 to 9, got '50'" in capsys.readouterr().err


# Option, what is typed or given in its place, what is meant.
UNKNOWN = [("max_frames", "max_frame"), ("live", "lvie"), ("start", "strat")]


@pytest.mark.parametrize(("right", "wrong"), UNKNOWN)
def test_an_unknown_option_is_refused_alike_at_every_door(
    right: str, wrong: str, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flag, wrong_flag = (f"--{name.replace('_', '-')}" for name in (right, wrong))
    graph = light_graph(tmp_path, video)
    plain = yaml.safe_load(graph.read_text())
    plain["nodes"]["decode"]["options"][wrong] = 1
    graph.write_text(yaml.safe_dump(plain))
    doors: dict[str, list[str]] = {
        f"there is no option '{wrong_flag}'; did you mean '{flag}'?": ["run", str(video), *BOX, wrong_flag, "1"],
        f"unknown key '{wrong}'; did you mean '{right}'?": ["run", str(video), *BOX, "--set", f"decode.{wrong}=1"],
        f"the options of node 'decode': unknown key '{wrong}'; did you mean '{right}'?": ["check", str(graph)],
    }
    for complaint, words in doors.items():
        assert main(words) == UsageError.exit_code
        assert complaint in capsys.readouterr().err
    with pytest.raises(UsageError, match=f"there is no option '{wrong}'; did you mean '{right}'?"):
        streamseg.segment_video(video, boxes=[(0, 0, 18, 18)], **{wrong: 1})  # type: ignore[arg-type]


def test_an_unknown_keyword_may_be_meant_for_one_that_is_no_option(video: Path) -> None:
    with pytest.raises(UsageError, match="there is no option 'box'; did you mean 'boxes'"):
        streamseg.segment_video(video, box=(0, 0, 18, 18))  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="there is no option 'overlay'"):
        streamseg.segment_video(video, boxes=[(0, 0, 18, 18)], overlay=False)  # type: ignore[call-arg]


def test_rare_flags_are_shown_when_asked_for_and_hold_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    short, long = (help_of("run", word, capsys=capsys) for word in ("--help", "--help-all"))
    for option in named_options().values():
        assert option.flag in long
        assert (option.flag in short) != option.about.rare
    assert options_of("embed", "clip.mp4", *BOX, "--batch", "4") == {"batch": 4}


def test_flags_beside_a_graph_file_are_for_its_nodes(video: Path, tmp_path: Path) -> None:
    graph = str(light_graph(tmp_path, video))
    words = ("--max-frames", "3", "--no-live", "--no-overlay", "-o", "elsewhere", "--set", "square.sleep_s=0.5")
    decode, record = (options_of(node, graph, *words) for node in ("decode", "record"))
    assert decode == {"source": str(video), "live": False, "max_frames": 3}
    assert record == {"output": "elsewhere", "overlay": False}
    assert options_of("square", graph, *words) == {"sleep_s": 0.5}
    with pytest.raises(UsageError, match="--focus needs a graph with one embed node, this one has 0"):
        options_of("decode", graph, "--focus", "off")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--max-frames", "0"), "--max-frames: expected a whole number of 1 or more, got '0'"),
        (("--max-frames", "1:30"), "expected a whole number of 1 or more, got '1:30'"),
        (("--max-frames", "1.5"), "expected a whole number of 1 or more, got '1.5'"),
        (("--start", "-1"), "expected a whole number of 0 or more, got '-1'"),
        (("--alpha", "1.5"), "--alpha: expected a number from 0 to 1, got '1.5'"),
        (("--alpha", "nan"), "expected a number from 0 to 1, got 'nan'"),
        (("--image-fps", "0"), "--image-fps: expected a number above 0, got '0'"),
        (("--keep", "largets"), "--keep: there is no 'largets'; did you mean 'largest'"),
        (("--fill-holes-px", "-3"), "fill_holes_px is a number of pixels from 0, got -3"),
        (("--set", "record.alpha"), "expected NODE.OPTION=VALUE, such as record.alpha=0.3, got 'record.alpha'"),
        (("--set", "record.alpha={"), "expected a value in YAML after record.alpha="),
        (("--set", "recrod.alpha=1"), "the graph has no node 'recrod'; did you mean 'record'?"),
        (("--set", "propagate.tracking.moton=1"), "unknown key 'moton' in 'tracking'; did you mean 'motion'?"),
        (("--publish-key", "k"), "expected --publish ADDR with --publish-key"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(
    words: tuple[str, ...], complaint: str, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(video), *BOX, "-o", str(tmp_path / "new"), *words]) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_values_of_every_kind_are_read() -> None:
    kinds: dict[str, tuple[Any, Any, list[str], Any]] = {
        "count": (int, 1, ["--count", "-7"], -7),
        "share": (float | None, None, ["--share", "1e-3"], 0.001),
        "word": (str, "", ["--word", "12"], "12"),
        "on": (bool, False, ["--on"], True),
        "off": (bool, True, ["--no-off"], False),
        "both": (bool | None, None, ["--no-both"], False),
        "sizes": (list[int], [], ["--sizes", "[1, 2]"], [1, 2]),
        "either": (int | str, 1, ["--either", "auto"], "auto"),
        "part": (Annotated[int, msgspec.Meta(ge=0, le=2)], 0, ["--part", "2"], 2),
        "level": (typing.Literal[0, 1], 0, ["--level", "1"], 1),
    }
    options = [
        NamedOption(
            name=name,
            flag="--no-off" if name == "off" else f"--{name}",
            nodes=("any",),
            field=name,
            type=kind,
            default=default,
            about=Option(f"100% {name}"),
        )
        for name, (kind, default, _, _) in kinds.items()
    ]
    parser = Parser(prog="x")
    add_options(parser, options)
    assert "100% count" in parser.format_help() and "--count COUNT" in parser.format_help()
    assert given_options(parser.parse_args([])) == {}
    words = [word for _, _, given, _ in kinds.values() for word in given]
    assert given_options(parser.parse_args(words)) == {name: value for name, (_, _, _, value) in kinds.items()}
