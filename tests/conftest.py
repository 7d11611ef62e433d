"""What every process that tests start needs.

`support` is importable there, as pytest's own `pythonpath` makes it here. And signals end them: a shell that starts the
tests in the background has SIGINT ignored, which children would inherit.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
