"""A live run that is told of objects while it goes on: `streamseg prompt`, `streamseg.send_prompt`, and bad manners."""

from __future__ import annotations

import json
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest
import zmq
from support.command import eventually, running, streamseg, tracks
from support.media import StreamServer

import streamseg as library
from streamseg.commands import LARGEST_BYTES, Applied, Refused, Response
from streamseg.errors import PromptError, RunError, UsageError
from streamseg.runtime.library.prompting import command_of
from streamseg.transport.command_socket import CommandServer

ROOT = Path(__file__).parents[3]
BOX = [40, 20, 70, 50]


@pytest.fixture
def control(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A path that is short enough for a socket."""
    return tmp_path_factory.mktemp("c") / "s"


def test_a_live_run_takes_prompts_and_says_from_which_frame_on_they_hold(tmp_path: Path, control: Path) -> None:
    words = ("-o", tmp_path / "results", "--no-overlay", "--control", control, "--box=0,0,20,20", "--live")
    with StreamServer("mpegts") as server, running("run", server.url, *words) as run:
        assert eventually(control.exists, 100)
        assert stat.S_IMODE(control.stat().st_mode) == 0o600
        added = library.send_prompt(control, {"label": "late", "box": BOX})
        assert (added.what, added.id, added.stream) == ("added", 2, "decode")
        done = streamseg("prompt", control, "--id", 2, "--point=50,30", "--json")
        assert done.returncode == 0, done.stderr
        corrected = json.loads(done.stdout)
        assert (corrected["what"], corrected["frame"] > added.frame) == ("corrected", True)
        complaints = {
            "outside the 96x64 frame": {"box": [200, 10, 300, 20]},
            "frame 0 has gone by; the next that is possible is frame": {"frame": 0, "box": BOX},
            "no such object to remove; known are objects 1, 2": {"id": 7, "remove": True},
            "lies outside its box": {"id": 7, "box": BOX, "points": [[1, 1]]},
            "no words": {"text": "a dog"},
            "the command: unknown key 'bx'; did you mean 'box'": {"id": 7, "bx": BOX},
        }
        for complaint, prompt in complaints.items():
            with pytest.raises(PromptError, match=complaint):
                library.send_prompt(control, prompt)
        for name in ("gone", ""):
            with pytest.raises(UsageError, match=r"takes no commands; did you mean|takes no commands"):
                library.send_prompt(control, {"box": BOX}, node=name)
        _vanish(control, {"id": 5, "box": BOX})
        answer = _malformed(control).answer
        assert isinstance(answer, Refused)
        assert (answer.kind, answer.message[:19]) == ("WireError", "not a valid command")
        clients = [_Client(control, {"id": number, "box": BOX}) for number in (11, 12, 13)]
        assert [type(client.answer()) for client in clients] == [Applied] * 3
        sample = [sys.executable, ROOT / "samples" / "live" / "add_and_remove.py", control, "40,20,70,50", "0"]
        done = subprocess.run(sample, capture_output=True, text=True, check=True, timeout=100)
        assert [line[:14] for line in done.stdout.splitlines()] == ["object 3 added", "object 3 remov"]
        removed = library.send_prompt(control, {"id": 2, "remove": True})
        done = streamseg("prompt", control, "--id", 2, "--point=50,30")
        assert done.returncode == 2
        assert "object 2 was removed, and ids are never used again" in done.stderr
        waiting = _Client(control, {"id": 20, "frame": 1_000_000, "box": BOX})
        library.send_prompt(control, {"id": 1, "points": [[9, 9]]})
        run.send(signal.SIGINT)
        code, _, errors = run.wait()
        refused = waiting.answer()
    assert code == 130, errors
    assert isinstance(refused, PromptError)
    assert "at frame 1000000: stream 'decode' ended before" in str(refused)
    assert not control.exists()
    frames: dict[int, list[int]] = {}
    for line in tracks(tmp_path / "results"):
        frames.setdefault(line["id"], []).append(line["frame"])
    assert sorted(frames) == [1, 2, 3, 5, 11, 12, 13], (
        "of those refused there is no trace; one whose sender left is there"
    )
    assert (frames[2][0], frames[2][-1] < removed.frame) == (added.frame, True)
    later = [frame for frame in frames[1] if frame >= removed.frame]
    assert later, "object 1 went on"
    with pytest.raises(RunError, match="no run listens at"):
        library.send_prompt(control, {"box": BOX})


def test_the_loop_of_a_script_takes_prompts(video: Path) -> None:
    with library.segment_video(video, prompts=[]) as results:
        added = results.prompt({"id": 3, "label": "square", "box": [0, 0, 18, 18]})
        refused = results.prompt({"id": 4, "remove": True})
        late = results.prompt({"id": 9, "frame": 5000, "box": [0, 0, 9, 9]})
        seen = {result.index: [found.id for found in result.objects] for result in results}
    first = added.result(timeout=0).frame
    assert [index for index, ids in seen.items() if ids == [3]] == list(range(first, len(seen)))
    assert isinstance(refused.exception(timeout=0), PromptError)
    assert "ended before" in str(late.exception(timeout=0))
    after = results.prompt({"id": 5, "box": [0, 0, 9, 9]})
    assert isinstance(after.exception(timeout=0), RunError)
    with pytest.raises(PromptError, match=r"gone\.png cannot be read"):
        results.prompt({"id": 5, "mask": "gone.png"})


def test_where_a_run_may_listen(tmp_path: Path, control: Path) -> None:
    server = CommandServer(control)
    with pytest.raises(UsageError, match="another run listens"):
        CommandServer(control)
    server.close()
    assert not control.exists()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(control))
    with pytest.raises(RunError, match=r"no run listens at .* any more"):
        library.send_prompt(control, {"box": BOX})
    CommandServer(control).close()  # what a dead run left is replaced
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="is no socket"):
        CommandServer(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
    with pytest.raises(RunError, match="is not the socket of a run"):
        library.send_prompt(tmp_path / "file", {"box": BOX})
    with pytest.raises(UsageError, match="100 bytes at most"):
        CommandServer(tmp_path / ("long" * 30))


def test_nothing_too_large_is_sent_or_received(tmp_path: Path, control: Path) -> None:
    large = tmp_path / "large.png"
    large.write_bytes(bytes(LARGEST_BYTES))
    server = CommandServer(control)
    with pytest.raises(UsageError, match="at most"):
        library.send_prompt(control, {"mask": str(large)})
    with zmq.Context() as context, context.socket(zmq.DEALER) as client:
        client.set(zmq.LINGER, 0)
        client.connect(f"ipc://{control}")
        client.send(bytes(LARGEST_BYTES * 2))
        client.send(b"\xc1")
        assert not client.poll(300), "the connection was closed before anything of it was taken"
        assert list(server.requests()) == []
    server.close()


def test_a_client_hears_that_the_run_died(control: Path) -> None:
    server = CommandServer(control)
    client = _Client(control, {"box": BOX})
    assert eventually(lambda: server.socket.poll(0))
    server.close()
    answer = client.answer()
    assert isinstance(answer, RunError)
    assert "went before it answered" in str(answer)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_prompt_that_waits_says_so_and_is_taken_back(tmp_path: Path, control: Path, number: signal.Signals) -> None:
    """As while a camera is away: its frame does not come."""
    words = ("-o", tmp_path / "results", "--no-overlay", "--control", control, "--box=0,0,20,20", "--live")
    with StreamServer("mpegts") as server, running("run", server.url, *words) as run:
        assert eventually(control.exists, 100)
        with running("prompt", control, "--frame", "1000000", "--box=40,20,70,50") as prompt:
            assert prompt.process.stderr is not None
            assert "waits for its frame" in prompt.process.stderr.readline()
            prompt.send(number)
            code, _, errors = prompt.wait()
        assert code == 130
        assert "taken back before it came into force" in errors
        # Its id is free again: nothing waits for it any more.
        assert library.send_prompt(control, {"id": 2, "box": BOX}).what == "added"
        run.send(signal.SIGINT)
        assert run.wait()[0] == 130


class _Client:
    """Sends a prompt from a thread of its own and waits there for the answer."""

    def __init__(self, control: Path, prompt: dict[str, object]) -> None:
        self._answer: list[object] = []
        self._thread = threading.Thread(target=self._ask, args=(control, prompt))
        self._thread.start()

    def _ask(self, control: Path, prompt: dict[str, object]) -> None:
        try:
            self._answer.append(library.send_prompt(control, prompt))
        except (PromptError, RunError) as error:
            self._answer.append(error)

    def answer(self) -> object:
        self._thread.join(100)
        return self._answer[0] if self._answer else None


def _vanish(control: Path, prompt: dict[str, object]) -> None:
    """Send a command and go without waiting for the answer."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as client:
        client.set(zmq.LINGER, 2000)
        client.connect(f"ipc://{control}")
        client.send(msgspec.msgpack.encode([1, None, msgspec.Raw(command_of(prompt))]))


def _malformed(control: Path) -> Response:
    with zmq.Context() as context, context.socket(zmq.DEALER) as client:
        client.set(zmq.LINGER, 0)
        client.connect(f"ipc://{control}")
        client.send(b"\xc1 nothing of the kind")
        assert client.poll(20_000)
        return msgspec.msgpack.decode(client.recv(), type=Response)
