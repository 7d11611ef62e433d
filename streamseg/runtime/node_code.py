"""Where other people's code is called: what leaves it is an exception that costs its frame, not the process."""

from __future__ import annotations

from types import TracebackType

from streamseg.runtime.plain_text import text_of


class LeftError(Exception):
    """Says what left a node's code that is no `Exception`, such as a ``sys.exit()`` or a task that was canceled."""


class _NodeCode:
    """Makes a `LeftError` of what is no `Exception`. Ctrl-C is not a node's own, and stays what it is."""

    def __enter__(self) -> None:
        """Nothing is to be done before."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, (Exception, KeyboardInterrupt)):
            raise LeftError(f"{type(error).__name__}: {text_of(error)}") from error


node_code = _NodeCode()
