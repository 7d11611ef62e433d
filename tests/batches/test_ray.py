"""Batches on a real Ray cluster of several nodes, with a real S3 server: `make test-ray` brings both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.command import COMMAND, eventually, streamseg
from support.media import moving_images, write_video

ray = pytest.importorskip("ray", reason="'make test-ray' installs Ray")
moto_server = pytest.importorskip("moto.server", reason="'make test-ray' installs an S3 server")

PROMPT = "- {id: 3, label: square, box: [0, 0, 18, 18]}\n"
FAST = ("--no-overlay", "--focus", "off")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head that does no work itself. It is at this machine's address: Ray takes loopback for that, too."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    size = {"include_dashboard": False, "object_store_memory": 80 << 20}
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **size})
    found.more = lambda: found.add_node(num_cpus=1, **size)
    yield found
    found.shutdown()


@pytest.fixture
def films(tmp_path: Path) -> Path:
    for name in ("a", "b", "c", "d"):
        write_video(tmp_path / f"{name}.mp4", moving_images(100))
    (tmp_path / "prompts.yaml").write_text(PROMPT)
    return tmp_path


@pytest.mark.timeout(600)
def test_a_node_that_dies_costs_what_it_had_at_work(cluster: Any, films: Path) -> None:
    nodes = [cluster.more(), cluster.more()]
    sources = [f"{name}.mp4" for name in "abcd"]
    words = ["batch", *sources, "--prompts", "prompts.yaml", *FAST]
    process = subprocess.Popen(
        [*COMMAND, *words, "-o", "out", "--ray", cluster.address, "--json"],
        cwd=films,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert eventually(lambda: len(list(films.glob("out/*/tracks.jsonl"))) >= 2, 100)
    time.sleep(1.0)
    cluster.remove_node(nodes[0], allow_graceful=False)
    out, said = process.communicate(timeout=500)
    assert process.returncode == 0, said
    files = json.loads(out)["files"]
    assert [(each["name"], each["code"]) for each in files] == [(name, 0) for name in "abcd"]
    subprocess.run([*COMMAND, *words, "-o", "local"], cwd=films, timeout=500, check=True)
    for name in "abcd":
        for found in sorted((films / "local" / name / "masks").iterdir()):
            assert (films / "out" / name / "masks" / found.name).read_bytes() == found.read_bytes()


@pytest.mark.timeout(600)
def test_sources_and_results_in_s3(cluster: Any, films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in (
        ("AWS_ENDPOINT_URL", f"http://{host}:{port}"),
        ("AWS_ACCESS_KEY_ID", "testing"),
        ("AWS_SECRET_ACCESS_KEY", "testing"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    # The node takes its environment, and with it where the store is, from us.
    cluster.more()
    import s3fs

    store = s3fs.S3FileSystem(skip_instance_cache=True)
    store.mkdir("films")
    for name in ("a", "b"):
        store.put_file(str(films / f"{name}.mp4"), f"films/in/{name}.mp4")
    store.put_file(str(films / "prompts.yaml"), "films/in/prompts.yaml")
    words = ["batch", "s3://films/in/*.mp4", "--prompts", "s3://films/in/prompts.yaml", "-o", "s3://films/out", *FAST]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "streamseg", *words, "--ray", cluster.address],
            cwd=films,
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
            env=dict(os.environ),
        )
        assert done.returncode == 0, done.stderr
        store.invalidate_cache()
        for name in ("a", "b"):
            assert json.loads(store.cat_file(f"films/out/{name}/run.json"))["frames_out"] == 100
        assert {each["code"] for each in json.loads(store.cat_file("films/out/batch.json"))["files"]} == {0}
    finally:
        server.stop()


def test_a_cluster_that_is_not_there_is_one_sentence(films: Path) -> None:
    done = streamseg("batch", "a.mp4", "--prompts", "prompts.yaml", "--ray", "127.0.0.1:1", cwd=films)
    assert done.returncode == 7
    assert "expected a Ray cluster at 127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr
