"""1080p frames to a node on "another machine": over loopback, tcp and CURVE, in every packing.

    python benchmarks/remote.py [--frames 150] [--only raw,jpeg]

A source and a sink run here, between them a node of `streamseg worker`, a process of its own, that reads the first and
the last row of each frame. The frames go there whole; what comes back is small. Nothing waits for anything but room in
flight (6 tickets), so the rate is what the way there gives.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import bench_report as report
from bench_nodes import FOLDER, let_workers_import

from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.publishing import keys
from streamseg.runtime.supervision.supervisor import Supervisor

PACKINGS = ("raw", "jpeg", "lossless")
GOAL_FPS = 25
FRAME_MB = 1920 * 1080 * 3 / 1e6
WARM_UP = 10
NODES = {"bench_photo": "PhotoFrames", "bench_rows": "ReadRows", "bench_arrivals": "Arrivals"}


def main() -> None:
    args = _arguments()
    let_workers_import()
    machine = report.machine()
    report.say_machine(machine)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        _install(place / "installed")
        server, client = keys.make("server", place / "s"), keys.make("client", place / "c")
        command = [sys.executable, "-m", "streamseg", "worker", "--listen", "127.0.0.1:0"]
        command += ["--key", str(server.secret), "--allow", str(client.public)]
        worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert worker.stdout is not None
            address = worker.stdout.readline().split()[-1]
            for packing in args.only:
                host = {"address": address, "own_key": str(client.secret), "server_key": str(server.public)}
                before_s = _cpu_s(worker.pid)
                figures = _measure({**host, "pictures": packing}, args.frames, place / "arrivals.json")
                figures["cpu_there_s"] = (_cpu_s(worker.pid) - before_s) / (args.frames + WARM_UP)
                found[packing] = figures
        finally:
            worker.terminate()
            worker.wait()
            if worker.stdout is not None:
                worker.stdout.close()
    head = ["packing", "frames/s", "MB a frame", "MB/s of frames", "CPU ms a frame, here", "there", "goal"]
    rows = [
        [
            name,
            f"{each['fps']:.1f}",
            f"{each['wire_mb']:.2f}",
            f"{each['fps'] * FRAME_MB:.0f}",
            f"{each['cpu_s'] * 1e3:.0f}",
            f"{each['cpu_there_s'] * 1e3:.0f}",
            f">= {GOAL_FPS}" if name == "raw" else "",
        ]
        for name, each in found.items()
    ]
    print("\n" + report.table(head, rows))
    report.save("remote", {"machine": machine, "frames": args.frames, "found": found})


def _measure(host: dict[str, str], frames: int, path: Path) -> dict[str, float]:
    graph = config.parse(
        {
            "nodes": {
                "photo": {"use": "bench_photo", "options": {"frames": frames + WARM_UP}},
                "rows": {"use": "bench_rows", "host": "far"},
                "arrivals": {"use": "bench_arrivals", "options": {"path": str(path)}},
            },
            "links": ["photo -> rows -> arrivals"],
            "hosts": {"far": host},
        }
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with Supervisor(Plan(graph)) as supervisor:
        supervisor.run()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    times_s = json.loads(path.read_text())[WARM_UP:]
    sent = supervisor.stats["rows"].counters["wire_bytes_sent"]
    return {
        "fps": (len(times_s) - 1) / (times_s[-1] - times_s[0]),
        "wire_mb": sent / (frames + WARM_UP) / 1e6,
        "cpu_s": (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / (frames + WARM_UP),
    }


def _cpu_s(pid: int) -> float:
    """Of a process, and of those of its children that have ended."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, words[11:15])) / os.sysconf("SC_CLK_TCK")


def _install(folder: Path) -> None:
    """Make the nodes installed ones, since a worker starts no others."""
    info = folder / "streamseg_bench-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: streamseg-bench\nVersion: 1.0\n")
    lines = [f"{name} = remote_nodes:{kind}" for name, kind in NODES.items()]
    (info / "entry_points.txt").write_text("\n".join(["[streamseg.nodes]", *lines, ""]))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), os.environ["PYTHONPATH"]])
    sys.path[:0] = [str(folder), str(FOLDER)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=150, help="of each packing that count (default: 150)")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(PACKINGS), help="packings")
    return parser.parse_args()


if __name__ == "__main__":
    started_s = time.monotonic()
    main()
    print(f"{time.monotonic() - started_s:.0f} s")
