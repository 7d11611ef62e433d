from __future__ import annotations

import os
import subprocess
import sys

from streamseg.runtime.supervision import processes
from streamseg.runtime.supervision.processes import Child


def test_a_process_that_does_not_end_when_it_is_killed_is_given_up_stand_in_for_one_that_cannot_be(monkeypatch):
    """A process that waits for a broken device cannot be made in a test: here the kill does not reach it."""
    monkeypatch.setattr(processes, "_KILLED_WITHIN_S", 0.2)
    sleeper = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child = object.__new__(Child)
    child._process, child.pid, child.identity, child._unending = sleeper, sleeper.pid, "sum", False
    monkeypatch.setattr(sleeper, "kill", lambda: None)
    assert child.alive and not child.failed
    child.kill()
    assert child.failed and not child.alive
    os.kill(sleeper.pid, 9)
    sleeper.communicate()
