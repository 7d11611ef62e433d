"""``streamseg worker`` as a real process, with keys, and with the toy nodes installed as those of a package are."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from streamseg.graph import config
from streamseg.publishing import keys

TESTS = Path(__file__).parent.parent
TOYS = {
    "toy_count": "support.toy_nodes:Counter",
    "toy_sum": "support.toy_nodes:Sum",
    "toy_write": "support.toy_nodes:Write",
    "toy_follow": "support.toy_nodes:Follow",
    "toy_look": "support.toy_nodes:Look",
    "toy_told": "support.told_nodes:Told",
}


def install_toys(folder: Path, toys: dict[str, str] = TOYS) -> Path:
    """A folder that, once Python looks into it, has a package installed with toy nodes as entry points."""
    info = folder / "streamseg_toys-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: streamseg-toys\nVersion: 1.0\n")
    lines = [f"{name} = {path}" for name, path in toys.items()]
    (info / "entry_points.txt").write_text("\n".join(["[streamseg.nodes]", *lines, ""]))
    return folder


class Keys(NamedTuple):
    """Folders and files of two machines and of a stranger."""

    server: keys.KeyFiles
    client: keys.KeyFiles
    stranger: keys.KeyFiles
    allow: Path


def make_keys(folder: Path) -> Keys:
    """New pairs; the client's public key is on the list."""
    server, client, stranger = (keys.make(name, folder / name) for name in ("server", "client", "stranger"))
    allow = folder / "allow"
    allow.mkdir(mode=0o700)
    (allow / "client.key").write_bytes(client.public.read_bytes())
    return Keys(server, client, stranger, allow)


class Worker:
    """The command in progress."""

    def __init__(self, command: Sequence[str], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        self.lines: list[str] = []
        """What it said on standard error."""
        self.run_dirs = ""
        """Where it makes the directories of its sockets."""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("listening at "), (line, self.lines)
        self.address = line.split()[-1]

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    @property
    def workers(self) -> set[int]:
        """Its worker processes that are alive."""
        found = set()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                    if int(parent) == self.process.pid and state != "Z":
                        found.add(int(entry.name))
        return found

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join(5)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with contextlib.suppress(ValueError):
            for line in self.process.stderr:
                self.lines.append(line.rstrip("\n"))


@contextlib.contextmanager
def worker(
    keys: Keys, toys: Path | None, *words: str, listen: str = "127.0.0.1:0", before: Sequence[str] = ()
) -> Iterator[Worker]:
    """Start the command, with a place for its sockets of its own; end it after the block.

    Args:
        keys: whose server it is.
        toys: as of `install_toys`; None has no toys installed.
        words: more options.
        listen: where.
        before: what the command line begins with, say `ip netns exec`.
    """
    # Not below pytest's own folder: paths of sockets must be short.
    with tempfile.TemporaryDirectory(prefix="sw-") as run_dirs:
        places = [str(each) for each in (TESTS, toys) if each is not None]
        path = os.pathsep.join([*places, *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, "PYTHONPATH": path, "XDG_RUNTIME_DIR": run_dirs, "TMPDIR": run_dirs}
        command = [*before, sys.executable, "-m", "streamseg", "worker", "--listen", listen]
        command += ["--key", str(keys.server.secret), "--allow", str(keys.allow), *words]
        started = Worker(command, environment)
        started.run_dirs = run_dirs
        try:
            yield started
            assert not [line for line in started.lines if "Traceback" in line], started.lines
        finally:
            started.close()


def host(keys: Keys, address: str, **more: Any) -> dict[str, Any]:
    """The host as a graph file has it."""
    return {"address": address, "own_key": str(keys.client.secret), "server_key": str(keys.server.public), **more}


def chain(
    path: Path, hosts: dict[str, Any], at: dict[str, str], options: dict[str, Any] | None = None, **graph: Any
) -> config.Graph:
    """count -> sum -> write.

    Args:
        path: of the file that is written.
        hosts: as in a graph file.
        at: node -> host.
        options: node -> options.
        graph: the rest; `replicas` is for sum.
    """
    replicas = graph.pop("replicas", 1)
    given = {"write": {"path": str(path)}} | (options or {})
    given["write"] = {"path": str(path)} | given["write"]
    nodes: dict[str, Any] = {
        name: {"use": f"toy_{name}", "options": given.get(name, {}), "host": at.get(name, "")}
        for name in ("count", "sum", "write")
    }
    nodes["sum"]["replicas"] = replicas
    return config.parse({"nodes": nodes, "links": ["count -> sum -> write"], "hosts": hosts, **graph})
