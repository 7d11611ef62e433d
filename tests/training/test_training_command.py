"""``streamseg train`` in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

from safetensors.torch import load_file
from support.command import COMMAND, eventually, streamseg
from support.training_data import plain_recipe, write_recipe


def test_train_stop_resume_and_use(photos: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "mine.yaml", plain_recipe(photos, training={"steps": 400}))
    words = [*COMMAND, "train", recipe.name]
    with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            metrics = tmp_path / "out" / "mine" / "metrics.jsonl"
            assert eventually(lambda: metrics.is_file() and metrics.read_text().count("\n") >= 2)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, errors
    assert "interrupted at step" in errors
    done = len(metrics.read_text().splitlines())
    resumed = streamseg("train", recipe.name, "--resume", "--steps", done + 1, "--json", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert f"going on from step {done}" in resumed.stderr
    outcome = json.loads(resumed.stdout)
    assert (outcome["ended"], outcome["steps"], outcome["of_steps"]) == ("steps", done + 1, 400)
    assert outcome["metrics"]["step"] == done + 1
    assert load_file(tmp_path / outcome["weights"])
    used = streamseg(
        *(
            "run",
            photos / "images",
            "--box",
            "30,20,90,80",
            "--model",
            "tiny",
            "--max-frames",
            2,
            "--no-overlay",
            "--inline",
        ),
        *("--checkpoint", outcome["weights"], "-o", "used"),
        cwd=tmp_path,
    )
    assert used.returncode == 0, used.stderr
    assert json.loads((tmp_path / "used" / "run.json").read_text())["frames_out"] == 2


def test_mistakes_cost_no_time_and_leave_nothing(photos: Path, tmp_path: Path) -> None:
    recipe = plain_recipe(photos, training={"stepz": 4})
    failed = streamseg("train", write_recipe(tmp_path / "r.yaml", recipe), "--json", cwd=tmp_path)
    assert failed.returncode == 2
    assert "unknown key 'stepz' in 'training'; did you mean 'steps'?" in failed.stderr
    assert json.loads(failed.stdout)["error"]["kind"] == "UsageError"
    missing = streamseg("train", write_recipe(tmp_path / "m.yaml", plain_recipe(tmp_path / "nowhere")), cwd=tmp_path)
    assert missing.returncode == 3
    assert "nowhere is not a folder" in missing.stderr
    assert not (tmp_path / "out").exists()


def test_the_command_is_listed_without_torch() -> None:
    script = "import sys; from streamseg.cli.main import make_parser; h = make_parser().format_help()\n"
    script += "assert 'train ' in h; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
