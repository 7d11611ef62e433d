"""Coverage-guided fuzzing of everything that takes bytes from a stranger: ``make fuzz FUZZ_SECONDS=600``.

Each target runs in a process of its own with bounded memory; what it learns is kept under ``out/fuzz/corpus`` and used
again. A finding is written to ``out/fuzz/findings`` and ends with exit code 1; put its bytes into
``test_fuzz_regressions.py`` with the fix. FFmpeg's own code is not instrumented: for `container` only our side guides.
"""

from __future__ import annotations

import argparse
import functools
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "out" / "fuzz"
_SLOWEST_S = 20
_MEMORY_MB = 2048


def one(name: str, seconds: int, seed: int) -> None:
    """Fuzz one target in this process; libFuzzer ends it."""
    import atheris

    sys.path.insert(0, str(ROOT / "tests"))
    with atheris.instrument_imports(include=["streamseg", "streamseg_nodes"]):
        from fuzz.targets import TARGETS

        from streamseg.graph import registry
    # Which nodes are installed does not change meanwhile; to look each time would take longer than all the rest.
    registry.entry_points = functools.cache(registry.entry_points)
    target = TARGETS[name]
    corpus, findings = FOLDER / "corpus" / name, FOLDER / "findings" / name
    for folder in (corpus, findings):
        folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(data)
    limits = [f"-max_total_time={seconds}", f"-timeout={_SLOWEST_S}", f"-rss_limit_mb={_MEMORY_MB}"]
    options = [f"-max_len={target.max_bytes}", f"-seed={seed}", "-print_final_stats=1", f"-artifact_prefix={findings}/"]
    atheris.Setup([sys.argv[0], *limits, *options, str(corpus)], target.run)
    atheris.Fuzz()


def everything(names: list[str], seconds: int, seed: int) -> int:
    """Fuzz one target after the other; returns the exit code."""
    total, failed = 0, []
    print(f"{'target':<12}{'executions':>12}{'per second':>12}{'edges':>8}  finding")
    for name in names:
        command = [sys.executable, __file__, "--one", name, "--seconds", str(seconds), "--seed", str(seed)]
        started_s = time.monotonic()
        # Inputs that are files are written there, thousands of times a second: in memory where that is.
        with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
            environment = {**os.environ, "TMPDIR": folder}
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, errors="replace", check=False
            )
        elapsed_s = time.monotonic() - started_s
        log = FOLDER / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(done.stderr)
        # A run that ended with a finding has no final figures: the last line that counts stands for them.
        counts = [int(found) for found in re.findall(r"(?:executed_units: |^#)(\d+)", done.stderr, re.MULTILINE)]
        edges = re.findall(r"cov: (\d+)", done.stderr)
        count = max(counts, default=0)
        total += count
        if done.returncode:
            failed.append(name)
        rest = f"  {log}" if done.returncode else "  none"
        print(f"{name:<12}{count:>12,}{count / elapsed_s:>12.0f}{edges[-1] if edges else '?':>8}{rest}", flush=True)
    print(f"{'all':<12}{total:>12,}")
    return 1 if failed else 0


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--target", action="append", help="only this one")
    parser.add_argument("--seed", type=int, default=0, help="0 takes another one each time")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        one(args.one, args.seconds, args.seed)
        return 0
    sys.path.insert(0, str(ROOT / "tests"))
    from fuzz.targets import TARGETS

    return everything(args.target or list(TARGETS), args.seconds, args.seed)


if __name__ == "__main__":
    sys.exit(main())
