"""The decode node on live sources that are not there yet, give no key frames, or hand out what is old."""

from __future__ import annotations

import http.server
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from streamseg_nodes.decode import Decode
from support.camera import RATE, Camera, encoded, number_of

from streamseg.errors import MediaError
from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.messages import Frame, Stamp
from streamseg.node import Captured, NodeContext
from streamseg.runtime.supervision.supervisor import Supervisor

QUICK = {"analyzeduration": "300000"}


def decoder(url: str, context: NodeContext | None = None, **options: Any) -> Decode:
    given = {"source": url, "input_options": QUICK, **options}
    node = Decode(config.options_of(Decode.Config, given, "decode"), context)
    node.setup()
    return node


def make(captured: Captured[Frame]) -> Frame:
    stamp = Stamp("d", 0, captured.index, captured.pts, captured.time_base, captured.captured_ns, 0, 1)
    return captured.make(stamp)


def seconds(count: int) -> list[float]:
    return [number / RATE for number in range(count)]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def test_a_camera_that_is_not_there_yet_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    node = decoder(f"tcp://127.0.0.1:{port}")
    facts = node.describe()
    assert node.policy == "freshest" and facts["live"] is True and facts["kind"] == "url"
    assert facts["width"] is None and facts["fps"] is None and facts["frames"] is None
    frames = node.produce()
    camera: list[Camera] = []
    threading.Timer(1.0, lambda: camera.append(Camera(encoded(seconds(200)), port=port))).start()
    found = [make(next(frames)) for _ in range(10)]
    node.stop()
    assert list(frames) == []
    camera[0].__exit__()
    assert [frame.stamp.index for frame in found] == list(range(10))
    assert (node.describe()["width"], node.describe()["reconnects"]) == (160, 0)
    # Said once, not at each attempt.
    assert caplog.text.count("not there yet") == 1 and "refused" in caplog.text.lower()
    assert caplog.text.count("connected again") == 1
    node.close()


def test_waiting_can_be_switched_off_and_has_an_end_if_so_asked() -> None:
    url = f"tcp://127.0.0.1:{free_port()}"
    with pytest.raises(MediaError, match="cannot be reached"):
        decoder(url, reconnect=False)
    node = decoder(url, reconnect_attempts=1)
    with pytest.raises(MediaError, match="1 attempts in a row failed"):
        list(node.produce())
    node.close()


def test_what_cannot_come_is_not_waited_for() -> None:
    with pytest.raises(MediaError, match="known protocol"):
        decoder("rtzp://127.0.0.1/live")

    class Closed(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(401)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the test's output clean."""

    with http.server.HTTPServer(("127.0.0.1", 0), Closed) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(MediaError, match="401"):
            decoder(f"http://127.0.0.1:{server.server_port}/", live=True)
        server.shutdown()


def test_a_stream_whose_only_key_frame_is_its_first_is_seen() -> None:
    with Camera(encoded(seconds(200), gop=1000)) as camera:
        node = decoder(camera.url)
        frames = node.produce()
        numbers = [number_of(make(next(frames)).image_rgb) for _ in range(20)]
        node.stop()
        node.close()
    assert numbers == list(range(numbers[0], numbers[0] + 20))
    assert numbers[0] < 2 * RATE


def test_a_camera_that_is_down_does_not_keep_others_from_running(tmp_path: Path) -> None:
    with Camera(encoded(seconds(500))) as camera:
        sources = {"left": camera.url, "right": f"tcp://127.0.0.1:{free_port()}"}
        decoders = {
            name: {"use": "decode", "options": {"source": url, "input_options": QUICK}} for name, url in sources.items()
        }
        graph = config.parse(
            {
                "nodes": {
                    **decoders,
                    "bright": {"use": "support.bright_nodes:Bright"},
                    "record": {"options": {"output": str(tmp_path / "out"), "overlay": False}},
                },
                "links": ["left -> bright", "right -> bright", "bright -> record"],
            }
        )
        with Supervisor(Plan(graph)) as supervisor:
            while (stats := supervisor.stats.get("left")) is None or stats.entered < 10:
                supervisor.pump(100)
            supervisor.stop()
            supervisor.run()
    assert supervisor.stats["left"].finished["done"] >= 10
    assert supervisor.stats["right"].entered == 0
    assert len(list((tmp_path / "out" / "left" / "masks").iterdir())) >= 10


@pytest.mark.alone
def test_pictures_that_a_graph_had_no_time_for_are_counted_by_the_reason() -> None:
    with Camera(encoded(seconds(200))) as camera:
        node = decoder(camera.url, max_age_s=0.2)
        frames = node.produce()
        next(frames)
        threading.Event().wait(1.5)
        captured = next(frames)
        assert camera.age_s(number_of(make(captured).image_rgb)) < 1.0
        assert captured.good_until_monotonic_ns == captured.arrived_monotonic_ns + 200_000_000
        node.stop()
        facts = node.describe()
        assert sum(facts["dropped"].values()) == node.dropped > 10
        assert set(facts["dropped"]) == {"waited", "late", "damaged"}
        node.close()
