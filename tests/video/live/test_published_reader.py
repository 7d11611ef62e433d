"""What one streamseg publishes is a source for another."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from streamseg_nodes.publish import Publish
from support.bright_nodes import drawn
from support.camera import HEIGHT, WIDTH, number_of, numbered_image
from support.command import eventually, light_graph, running, streamseg, tracks

from streamseg.errors import MediaError, UsageError
from streamseg.messages import SourceStatus
from streamseg.node import NodeContext
from streamseg.publishing import format, keys
from streamseg.video.live.published_reader import PublishedReader, Publisher, parse_publisher
from streamseg.video.open import SourceEvent, classify, open_source

LABELS = np.zeros((HEIGHT, WIDTH), np.uint16)


class Sending:
    """A publisher that sends numbered pictures, one every 20 ms."""

    def __init__(self, streams: tuple[str, ...] = ("s",), first: int = 0, step: int = 1, **options: Any) -> None:
        options = {"bind": "tcp://127.0.0.1:*", "image": "jpeg", **options}
        self.node = Publish(Publish.Config(**options), NodeContext("publish", streams=streams))
        self.node.setup()
        self.endpoint = self.node.describe()["endpoint"]
        self.source = self.endpoint.replace("ipc://", "streamseg://").replace("tcp://", "streamseg://")
        self._streams, self._next, self._step = streams, first, step
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    def _send(self) -> None:
        while not self._stopping.wait(0.02):
            for stream in self._streams:
                message = drawn(self._next, LABELS, (), stream=stream, captured_clock="sender")
                frame = msgspec.structs.replace(message.frame, image_rgb=numbered_image(self._next))
                self.node.process(msgspec.structs.replace(message, frame=frame))
            self._next += self._step

    def stop(self, *, end: bool = True) -> None:
        self._stopping.set()
        self._thread.join()
        if end:
            for stream in self._streams:
                self.node.finish(stream)
        self.node.close()


@contextmanager
def sending(*args: Any, **options: Any) -> Iterator[Sending]:
    made = Sending(*args, **options)
    try:
        yield made
    finally:
        if not made._stopping.is_set():
            made.stop()


def test_what_is_named() -> None:
    assert parse_publisher("streamseg://10.0.0.5:5560") == Publisher("tcp://10.0.0.5:5560", None)
    assert parse_publisher("streamseg://[::1]:5560?stream=door") == Publisher("tcp://[::1]:5560", "door")
    assert parse_publisher("streamseg:///run/s.sock") == Publisher("ipc:///run/s.sock", None)
    assert classify("streamseg://127.0.0.1:5560") == "published"


def test_pictures_come_with_their_numbers_and_times_until_the_publisher_ends() -> None:
    with sending(step=3) as sent, open_source(sent.source) as reader:
        assert (reader.info.width, reader.info.height, reader.info.codec, reader.live) == (WIDTH, HEIGHT, "jpeg", True)
        seen = [next(reader) for _ in range(4)]
        shown = [number_of(picture.to_rgb()) for picture in seen]
        sent.stop()
        rest = list(reader)
    first = shown[0]
    assert shown == sorted(set(shown))
    assert [picture.index for picture in seen] == [number - first for number in shown]
    assert [picture.pts_s - shown[0] / 10 for picture in seen] == pytest.approx([(n - first) / 10 for n in shown])
    assert [picture.captured_ns for picture in seen] == [1_000 + number for number in shown]
    assert {picture.captured_clock for picture in seen} == {"sender"}
    assert reader.dropped["missed"] == [*seen, *rest][-1].index - len(seen) - len(rest) + 1


def test_by_a_socket_of_this_machine_and_of_several_streams_one(tmp_path: Path) -> None:
    address = f"ipc://{tmp_path}/s"
    with sending(("door", "yard"), bind=address) as sent:
        with open_source(f"{sent.source}?stream=yard") as reader:
            assert reader.info.width == WIDTH and next(reader).index == 0
            assert not reader.notes
        with open_source(sent.source) as reader:
            for _ in range(3):
                next(reader)
            assert any("?stream=" in note for note in reader.notes)


def test_a_publisher_that_comes_later_and_comes_back_is_waited_for(tmp_path: Path) -> None:
    events: list[SourceEvent] = []
    address = f"ipc://{tmp_path}/s"
    source = f"streamseg://{tmp_path}/s"
    sent = Sending(bind=address)
    with open_source(source, read_timeout_s=0.5, on_event=events.append) as reader:
        first = next(reader).index
        sent.stop(end=False)
        restart = threading.Timer(1.6, lambda: started.append(Sending(bind=address)))
        started: list[Sending] = []
        restart.start()
        last = first
        while not reader.reconnects:
            before, last = last, next(reader).index
            assert last > before
        restart.join()
        started[0].stop()
        list(reader)
    states = [event.state for event in events]
    assert (states[0], states[-1]) == ("lost", "back") and "reconnecting" in states


def test_what_its_source_goes_through_is_passed_on() -> None:
    events: list[SourceEvent] = []
    with sending() as sent, open_source(sent.source, on_event=events.append) as reader:
        next(reader)
        sent.node.status(SourceStatus("s", "lost", "cable", 5, 0))
        deadline_s = time.monotonic() + 20
        while not events and time.monotonic() < deadline_s:
            next(reader)
    assert (events[0].state, events[0].reason, events[0].since_ns) == ("lost", "cable", 5)


def test_the_stream_is_the_first_of_which_a_picture_comes() -> None:
    """Not one of which something else is said: here of another one, and of none by a later version."""
    with sending() as sent, open_source(sent.source, wait=True) as reader:
        assert isinstance(reader, PublishedReader)
        other = msgspec.msgpack.encode({"kind": "weather", "v": 1})
        reader._stream = None
        for parts in ([b"x", other], format.encode_end("other"), format.encode_heartbeat("other", None, 0)):
            assert not reader._is_ours(format.decode(parts).header)
        assert next(reader).width == WIDTH
        assert reader._stream == "s" and not reader.notes


def test_results_without_pictures_are_no_source() -> None:
    with (
        sending(image="none") as sent,
        pytest.raises(MediaError, match="only results are published there; start that run with --publish-image jpeg"),
    ):
        open_source(sent.source)


def test_raw_pictures_come_as_they_are_and_large_ones_are_refused() -> None:
    with sending(image="raw") as sent:
        with open_source(sent.source) as reader:
            image = next(reader).to_rgb()
            assert np.array_equal(image, numbered_image(number_of(image)))
        with pytest.raises(MediaError, match="at most 100 pixels"):
            open_source(sent.source, max_pixels=100)


def test_nobody_there_is_said() -> None:
    with pytest.raises(MediaError, match=r"none came within 0\.3 s"):
        open_source("streamseg://127.0.0.1:9", open_timeout_s=0.3)


def test_with_keys_a_friend_sees_and_a_stranger_is_told_so(tmp_path: Path) -> None:
    server, friend, stranger = (keys.make(name, tmp_path) for name in ("server", "friend", "stranger"))
    allowed = tmp_path / "list"
    allowed.mkdir(mode=0o755)
    (allowed / friend.public.name).write_bytes(friend.public.read_bytes())
    (allowed / friend.public.name).chmod(0o644)
    with sending(bind="tcp://127.0.0.1:*", key=str(server.secret), allow=str(allowed)) as sent:
        with open_source(sent.source, own_key=friend.secret, server_key=server.public) as reader:
            assert next(reader).index == 0
        with pytest.raises(MediaError, match="does not know our key"):
            open_source(sent.source, own_key=stranger.secret, server_key=server.public)
        with pytest.raises(MediaError, match="lets in only who has a key"):
            open_source(sent.source)
        with pytest.raises(UsageError, match="server_key is missing"):
            open_source(sent.source, own_key=friend.secret)


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("streamseg://", "expected a publisher as"),
        ("streamseg://host:1?topic=x", "expected a publisher as"),
        ("streamseg://host", "expected a publisher as"),
        ("streamseg://me:secret@host:1", r"got 'streamseg://\*\*\*@host:1'"),
    ],
)
def test_what_names_no_publisher_is_refused(source: str, complaint: str) -> None:
    with pytest.raises(MediaError, match=complaint):
        open_source(source)


def test_keys_are_for_publishers(tmp_path: Path) -> None:
    done = streamseg("run", "test://", "--box", "1,1,9,9", "--own-key", "me.key_secret", cwd=tmp_path)
    assert done.returncode == 2 and "own_key and server_key are for a source streamseg://" in done.stderr


def test_one_run_reads_what_another_publishes(tmp_path: Path) -> None:
    address, source = f"ipc://{tmp_path}/s", f"streamseg://{tmp_path}/s"
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    first = light_graph(tmp_path / "one", Path("unused"))
    text = first.read_text().replace("unused", "test://?size=96x64&fps=20").replace("live: false", "live: null")
    text = text.replace("-> record", "-> record\n- square -> publish").replace(
        "  record:", f"  publish:\n    options: {{bind: '{address}', image: jpeg}}\n  record:"
    )
    first.write_text(text)
    second = light_graph(tmp_path / "two", Path("unused"))
    second.write_text(second.read_text().replace("unused", source).replace("live: false", "live: null"))
    with running("run", first) as one, running("run", second) as two:
        results = tmp_path / "two" / "results"
        assert eventually(lambda: (results / "tracks.jsonl").exists() and len(tracks(results)) > 20, 60)
        one.send(signal.SIGINT)
        assert one.wait()[0] == 130
        code, _, errors = two.wait()  # the publisher has said that it is over
    assert code == 0, errors
