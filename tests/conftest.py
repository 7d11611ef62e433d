"""What every process that tests start needs.

`support` is importable there, as pytest's own `pythonpath` makes it here. And signals end them: a shell that starts the
tests in the background has SIGINT ignored, which children would inherit. And they find modules compiled: thousands of
processes are started, each of which would spend a quarter of its time on that where the environment forbids to keep it.
And threads of torch that have nothing to do sleep, as those of a run do: by default they turn in circles, and where two
processes compute on the same cores each then keeps the other from them.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
