"""What is said of files of other programs that are not as expected."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from streamseg.errors import UsageError


@contextlib.contextmanager
def taken_from(path: Path, what: str) -> Iterator[None]:
    """Say it of a file if what is in it cannot be taken inside the block.

    Args:
        path: of the file.
        what: was expected to be in it.

    Raises:
        UsageError: names the file; what was said already is kept.
    """
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise UsageError(f"{path}: expected {what}, got: {error!r}; see that it is such a file") from error
