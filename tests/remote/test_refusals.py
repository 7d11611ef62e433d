"""What cannot work is said in one sentence, before anything runs, and nothing hangs."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from support.command import streamseg
from support.elsewhere import TOYS, Keys, chain, host, install_toys, make_keys, worker
from support.graphs import run

from streamseg.errors import GraphError, StreamsegError
from streamseg.graph import config
from streamseg.remote.terms import VERSION


def refused(tmp_path: Path, hosts: dict[str, Any], at: dict[str, str], **options: Any) -> str:
    """How a run of the toys ends."""
    with pytest.raises(StreamsegError) as caught:
        run(chain(tmp_path / "out", hosts, at, {"count": {"frames": 5}, **options}))
    assert "\n" not in str(caught.value)
    return f"{type(caught.value).__name__}: {caught.value}"


def test_a_key_that_is_not_on_the_list(tmp_path: Path, keys: Keys, toys: Path) -> None:
    with worker(keys, toys) as far:
        there = host(keys, far.address) | {"own_key": str(keys.stranger.secret)}
        said = refused(tmp_path, {"far": there}, {"sum": "far"})
        assert not far.workers
    assert said.startswith(f"UsageError: node 'sum': host 'far' at {far.address}: the worker does not know our key")
    assert "--allow" in said


def test_another_server_than_the_one_whose_key_is_given(tmp_path: Path, keys: Keys, toys: Path) -> None:
    with worker(keys, toys) as far:
        there = host(keys, far.address) | {"server_key": str(keys.stranger.public)}
        said = refused(tmp_path, {"far": there}, {"sum": "far"})
    assert "what answers there is not the worker whose .key file this is" in said


def test_keys_that_are_not_there(tmp_path: Path, keys: Keys, toys: Path) -> None:
    there = host(keys, "127.0.0.1:7") | {"own_key": str(tmp_path / "nothing.key_secret")}
    assert "nothing.key_secret cannot be read" in refused(tmp_path, {"far": there}, {"sum": "far"})


def test_a_host_that_is_away(tmp_path: Path, keys: Keys, toys: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        said = refused(tmp_path, {"far": host(keys, address, away_s=1)}, {"sum": "far"})
    assert said.startswith(f"RunError: node 'sum': host 'far' at {address}: nobody answers within 1 s; start ")


def test_a_program_that_is_no_worker(tmp_path: Path, keys: Keys, toys: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        said = refused(tmp_path, {"far": host(keys, address, away_s=2)}, {"sum": "far"})
    assert "something answers there, but not as a worker does" in said


def test_another_version(tmp_path: Path, keys: Keys, toys: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    lines = ["from importlib import metadata", "found = metadata.version"]
    lines += ["metadata.version = lambda name: '9.9' if name == 'streamseg' else found(name)", ""]
    (other / "sitecustomize.py").write_text("\n".join(lines))
    with worker(keys, other) as far:
        said = refused(tmp_path, {"far": host(keys, far.address)}, {"sum": "far"})
    ours = VERSION.decode()
    assert said == (
        f"UsageError: node 'sum': host 'far' at {far.address} has streamseg 9.9, this machine has {ours}; "
        f"install the same version on both"
    )


def test_a_node_that_is_not_installed_there(tmp_path: Path, keys: Keys, toys: Path) -> None:
    few = install_toys(tmp_path / "few", {"toy_count": "support.toy_nodes:Counter"})
    with worker(keys, few) as far:
        said = refused(tmp_path, {"far": host(keys, far.address)}, {"sum": "far"})
    assert "node 'sum': 'toy_sum' is not installed there" in said


@pytest.mark.parametrize("name", ["count", "sum"])
def test_no_module_is_imported_because_somebody_names_it(tmp_path: Path, keys: Keys, toys: Path, name: str) -> None:
    """The path of a class is enough here, but not there: neither as the node nor as one above it."""
    with worker(keys, toys) as far:
        plain = config.to_plain(chain(tmp_path / "out", {"far": host(keys, far.address)}, {"sum": "far"}))
        plain["nodes"][name]["use"] = path = TOYS[f"toy_{name}"]
        with pytest.raises(GraphError, match=f"'{path}' is not installed there"):
            run(config.parse(plain))
        assert not far.workers


def test_sources_and_sinks_only_if_they_are_allowed(tmp_path: Path, keys: Keys, toys: Path) -> None:
    with worker(keys, toys) as far:
        there = {"far": host(keys, far.address)}
        assert "start the worker with --node toy_count" in refused(tmp_path, there, {"count": "far"})
        assert "start the worker with --node toy_write" in refused(tmp_path, there, {"write": "far"})


@pytest.mark.parametrize("where", ["out", "~/out", "../out", "link/out", "other/out"])
def test_files_only_if_they_are_allowed(tmp_path: Path, keys: Keys, toys: Path, where: str) -> None:
    """Not beside the folder, not by a link out of it; a plain name is no file of that machine at all."""
    allowed, other = tmp_path / "allowed", tmp_path / "other"
    allowed.mkdir()
    other.mkdir()
    (allowed / "link").symlink_to(other)
    path = where if where.startswith(("~", "..")) else str((other if where == "other/out" else allowed) / where)
    if where == "out":
        path = str(other / "out")
    with worker(keys, toys, "--node", "toy_write", "--files", str(allowed)) as far:
        said = refused(tmp_path, {"far": host(keys, far.address)}, {"write": "far"}, write={"path": path})
        assert f"its options name {path!r}, a file of that machine that it does not give" in said
    assert not (other / "out").exists()


def test_a_plain_name_is_no_file_of_that_machine(tmp_path: Path, keys: Keys, toys: Path) -> None:
    """It is one in the empty working directory of the worker, which goes with the run."""
    with worker(keys, toys, "--node", "toy_write") as far:
        run(chain(tmp_path, {"far": host(keys, far.address)}, {"write": "far"}, {"write": {"path": "plain"}}))
    assert not Path("plain").exists()


def test_an_error_of_the_setup_names_the_node(tmp_path: Path, keys: Keys, toys: Path) -> None:
    (tmp_path / "folder").mkdir()
    with worker(keys, toys, "--node", "toy_write", "--files", str(tmp_path)) as far:
        said = refused(
            tmp_path, {"far": host(keys, far.address)}, {"write": "far"}, write={"path": str(tmp_path / "folder")}
        )
    assert "node 'write' could not be set up: IsADirectoryError" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hosts": {}}, "is to run on the host 'far', which is not under 'hosts'"),
        ({"hosts": {"fair": {"address": "a:1", "own_key": "k", "server_key": "k"}}}, "did you mean 'fair'"),
        ({"hosts": {"far": {"address": "a", "own_key": "k", "server_key": "k"}}}, "expected its address as HOST:PORT"),
        ({"hosts": {"far": {"address": "a:0", "own_key": "k", "server_key": "k"}}}, "expected its address as"),
        ({"hosts": {"far": {"address": "a:1"}}}, "own_key"),
        ({"hosts": {"far": {"address": "a:1", "own_key": "k", "server_key": "k", "picture": "raw"}}}, "'pictures'"),
    ],
)
def test_a_graph_file_with_hosts_that_cannot_be_meant(change: dict[str, Any], said: str) -> None:
    plain = {"nodes": {"count": {"host": "far"}, "write": {}}, "links": ["count -> write"]}
    with pytest.raises(GraphError) as caught:
        config.parse({**plain, **change})
    assert said in str(caught.value)


def test_a_port_in_use(tmp_path: Path, keys: Keys) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = streamseg("worker", "--listen", address, "--key", keys.server.secret, "--allow", keys.allow)
    assert done.returncode == 5
    assert done.stderr == (
        f"streamseg: error: cannot listen at {address}: Address already in use; end what listens there, or choose "
        f"another port\n"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--node", "recrod"], "did you mean 'record'"),
        (["--files", "/nowhere"], "expected a folder whose files may be named"),
        (["--files", "rtsp://camera"], "expected the beginning of a URL with a slash at its end"),
        (["--files", "file:///tmp/"], "expected the beginning of a URL"),
        (["--listen", "camera.lan:1"], "expected an IP address of this machine"),
    ],
)
def test_options_of_the_worker_that_cannot_be_meant(keys: Keys, words: list[str], said: str) -> None:
    done = streamseg("worker", "--listen", "127.0.0.1:0", "--key", keys.server.secret, "--allow", keys.allow, *words)
    assert done.returncode == 2
    assert said in done.stderr


def test_it_does_not_listen_without_keys(tmp_path: Path) -> None:
    made = make_keys(tmp_path)
    done = streamseg("worker", "--key", made.server.secret)
    assert done.returncode == 2
    assert "--allow" in done.stderr


def test_ctrl_c_ends_it_in_order(keys: Keys) -> None:
    with worker(keys, None) as far:
        far.process.send_signal(signal.SIGINT)
        assert far.process.wait(20) == 0


def test_one_process_for_all_is_not_two_machines(tmp_path: Path, keys: Keys) -> None:
    graph = tmp_path / "graph.yaml"
    lines = ["nodes:", f"  decode: {{options: {{source: {tmp_path}}}}}", "  embed: {host: far}"]
    lines += ["  propagate: {options: {everything: {}}}", f"  record: {{options: {{output: {tmp_path / 'o'}}}}}"]
    lines += ["links: [decode -> embed -> propagate -> record]", "hosts:"]
    lines += ["  far: {address: '127.0.0.1:7', own_key: k, server_key: k}"]
    graph.write_text("\n".join(lines))
    done = streamseg("run", graph, "--inline")
    assert done.returncode == 2
    assert "leave out --inline" in done.stderr
