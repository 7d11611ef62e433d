"""`make test`: all tests but those that take long or need what is not here, most of them two at once.

    python tests/quick.py                               what pytest is told besides comes last: tests/video -k camera
    python tests/quick.py -n 0                          all of them one after the other

Many tests wait, for cameras, processes or a browser, so two processes take little more than half the time of one. A
file stays in one process, with what its tests share. Those marked `alone` come afterwards, one by one: what they see
depends on how soon they see it, or on all that the machine has.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence

QUICK = "not slow and not fastdds and not label_studio"
PARTS = {
    "two at once": (["-n", "2", "--dist", "loadfile", "-m", f"({QUICK}) and not alone"], []),
    "alone": (["-m", f"({QUICK}) and alone"], ["-n", "0"]),
}
"""What pytest is told before what else it is told, and after that: the last word holds."""
PYTEST = (sys.executable, "-m", "pytest")
INTERRUPTED, NOTHING = 2, 5
"""What pytest exits with when it was ended, and when there was no such test."""


def main(words: Sequence[str]) -> int:
    """Run both parts, the second whatever became of the first; returns the exit code."""
    # Ctrl-C is for pytest, which then says how far it came.
    signal.signal(signal.SIGINT, lambda *_: None)
    codes: dict[str, int] = {}
    for part, (first, last) in PARTS.items():
        sys.stdout.write(f"{part}:\n")
        sys.stdout.flush()
        codes[part] = subprocess.run([*PYTEST, *first, *words, *last], check=False).returncode
        if codes[part] == INTERRUPTED:
            break
    for part, code in codes.items():
        said = {0: "passed", NOTHING: "no such test"}.get(code, f"FAILED, exit code {code}")
        sys.stdout.write(f"{part}: {said}\n")
    if set(codes.values()) - {0, NOTHING}:
        return 1
    return 0 if 0 in codes.values() else NOTHING


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
