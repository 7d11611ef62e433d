"""One of two cameras is killed and comes back, again and again: it is seen again, nothing leaks, the other goes on."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
import yaml
from support.command import Running, eventually, lines_in, running
from support.gst_rtsp import GstCamera, python_with_gstreamer

TIMES = 50
SETTLED = 3
"""By then everything that is made once has been made."""
WITHIN_S = 3.0
"""Of its return, where nothing else runs; told, not asserted."""
ROOM = 2
"""A connection that is being let go of while another is made has some descriptors and threads."""


def counted(run: Running) -> tuple[int, int, int]:
    """Processes, open descriptors and threads of all of them."""
    pids = run.pids()
    descriptors = sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)
    threads = sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids)
    return len(pids), descriptors, threads


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(python_with_gstreamer() is None, reason="needs GStreamer's RTSP server and its x264enc")
def test_a_camera_that_is_killed_and_back_fifty_times_leaks_nothing(tmp_path: Path) -> None:
    with GstCamera() as dies, GstCamera() as stays:
        cameras = {"dies": dies, "stays": stays}
        graph = {
            "nodes": {
                **{name: {"use": "decode", "options": {"source": each.url}} for name, each in cameras.items()},
                "square": {"use": "support.segmenting:Square"},
                "record": {"options": {"output": str(tmp_path / "out"), "masks": False, "overlay": False}},
            },
            "links": ["dies -> square", "stays -> square", "square -> record"],
        }
        path = tmp_path / "graph.yaml"
        path.write_text(yaml.safe_dump(graph))
        files = {name: tmp_path / "out" / name / "tracks.jsonl" for name in cameras}
        after_s, counts = [], []
        with running("run", path) as run:
            assert eventually(lambda: all(lines_in(file) > 5 for file in files.values()), 90)
            for _ in range(TIMES):
                others = lines_in(files["stays"])
                dies.kill()
                time.sleep(0.5)
                dies.start()
                back_s, had = time.monotonic(), lines_in(files["dies"])
                assert eventually(lambda had=had: lines_in(files["dies"]) > had, 60)
                after_s.append(time.monotonic() - back_s)
                assert eventually(lambda others=others: lines_in(files["stays"]) > others, 60)
                counts.append(counted(run))
            # What is being let go of is gone by now.
            limits = tuple(each + ROOM for each in counts[SETTLED])
            assert eventually(lambda: all(map(int.__le__, counted(run), limits)), 30)
            run.send(signal.SIGINT)
            code, _, errors = run.wait()
            assert code == 130 and "Traceback" not in errors
            assert run.pids() == []
    after_s.sort()
    quick = sum(each <= WITHIN_S for each in after_s)
    print(
        f"\nback within {WITHIN_S:g} s: {quick} of {TIMES}; median {after_s[TIMES // 2]:.1f}, at most {after_s[-1]:.1f}"
    )
    processes, descriptors, threads = zip(*counts[SETTLED:], strict=True)
    assert set(processes) == {processes[0]}
    for each in (descriptors, threads):
        assert sum(each[-10:]) / 10 <= sum(each[:10]) / 10 + ROOM, each
