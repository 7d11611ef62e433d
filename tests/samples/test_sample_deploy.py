"""The files in samples/deploy, as far as they can be checked without Docker, a running systemd or a cluster."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamseg.cli.main import make_parser
from streamseg.graph import config

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "samples" / "deploy"
IMAGES = ["Dockerfile", "Dockerfile.cuda"]
SERVICES = ["streamseg.service", "streamseg-worker.service"]
USER = 10001


def instructions(name: str) -> list[tuple[str, str]]:
    """The lines of a Dockerfile: instruction and the rest."""
    text = re.sub(r"\\\n\s*", "", (DEPLOY / name).read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def parsed(words: list[str]) -> Any:
    """A command line of streamseg, read as the command reads it."""
    return make_parser().parse_args(words)


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / "compose.yaml").read_text()))


def manifests() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))


def manifest(kind: str, name: str) -> dict[str, Any]:
    (found,) = [each for each in manifests() if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def started(container: dict[str, Any]) -> list[str]:
    """The words behind ``exec streamseg`` in what a container's shell is given."""
    assert container["command"] == ["sh", "-c"]
    (script,) = container["args"]
    return shlex.split(script.partition("exec streamseg ")[2])


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_copies_what_is_there_and_is_not_root(name: str) -> None:
    found = instructions(name)
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [word for what, rest in found if what == "COPY" and "--from" not in rest for word in rest.split()[:-1]]
    assert copied
    for path in copied:
        assert (ROOT / path).exists(), path
        assert path in kept, f"{path} is left out by .dockerignore"
    needed = re.findall(r'^(?:readme|license-files?) = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert set(needed) <= set(copied)
    assert found[-1][0] == "CMD"
    assert ("ENTRYPOINT", '["streamseg"]') in found
    (user,) = [rest for what, rest in found if what == "USER"]
    assert int(user) == USER
    assert f"--uid {USER} " in (DEPLOY / name).read_text()
    extras = re.findall(r"\.\[([a-z,]+)\]", (DEPLOY / name).read_text())
    known = re.search(r"\[project.optional-dependencies\](.*?)\n\[", (ROOT / "pyproject.toml").read_text(), re.DOTALL)
    assert known is not None
    for extra in ",".join(extras).split(","):
        assert re.search(rf"^{extra} = ", known[1], re.MULTILINE), extra


def test_the_images_differ_in_where_torch_is_from() -> None:
    cpu, cuda = (dict.fromkeys(instructions(name)) for name in IMAGES)
    assert {what for what, _ in cpu.keys() ^ cuda.keys()} == {"RUN", "ENV"}


def test_compose() -> None:
    services = compose()["services"]
    serve = services["streamseg"]
    args = parsed(shlex.split(serve["command"]))
    assert args.command == "serve"
    (source,) = args.sources
    assert source.removeprefix("rtsp://").partition(":")[0] in services
    assert shlex.split(services["camera"]["command"])[-1] == source, "what the camera sends is what is followed"
    assert serve["ports"] == [f"127.0.0.1:{args.port}:{args.port}"]
    assert (DEPLOY / serve["build"]["context"] / serve["build"]["dockerfile"]).exists()
    for name, secret in compose()["secrets"].items():
        assert name in serve["secrets"]
        assert secret["file"].startswith("./secrets/")
        assert secret["file"].removeprefix("./") in (DEPLOY / "README.md").read_text()
    checked = serve["healthcheck"]["test"]
    assert checked[0] == "CMD"
    compile(checked[-1], "healthcheck", "exec")
    assert f"http://{args.metrics}/healthz" in checked[-1]
    for service in services.values():
        assert not service["image"].endswith(":latest")
        for name in service.get("depends_on", []):
            assert name in services
    for volume in services["camera"]["volumes"]:
        assert (DEPLOY / volume.split(":")[0]).exists()


def test_kubernetes_runs_commands_that_there_are() -> None:
    run = manifest("Deployment", "streamseg")["spec"]["template"]["spec"]
    worker = manifest("Deployment", "streamseg-worker")["spec"]["template"]["spec"]
    (running,), (working,) = run["containers"], worker["containers"]
    args = parsed(started(running))
    assert (args.command, args.metrics) == ("run", "127.0.0.1:9400")
    for probe, path in (("startupProbe", "readyz"), ("readinessProbe", "readyz"), ("livenessProbe", "healthz")):
        python, flag, code = running[probe]["exec"]["command"]
        assert (python, flag) == ("python", "-c")
        compile(code, probe, "exec")
        assert f"http://{args.metrics}/{path}" in code
    args = parsed(started(working))
    assert args.command == "worker"
    port = int(args.listen.rpartition(":")[2])
    assert working["ports"] == [{"name": "worker", "containerPort": port}]
    for spec in (run, worker):
        assert spec["securityContext"]["runAsUser"] == USER
        volumes = {volume["name"] for volume in spec["volumes"]}
        for container in spec["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes


def test_the_graph_of_kubernetes_leads_to_its_worker() -> None:
    graph = config.parse(yaml.safe_load(manifest("ConfigMap", "streamseg-graph")["data"]["graph.yaml"]))
    service = manifest("Service", "streamseg-worker")
    (port,) = service["spec"]["ports"]
    assert graph.hosts["gpu"].address == f"{service['metadata']['name']}:{port['port']}"
    labels = manifest("Deployment", "streamseg-worker")["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == labels
    text = (DEPLOY / "README.md").read_text()
    for deployment in ("streamseg", "streamseg-worker"):
        spec = manifest("Deployment", deployment)["spec"]["template"]["spec"]
        for volume in spec["volumes"]:
            if "secret" in volume:
                assert f"secret generic {volume['secret']['secretName']} " in text
            if "configMap" in volume:
                assert manifest("ConfigMap", volume["configMap"]["name"])
            if "persistentVolumeClaim" in volume:
                assert manifest("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"])


def settings(name: str) -> Iterator[tuple[str, str]]:
    for line in (DEPLOY / name).read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            yield key, value


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_starts_a_command_that_there_is(name: str) -> None:
    found = dict(settings(name))
    program, *words = shlex.split(found["ExecStart"])
    assert program == "/opt/streamseg/bin/streamseg"
    assert parsed(words).command in ("run", "worker")
    assert found["KillSignal"] in ("SIGINT", "SIGTERM")
    state = found["StateDirectory"]
    assert found["WorkingDirectory"] == f"/var/lib/{state}"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
@pytest.mark.parametrize("name", SERVICES)
def test_systemd_understands_a_service(name: str, tmp_path: Path) -> None:
    """Its program is at another place here."""
    text = (DEPLOY / name).read_text().replace("/opt/streamseg/bin/streamseg", sys.executable)
    (tmp_path / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / name], capture_output=True, text=True, check=False
    )
    ours = [line for line in done.stderr.splitlines() if name in line]
    assert not ours, done.stderr


def test_what_systemd_would_not_understand_is_seen(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze")
    path = tmp_path / "streamseg.service"
    path.write_text("[Service]\nExecStart=/bin/true\nKillSinal=SIGINT\n")
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True, check=False)
    assert "KillSinal" in done.stderr
