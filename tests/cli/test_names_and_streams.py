"""Sources with odd names, pipes in the place of files, standard streams that are closed, Ctrl-C at the beginning."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.command import COMMAND, eventually, light_graph, streamseg
from support.media import moving_images, write_video

from streamseg.cli.interrupts import Interrupts
from streamseg.errors import MediaError, UsageError
from streamseg.jobs import Job
from streamseg.node import NodeContext
from streamseg.runtime.library import given

BOX = "0,0,18,18"
RUN = " ".join([*COMMAND, "run"])


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("clip") / "clip.ts", moving_images(5))


def shell(command: str, folder: Path, **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, capture_output=True, text=True, timeout=100, check=False, **settings
    )


def masks_in(folder: Path) -> int:
    return len(list(folder.glob("masks/*.png")))


@pytest.mark.parametrize(
    "closing", [*(pytest.param(each, marks=pytest.mark.slow) for each in ("<&-", ">&-", "2>&-")), "<&- >&- 2>&-"]
)
def test_a_run_with_closed_standard_streams_is_like_any_other(clip: Path, tmp_path: Path, closing: str) -> None:
    done = shell(f"{RUN} {light_graph(tmp_path, clip)} {closing}", tmp_path)
    assert done.returncode == 0, done.stderr
    assert masks_in(tmp_path / "results") == 5
    assert (tmp_path / "results" / "run.json").exists()


@pytest.mark.parametrize(
    "command",
    [
        "cat {clip} | {run} - --box {box}",
        pytest.param("cat {clip} | {run} /dev/stdin --box {box} -o out/stdin", marks=pytest.mark.slow),
        "{run} <(cat {clip}) --box {box}",
        pytest.param("{run} - --box {box} <{clip}", marks=pytest.mark.slow),
    ],
)
def test_a_video_that_comes_through_a_pipe_is_read_to_its_end(clip: Path, tmp_path: Path, command: str) -> None:
    done = shell(command.format(clip=clip, run=RUN, box=BOX), tmp_path)
    assert done.returncode == 0, done.stderr
    assert masks_in(tmp_path / "out" / "stdin") == 5


def test_standard_input_in_a_graph_file_is_refused_at_once(tmp_path: Path) -> None:
    done = shell(f"echo x | {RUN} {light_graph(tmp_path, Path('/dev/stdin'))}", tmp_path)
    assert done.returncode == 2
    assert "give it on the command line" in done.stderr


def test_a_closed_standard_input_and_a_terminal_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="but that is closed"):
        given.source("/dev/fd/973")
    master, terminal = os.openpty()
    try:
        with pytest.raises(UsageError, match="but that is a terminal"):
            given.source(f"/dev/fd/{terminal}")
    finally:
        os.close(master)
        os.close(terminal)


def test_what_was_read_from_a_pipe_is_not_gone_on_with(tmp_path: Path) -> None:
    from streamseg_nodes.decode import Decode

    os.mkfifo(tmp_path / "pipe")
    node = Decode(Decode.Config(source=str(tmp_path / "pipe")), NodeContext("decode", job=Job(facts={}, begun=True)))
    with pytest.raises(MediaError, match="it is a pipe, and what was read from it is gone"):
        node.setup()


@pytest.mark.parametrize(
    "name",
    ["rtsp:clip.ts", *(pytest.param(name, marks=pytest.mark.slow) for name in ("2024-05-01T12:30:00.ts", "a%03d.ts"))],
)
def test_a_colon_in_a_name_is_no_protocol(clip: Path, tmp_path: Path, name: str) -> None:
    os.link(clip, tmp_path / name)
    done = streamseg("run", name, "--box", BOX, "-o", "12:30", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    assert masks_in(tmp_path / "12:30") == 5


def test_a_name_that_is_not_utf_8_and_a_link_to_itself_are_refused_in_a_sentence(clip: Path, tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/lat\xe9in.ts"
    os.link(os.fsencode(clip), odd)
    (tmp_path / "loop.ts").symlink_to("loop.ts")
    for name, code, sentence in ((odd, 2, b"expected names in UTF-8"), (b"loop.ts", 3, b"symbolic links")):
        words = [*map(os.fsencode, COMMAND), b"run", name, b"--box", BOX.encode()]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, timeout=100, check=False)
        assert done.returncode == code
        assert sentence in done.stderr and b"Traceback" not in done.stderr


def test_images_with_names_that_are_not_utf_8_are_read(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    from PIL import Image

    for number, image in enumerate(moving_images(3)):
        Image.fromarray(image).save(images / "x.png")
        os.rename(images / "x.png", os.fsencode(images) + b"/\xe9%d.png" % number)  # noqa: PTH104
    (images / "damaged.png").write_bytes(b"no image")
    os.rename(images / "damaged.png", os.fsencode(images) + b"/\xe99.png")  # noqa: PTH104
    done = streamseg("run", light_graph(tmp_path, images))
    assert done.returncode == 0, done.stderr
    assert masks_in(tmp_path / "results") == 3


def test_ctrl_c_while_modules_load_ends_with_a_word() -> None:
    script = (
        "import os, signal, time\nfrom streamseg.cli import startup\n"
        "with startup.interruptible():\n    os.kill(os.getpid(), signal.SIGINT)\n    time.sleep(20)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "streamseg: interrupted\n")


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("loaded", ["_multiarray_umath", "zmq"])
def test_ctrl_c_at_the_beginning_of_a_run_ends_it_without_a_traceback(clip: Path, tmp_path: Path, loaded: str) -> None:
    words = [*COMMAND, "run", str(light_graph(tmp_path, clip, live=True))]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        assert eventually(lambda: loaded in Path(f"/proc/{process.pid}/maps").read_text())
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=50)[1]
    assert "Traceback" not in errors
    assert process.returncode == 130


def test_ctrl_c_ends_a_wait() -> None:
    with Interrupts() as interrupts:
        timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        assert interrupts.wait(60)
        timer.join()
        assert interrupts.wait(60)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("words", ["nodes", "--version", "run --help", "run gone.mp4 --box 0,0,9,9 --json"])
def test_standard_output_that_is_full_is_one_sentence(tmp_path: Path, words: str) -> None:
    done = shell(f"{' '.join(COMMAND)} {words} >/dev/full", tmp_path)
    assert done.returncode != 0
    assert "streamseg: error: " in done.stderr and "Traceback" not in done.stderr


def test_nothing_that_takes_time_is_imported_before_ctrl_c_has_a_meaning() -> None:
    script = "import sys\nfor name in ('typing', 're'): sys.modules.pop(name, None)\nimport streamseg\n"
    script += "print(sorted({'typing', 're'} & set(sys.modules)))\n"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
