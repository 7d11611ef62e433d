"""Bad input: one clear line, the right exit code, no traceback, and nothing left in the output folder."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from support.command import streamseg, told
from support.media import FileServer, moving_images, write_video

BOX = ("--box", "0,0,18,18")

# What is typed after "streamseg", exit code, class of the error, words of its line.
CASES: dict[str, tuple[tuple[str, ...], int, str, tuple[str, ...]]] = {
    "missing file": (("run", "gone.mp4", *BOX), 3, "MediaError", ("gone.mp4",)),
    "not a video": (("run", "text.mp4", *BOX), 3, "MediaError", ("text.mp4",)),
    "no video stream": (("run", "sound.mp4", *BOX), 3, "MediaError", ("sound.mp4", "video")),
    "zero frames": (("run", "empty.mp4", *BOX), 3, "MediaError", ("empty.mp4",)),
    "empty folder": (("run", "folder", *BOX), 3, "MediaError", ("folder",)),
    "no prompt": (("run", "clip.mp4"), 2, "PromptError", ("--box", "--point")),
    "only negatives": (("run", "clip.mp4", "--negative", "3,3"), 2, "PromptError", ("--point",)),
    "box of three": (("run", "clip.mp4", "--box", "1,2,3"), 2, "PromptError", ("four numbers", "got 3")),
    "box of words": (("run", "clip.mp4", "--box", "a,b,c,d"), 2, "UsageError", ("--box", "'a,b,c,d'")),
    "box with NaN": (("run", "clip.mp4", "--box", "1,2,nan,4"), 2, "PromptError", ("finite", "nan")),
    "inverted box": (("run", "clip.mp4", "--box", "18,0,0,18"), 2, "PromptError", ("x0 < x1",)),
    "empty box": (("run", "clip.mp4", "--box", "5,5,5,9"), 2, "PromptError", ("no area",)),
    "box outside": (
        ("run", "clip.mp4", "--box", "-50,-50,-9,-9", "-o", "new", "--inline"),
        2,
        "PromptError",
        ("-50", "160x120"),
    ),
    "points and boxes": (
        ("run", "clip.mp4", *BOX, "--box", "20,20,30,30", "--point", "3,3"),
        2,
        "PromptError",
        ("--prompts",),
    ),
    "no words": (("run", "clip.mp4", "--text", " , "), 2, "GraphError", ("words that say what to find", "--text")),
    "text in a file": (
        ("run", "clip.mp4", "--prompts", "words.yaml"),
        2,
        "PromptError",
        ("words.yaml, entry 1", "'a dog'", "detector"),
    ),
    "entry of a file": (
        ("run", "clip.mp4", "--prompts", "prompts.yaml"),
        2,
        "PromptError",
        ("prompts.yaml, entry 3", "removed", "id 3"),
    ),
    "missing prompts": (("run", "clip.mp4", "--prompts", "gone.yaml"), 2, "PromptError", ("gone.yaml",)),
    "flags beside a file": (
        ("run", "clip.mp4", "--prompts", "prompts.yaml", "--frame", "0", *BOX),
        2,
        "PromptError",
        ("prompts.yaml", "--box", "--frame"),
    ),
    "control inline": (
        ("run", "clip.mp4", *BOX, "--control", "c", "--inline"),
        2,
        "UsageError",
        ("--control", "--inline"),
    ),
    "control of nobody": (("run", "good.yaml", "--control", "c"), 2, "GraphError", ("takes commands", "c")),
    "control is a file": (
        ("run", "clip.mp4", *BOX, "--control", "text.mp4"),
        2,
        "UsageError",
        ("text.mp4", "no socket"),
    ),
    "frame of words": (("run", "clip.mp4", *BOX, "--frame", "last"), 2, "UsageError", ("--frame", "'last'")),
    "prompts of a graph": (("check", "prompted.yaml"), 2, "PromptError", ("prompts.yaml, entry 3",)),
    "source among the results": (
        ("run", "clip.mp4", *BOX, "-o", ".", "--overwrite"),
        2,
        "UsageError",
        ("clip.mp4", "overwritten"),
    ),
    "unknown option": (("run", "clip.mp4", *BOX, "--overwite"), 2, "UsageError", ("--overwrite",)),
    "unknown command": (("rnu",), 2, "UsageError", ("'run'",)),
    "unknown model": (("run", "clip.mp4", *BOX, "--model", "vit_x"), 4, "ModelError", ("vit_x", "did you mean 'vit_")),
    "unknown focus": (("run", "clip.mp4", *BOX, "--focus", "onn"), 2, "UsageError", ("'on'",)),
    "no frames": (("run", "clip.mp4", *BOX, "--max-frames", "0"), 2, "UsageError", ("--max-frames", "'0'")),
    "missing checkpoint": (("run", "clip.mp4", *BOX, "--checkpoint", "no.pth"), 4, "CheckpointError", ("no.pth",)),
    "bad checkpoint": (
        ("run", "clip.mp4", *BOX, "--checkpoint", "text.pth", "--inline"),
        4,
        "CheckpointError",
        ("text.pth",),
    ),
    "no such device": (
        ("run", "clip.mp4", *BOX, "--device", "cuda:77", "--inline"),
        6,
        "DeviceError",
        ("cuda:77", "cpu"),
    ),
    "folder not empty": (("run", "clip.mp4", *BOX, "-o", "full"), 5, "OutputError", ("full", "--overwrite")),
    "output is a file": (("run", "clip.mp4", *BOX, "-o", "text.mp4"), 5, "OutputError", ("text.mp4", "is a file")),
    "missing graph": (("run", "gone.yaml"), 2, "GraphError", ("gone.yaml",)),
    "box beside a graph": (("run", "good.yaml", *BOX), 2, "UsageError", ("--box", "graph file")),
    "unknown node": (("check", "node.yaml"), 2, "GraphError", ("'decode'",)),
    "unknown node option": (("check", "option.yaml"), 2, "GraphError", ("'source'",)),
    "unknown key": (("check", "key.yaml"), 2, "GraphError", ("'options'",)),
    "not YAML": (("check", "text.yaml"), 2, "GraphError", ("text.yaml",)),
    "loop": (("check", "loop.yaml"), 2, "GraphError", ("loop", "feedback")),
    "ports do not fit": (("check", "ports.yaml"), 2, "GraphError", ("decode -> record", "Frame", "Segmented")),
}

GOOD = """
nodes:
  decode: {options: {source: clip.mp4}}
  square: {use: "support.segmenting:Square"}
  record: {options: {output: results}}
links: [decode -> square -> record]
"""


PROMPTED = """
nodes:
  decode: {options: {source: clip.mp4}}
  embed:
  propagate: {options: {prompts: prompts.yaml}}
  record: {options: {output: results}}
links: [decode -> embed -> propagate -> record]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files good and bad."""
    folder = tmp_path_factory.mktemp("bad")
    write_video(folder / "clip.mp4", moving_images(5, 160, 120))
    for name in ("text.mp4", "text.pth"):
        (folder / name).write_text("nothing of the kind\n" * 50)
    (folder / "text.yaml").write_text("nodes: [unclosed\n")
    (folder / "folder").mkdir()
    (folder / "full").mkdir()
    (folder / "full" / "mine.txt").write_text("mine")
    _sound_only(folder / "sound.mp4")
    _no_frames(folder / "empty.mp4")
    graphs = {
        "good": GOOD,
        "node": GOOD.replace("decode: {options", "decode: {use: decoed, options"),
        "option": GOOD.replace("source:", "sorce:"),
        "key": GOOD.replace("{options: {output", "{option: {output"),
        "loop": GOOD.replace("[decode -> square -> record]", "[decode -> square -> record, record -> square]"),
        "ports": GOOD.replace("decode -> square -> record", "decode -> record, decode -> square"),
    }
    graphs["prompts"] = (
        "- {id: 1, box: [0, 0, 9, 9]}\n- {id: 1, frame: 2, remove: true}\n"
        "- {id: 1, frame: 3, box: [1, 1, 9, 9]}\n- {box: [0, 0, 9, 9]}"
    )
    graphs["words"] = "- {text: a dog}"
    graphs["prompted"] = PROMPTED
    for name, text in graphs.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def _sound_only(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _no_frames(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()


# A process each: those that get as far as a frame, and one that does not. The others are told by the same function.
AS_PROCESSES = ("box outside", "bad checkpoint", "no such device", "missing file")


def check_refused(folder: Path, name: str, done: subprocess.CompletedProcess[str]) -> None:
    words, code, kind, expected = CASES[name]
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("streamseg: error: ")]
    assert len(errors) == 1
    assert errors[0] == done.stderr.splitlines()[-1]
    for word in expected:
        assert word in errors[0]
    if words[0] == "run":
        error = json.loads(done.stdout)["error"]
        assert (error["kind"], error["exit_code"]) == (kind, code)
        assert errors[0].endswith(error["message"])
    assert not (folder / "out").exists()
    assert [path.name for path in (folder / "full").iterdir()] == ["mine.txt"]


def words_of(name: str) -> list[str]:
    words = CASES[name][0]
    return [*words, "--json"] if words[0] == "run" else list(words)


@pytest.mark.parametrize("name", AS_PROCESSES)
def test_bad_input(folder: Path, name: str) -> None:
    check_refused(folder, name, streamseg(*words_of(name), cwd=folder))


@pytest.mark.parametrize("name", [name for name in CASES if name not in AS_PROCESSES])
def test_bad_input_before_anything_starts(folder: Path, name: str) -> None:
    check_refused(folder, name, told(*words_of(name), cwd=folder))


def test_an_error_of_the_first_frame_is_not_waited_for(folder: Path, tmp_path: Path) -> None:
    """With focus, embed waits for what propagate says back, which has failed."""
    done = streamseg("run", "clip.mp4", "--box", "900,900,950,950", "-o", tmp_path / "results", "-vv", cwd=folder)
    assert done.returncode == 2, done.stderr
    assert "lies outside the 160x120 frame" in done.stderr.splitlines()[-1]
    assert "not every sink finished" not in done.stderr


@pytest.mark.parametrize("name", ["x" * 300, "a\0b"], ids=["long", "zero"])
def test_names_that_the_system_refuses(folder: Path, name: str) -> None:
    entries = [("mask", {"mask": name}), ("prompts", None)]
    for what, entry in entries:
        if entry is not None:
            (folder / "named.json").write_text(json.dumps([entry]))
        words = ("--prompts", "named.json") if what == "mask" else (*BOX, "-o", name.replace("\0", "") * 2 + "x" * 300)
        done = streamseg("run", "clip.mp4", *words, cwd=folder)
        assert done.returncode in (1, 2), done.stderr
        assert "Traceback" not in done.stderr
        assert done.stderr.splitlines()[-1].startswith("streamseg: error: ")


def test_too_few_files_may_be_open(folder: Path, tmp_path: Path) -> None:
    import resource

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))

    done = streamseg("run", "clip.mp4", *BOX, "-o", tmp_path / "results", cwd=folder, preexec_fn=few)
    assert done.returncode in (1, 7), done.stderr
    assert "ulimit -n" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_prompt_beyond_the_end_of_a_file_is_refused(folder: Path, tmp_path: Path) -> None:
    done = streamseg("run", "clip.mp4", *BOX, "--frame", "5", "-o", tmp_path / "results", cwd=folder)
    assert done.returncode == 2
    assert "frame 5" in done.stderr and "has 5 frames, 0 to 4" in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_prompt_beyond_the_end_of_what_a_url_seems_to_have_is_said_early(folder: Path, tmp_path: Path) -> None:
    with FileServer(folder) as server:
        done = streamseg("run", f"{server.url}/clip.mp4", *BOX, "--frame", "5", "-o", tmp_path / "results", cwd=folder)
    lines = done.stderr.splitlines()
    assert "frame 5" in lines[1] and "5 frames" in lines[1] and "warning" in lines[1], done.stderr
    assert done.returncode == 2


def test_address_in_use(folder: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        done = streamseg("run", "clip.mp4", *BOX, "--publish", address, "-o", tmp_path / "results", cwd=folder)
    assert done.returncode == 5, done.stderr
    assert address in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


# Root may do anything; one that has let go of that right (capabilities 1 and 2) may do what modes of files allow.
WITHOUT_PRIVILEGES = """
import ctypes, os, sys
for capability in (1, 2):
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)
os.execv(sys.executable, [sys.executable, "-m", "streamseg", *sys.argv[1:]])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="capabilities are Linux's")
def test_no_permission(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o555)
    shutil.copy(folder / "clip.mp4", tmp_path / "closed.mp4")
    (tmp_path / "closed.mp4").chmod(0)
    cases = [("clip.mp4", tmp_path / "closed" / "results", 5), (tmp_path / "closed.mp4", tmp_path / "new", 3)]
    for source, output, code in cases:
        command = [sys.executable, "-c", WITHOUT_PRIVILEGES, "run", str(source), *BOX, "-o", str(output)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == code, done.stderr
        assert "closed" in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr
