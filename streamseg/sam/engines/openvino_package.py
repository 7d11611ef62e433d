"""The package openvino, imported so that its makers hear nothing of it."""

from __future__ import annotations

import sys
import threading
from functools import lru_cache
from typing import Any

_one_at_a_time = threading.Lock()


@lru_cache(maxsize=1)
def import_openvino() -> Any:
    """The package openvino, without the one beside it that would tell its makers of every start.

    Raises:
        ImportError: it is not installed, or does not load.
    """
    telemetry = "openvino_telemetry"
    with _one_at_a_time:
        before = sys.modules.get(telemetry)
        # It cannot be imported meanwhile; openvino has a stand-in for that, which does nothing.
        sys.modules[telemetry] = None  # type: ignore[assignment]
        try:
            import openvino
        finally:
            if before is None:
                del sys.modules[telemetry]
            else:
                sys.modules[telemetry] = before
    return openvino
