"""What strangers at the door of `publish` cost the graph behind it.

    python benchmarks/strangers.py [--rounds 5] [--frames 300]

A graph (720p frames, a color threshold, publish with keys) runs alone and with each kind of stranger, in turns. Time
on the processors is what the graph's own processes use for a frame, from the moment they are ready. What the strangers
use does not count there, but it does in frames per second: they are on the same machine only for want of another.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import bench_report as report
import zmq
from bench_nodes import let_workers_import

from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.publishing import curve, keys, subscriber
from streamseg.runtime.supervision.supervisor import Supervisor

GOAL = 1.05
PER_SECOND = 50  # connections that a flood makes; each is a handshake begun
KINDS = ("no key", "wrong server key", "not on the list", "connections", "bytes", "slow reader")
_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    args = _arguments()
    if args.attack:
        _attack(args.attack, args.port, Path(args.folder))
        return
    let_workers_import()
    machine = report.machine()
    report.say_machine(machine)
    rounds: dict[str, list[dict[str, float]]] = {kind: [] for kind in ("alone", *KINDS)}
    with tempfile.TemporaryDirectory() as folder:
        made = {name: keys.make(name, Path(folder)) for name in ("server", "friend", "stranger")}
        for number in range(args.rounds):
            for kind, found in rounds.items():
                found.append(_run(kind, args, made))
                print(f"round {number + 1}, {kind}: {found[-1]}", flush=True)
    rows = []
    for kind, found in rounds.items():
        cost = report.ratios([r["cpu_ms"] for r in found], [r["cpu_ms"] for r in rounds["alone"]])
        speed = report.ratios([r["fps"] for r in found], [r["fps"] for r in rounds["alone"]])
        heard = sum(r["heard"] for r in found) / sum(r["frames"] for r in found)
        cells = [
            f"{cost[0]:.3f} ({cost[1]:.3f}-{cost[2]:.3f})",
            f"<= {GOAL}",
            f"{speed[0]:.3f}",
            f"{100 * heard:.1f} %",
        ]
        rows.append([kind, f"{found[0]['cpu_ms']:.2f}", *cells])
    print("\n" + report.table(["at the door", "CPU ms/frame", "to alone", "goal", "frames/s to alone", "heard"], rows))
    report.save("strangers", {"machine": machine, "arguments": vars(args), "rounds": rounds})


def _graph(args: argparse.Namespace, made: dict[str, keys.KeyFiles]) -> config.Graph:
    paced = {"frames": args.frames, "pause_s": 1 / args.fps, "height": 720, "width": 1280}
    door = {"key": str(made["server"].secret), "allow": str(made["friend"].public)}
    return config.parse(
        {
            "nodes": {
                "frames": {"use": "streamseg.benchmarking.timed_nodes:PacedFrames", "options": paced},
                "threshold": {"use": "bench_nodes:Threshold"},
                "publish": {"options": {"bind": "tcp://127.0.0.1:*", "masks": "raw", **door}},
            },
            "links": ["frames -> threshold -> publish"],
        }
    )


def _run(kind: str, args: argparse.Namespace, made: dict[str, keys.KeyFiles]) -> dict[str, float]:
    context, heard = zmq.Context(), 0
    used_s, last = 0.0, 0.0
    with Supervisor(Plan(_graph(args, made))) as supervisor, contextlib.ExitStack() as stack:
        while supervisor.state == "starting":
            supervisor.pump(20)
        before_s = sum(map(_cpu_s, supervisor.pool.pids.values()))
        endpoint = supervisor.facts["publish"]["endpoint"]
        friend = subscriber.listen(context, endpoint, own_key=made["friend"].secret, server_key=made["server"].public)
        if kind != "alone":
            stack.enter_context(_strangers(kind, endpoint, made["server"].public.parent))
        while supervisor.state != "finished":
            supervisor.pump(20)
            while friend.poll(0):
                heard += friend.recv_multipart()[0].endswith(b"/frame")
            used_s = max(used_s, sum(map(_cpu_s, supervisor.pool.pids.values())))
            last = max(last, supervisor.stats["frames"].running_s if "frames" in supervisor.stats else 0.0)
        supervisor.raise_error()
        while friend.poll(200):
            heard += friend.recv_multipart()[0].endswith(b"/frame")
        done = supervisor.stats["frames"].finished["done"]
    context.destroy(linger=0)
    return {"cpu_ms": 1000 * (used_s - before_s) / done, "fps": done / last, "heard": heard, "frames": done}


def _cpu_s(pid: int) -> float:
    """Time that a process has been on the processors."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(words[11]) + int(words[12])) / _TICKS


@contextlib.contextmanager
def _strangers(kind: str, endpoint: str, folder: Path) -> Iterator[None]:
    words = ["--attack", kind, "--port", endpoint.rpartition(":")[2], "--folder", str(folder)]
    with subprocess.Popen([sys.executable, __file__, *words], preexec_fn=lambda: os.nice(10)) as process:
        try:
            yield
        finally:
            process.kill()


def _attack(kind: str, port: int, folder: Path) -> None:
    """Disturb until killed."""
    if kind in ("connections", "bytes"):
        _flood(port, noisy=kind == "bytes")
    context, sockets = zmq.Context(), []
    own = {"slow reader": "friend"}.get(kind, "stranger")
    server = "stranger" if kind == "wrong server key" else "server"
    guest = keys.load_guest(folder / f"{own}.key_secret", folder / f"{server}.key")
    for _ in range(10):
        listener = context.socket(zmq.SUB)
        listener.set(zmq.RCVHWM, 1)
        if kind != "no key" and guest is not None:
            curve.introduce(listener, guest)
        listener.connect(f"tcp://127.0.0.1:{port}")
        listener.subscribe(b"")
        sockets.append(listener)
    while True:
        time.sleep(1)


def _flood(port: int, *, noisy: bool) -> None:
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"CURVE".ljust(20, b"\0") + bytes(32)
    crowd: list[socket.socket] = []
    while True:
        time.sleep(1 / PER_SECOND)
        with contextlib.suppress(OSError):
            stranger = socket.create_connection(("127.0.0.1", port), timeout=1)
            stranger.sendall(greeting + os.urandom(100_000) if noisy else greeting)
            crowd.append(stranger)
        if len(crowd) > 500:
            crowd.pop(0).close()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--fps", type=float, default=30.0)
    parser.add_argument("--attack", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
