"""The decode node on real media: files, folders, live streams, and being stopped."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from streamseg_nodes.decode import Decode
from support.media import StreamServer, decode_plainly, moving_images, write_video

from streamseg.errors import GraphError, MediaError, UsageError
from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.messages import Frame, Stamp
from streamseg.node import NodeContext
from streamseg.runtime.supervision.supervisor import Supervisor


def decoder(source: object, context: NodeContext | None = None, **options: Any) -> Decode:
    node = Decode(config.options_of(Decode.Config, {"source": str(source), **options}, "decode"), context)
    node.setup()
    return node


def read(node: Decode, limit: int | None = None) -> list[Frame]:
    frames: list[Frame] = []
    for seq, captured in enumerate(node.produce()):
        stamp = Stamp("d", seq, captured.index, captured.pts, captured.time_base, captured.captured_ns, 0, seq + 1)
        frames.append(captured.make(stamp))
        if len(frames) == limit:
            break
    return frames


def frames_of(source: object, **options: Any) -> list[Frame]:
    node = decoder(source, **options)
    frames = read(node)
    node.close()
    return frames


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", moving_images(30), rate=10)


def test_every_frame_of_a_file_is_exact(clip: Path) -> None:
    before_ns = time.time_ns()
    frames = frames_of(clip)
    expected = decode_plainly(clip)
    assert len(frames) == len(expected) == 30
    for index, (frame, image) in enumerate(zip(frames, expected, strict=True)):
        assert np.array_equal(frame.image_rgb, image)
        assert frame.stamp.index == index
        assert frame.stamp.pts_s == pytest.approx(index / 10)
        assert before_ns <= frame.stamp.captured_ns <= time.time_ns()


def test_pictures_may_be_made_late_and_in_another_thread(clip: Path) -> None:
    node = decoder(clip, NodeContext("decode", threads=2))
    captured = list(node.produce())
    made: list[Frame] = []

    def make() -> None:
        made.extend(c.make(Stamp("d", c.index, c.index, c.pts, c.time_base, 0, 0, 1)) for c in reversed(captured))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    node.close()
    for frame, image in zip(reversed(made), decode_plainly(clip), strict=True):
        assert np.array_equal(frame.image_rgb, image)


def test_start_and_max_frames_cut_without_renumbering(clip: Path) -> None:
    frames = frames_of(clip, start=7, max_frames=5)
    expected = decode_plainly(clip)[7:12]
    assert [frame.stamp.index for frame in frames] == [7, 8, 9, 10, 11]
    assert all(np.array_equal(f.image_rgb, image) for f, image in zip(frames, expected, strict=True))


def test_each_picture_is_written_into_the_frames_own_slot(clip: Path) -> None:
    given: list[np.ndarray] = []

    def empty(stamp: object, shape: Any, dtype: Any) -> np.ndarray:
        given.append(np.empty(shape, dtype))
        return given[-1]

    frames = read(decoder(clip, NodeContext("decode", empty=empty)))
    assert all(frame.image_rgb is array for frame, array in zip(frames, given, strict=True))


def test_it_says_what_it_reads(clip: Path) -> None:
    node = decoder(clip, start=10, max_frames=50)
    assert node.policy == "every-frame"
    assert node.describe() == {
        "source": str(clip),
        "kind": "file",
        "width": 96,
        "height": 64,
        "fps": 10.0,
        "frames": 20,
        "codec": "h264",
        "live": False,
        "pixel_aspect": [1, 1],
        "notes": [],
        "damaged": 0,
        "reconnects": 0,
        "jumps": 0,
        "clock": {},
        "dropped": {},
    }
    node.close()


def test_damaged_frames_are_left_out_and_counted(tmp_path: Path) -> None:
    images = moving_images(20)
    for number, image in enumerate(images):
        cv2.imwrite(str(tmp_path / f"{number}.png"), image[:, :, ::-1])
    (tmp_path / "4.png").write_bytes(b"no image")
    node = decoder(tmp_path, fps=5)
    frames = read(node)
    assert [frame.stamp.index for frame in frames] == [i for i in range(20) if i != 4]
    assert all(np.array_equal(frame.image_rgb, images[frame.stamp.index]) for frame in frames)
    assert frames[-1].stamp.pts_s == pytest.approx(19 / 5)
    assert node.describe()["damaged"] == 1
    node.close()


def test_what_cannot_be_read_is_refused_in_setup(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="does not exist"):
        decoder(tmp_path / "none.mp4")
    (tmp_path / "text.mp4").write_text("no video at all")
    with pytest.raises(MediaError):
        decoder(tmp_path / "text.mp4")


@pytest.mark.parametrize(
    "options",
    [{"max_frames": 0}, {"start": -1}, {"fps": 0}, {"open_timeout_s": 0}, {"read_timeout_s": -1}, {"sart": 3}],
)
def test_options_out_of_range_are_refused(clip: Path, options: dict[str, Any]) -> None:
    with pytest.raises(GraphError):
        decoder(clip, **options)


def test_the_source_must_be_named() -> None:
    with pytest.raises(GraphError, match="source"):
        config.options_of(Decode.Config, {}, "decode")


def test_a_stopped_file_ends_and_can_be_closed(clip: Path) -> None:
    node = decoder(clip)
    frames = node.produce()
    next(frames)
    node.stop()
    assert list(frames) == []
    node.close()


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_a_source_that_is_never_read_is_closed(clip: Path) -> None:
    def is_open() -> bool:
        links = [entry for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
        return any(entry.exists() and entry.samefile(clip) for entry in links)

    for live in (None, True):
        node = decoder(clip, live=live)
        assert is_open()
        node.close()
        assert not is_open()


def test_a_file_can_be_played_as_a_live_source(clip: Path) -> None:
    node = decoder(clip, live=True)
    assert node.policy == "freshest"
    assert node.describe()["live"] is True
    frames = read(node)
    node.close()
    assert all(np.array_equal(f.image_rgb, i) for f, i in zip(frames, decode_plainly(clip), strict=True))
    shown_s = (frames[-1].stamp.captured_ns - frames[0].stamp.captured_ns) / 1e9
    assert shown_s > 2.5


@pytest.mark.parametrize("kind", ["mpegts", "mjpeg"])
def test_an_endless_stream_is_live(kind: str) -> None:
    with StreamServer(kind) as server:
        node = decoder(server.url)
        assert node.policy == "freshest"
        frames = read(node, 10)
        assert [frame.stamp.index for frame in frames] == list(range(10))
        assert frames[0].image_rgb.shape == (64, 96, 3)
        node.close()


def test_a_lost_connection_is_made_again_and_counted() -> None:
    with StreamServer("mjpeg", frames=5) as server:
        node = decoder(server.url, live=True)
        frames = read(node, 8)
        assert [frame.stamp.index for frame in frames] == list(range(8))
        assert node.describe()["reconnects"] == 1
        node.close()


def test_a_source_that_stays_lost_is_given_up() -> None:
    server = StreamServer("mjpeg", frames=3)
    node = decoder(server.url, live=True, reconnect_attempts=1)
    frames = node.produce()
    next(frames)
    server.kill()
    with pytest.raises(MediaError, match="attempts"):
        list(frames)
    node.close()


def test_without_reconnecting_a_lost_source_ends() -> None:
    with StreamServer("mjpeg", frames=4) as server:
        # FFmpeg knows that a picture is whole when the next one begins, so the last may be lost with the connection.
        assert len(frames_of(server.url, live=True, reconnect=False)) in (3, 4)
        assert server.connections == 1


def test_a_silent_source_can_be_stopped_at_once() -> None:
    with StreamServer("mjpeg", frames=3, stall=True) as server:
        node = decoder(server.url, live=True, read_timeout_s=600)
        timer = threading.Timer(0.5, node.stop)
        timer.start()
        # A read that is waited for would take ten minutes.
        assert len(list(node.produce())) <= 3
        timer.join()
        node.close()


def test_an_error_of_a_live_source_comes_out_of_produce(tmp_path: Path) -> None:
    for number, size in enumerate([32, 32, 48]):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((size, size, 3), np.uint8))
    node = decoder(tmp_path, live=True, fps=100)
    with pytest.raises(MediaError, match="48x48"):
        read(node)
    node.close()


def test_live_sources_have_no_start(clip: Path) -> None:
    with StreamServer("mjpeg") as server, pytest.raises(UsageError, match="start_index"):
        decoder(server.url, live=True, start=3)


def test_passwords_stay_out_of_the_record() -> None:
    with StreamServer("mjpeg") as server:
        node = decoder(server.url.replace("http://", "http://me:secret@") + "?token=abc")
        assert "secret" not in str(node.describe()) and "abc" not in str(node.describe())
        node.close()


def test_a_silent_stream_does_not_hold_up_the_end_of_a_graph(tmp_path: Path) -> None:
    with StreamServer("mjpeg", frames=20, stall=True) as server:
        graph = config.parse(
            {
                "nodes": {
                    "decode": {"options": {"source": server.url, "live": True, "read_timeout_s": 600}},
                    "bright": {"use": "support.bright_nodes:Bright"},
                    "record": {"options": {"output": str(tmp_path / "out")}},
                },
                "links": ["decode -> bright -> record"],
            }
        )
        with Supervisor(Plan(graph)) as supervisor:
            while supervisor.stats.get("decode") is None or supervisor.stats["decode"].entered < 1:
                supervisor.pump(100)
            supervisor.stop()
            supervisor.run()
        stats = supervisor.stats["decode"]
        assert stats.entered == sum(stats.finished.values()) == supervisor.facts["record"]["frames"]["decode"]
        masks = sorted(path.name for path in (tmp_path / "out" / "masks").iterdir())
        assert len(masks) == stats.entered
