"""Everything streamseg raises on purpose.

    StreamsegError                       exit code 1
    ├── UsageError (ValueError)          2   what the user asked for cannot be meant
    │   ├── GraphError                       a graph file, an option, a link, a port
    │   └── PromptError                      a box, point or mask prompt
    ├── MediaError (OSError)             3   a video, folder, camera or stream cannot be read
    ├── ModelError                       4   a model or its checkpoint
    │   └── CheckpointError                  missing, damaged, of another architecture, hostile
    ├── OutputError (OSError)            5   results cannot be written
    ├── DeviceError                      6   a device is missing or out of memory
    ├── RunError                         7   a process of the graph died or hung
    └── WireError (ValueError)           8   bytes that are not a valid message

A run that Ctrl-C ended in good order exits with 130.

A message says what was expected, what came, and what to do. A ``fatal`` error ends the run wherever it is
raised; any other error raised while a node works on a frame costs that one frame.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

EXIT_INTERRUPTED = 130


class StreamsegError(Exception):
    """The root of all errors raised on purpose."""

    exit_code = 1
    fatal = True


class UsageError(StreamsegError, ValueError):
    """What the user asked for cannot be meant."""

    exit_code = 2


class GraphError(UsageError):
    """A graph file, an option, a link or a port is wrong."""


class PromptError(UsageError):
    """A box, point or mask prompt is wrong."""


class MediaError(StreamsegError, OSError):
    """A video, folder, camera or stream cannot be read."""

    exit_code = 3


class ModelError(StreamsegError):
    """A model is unknown or cannot be used."""

    exit_code = 4


class CheckpointError(ModelError):
    """A checkpoint is missing, damaged, of another architecture, or hostile."""


class OutputError(StreamsegError, OSError):
    """Results cannot be written."""

    exit_code = 5


class DeviceError(StreamsegError):
    """A device is missing or out of memory."""

    exit_code = 6


class RunError(StreamsegError):
    """A process of the graph died or hung."""

    exit_code = 7


class WireError(StreamsegError, ValueError):
    """Bytes that are not a valid message."""

    exit_code = 8
    fatal = False


def _all(kind: type[StreamsegError]) -> dict[str, type[StreamsegError]]:
    found = {kind.__name__: kind}
    for child in kind.__subclasses__():
        found |= _all(child)
    return found


def rebuild(kind: str, message: str) -> StreamsegError:
    """The error a worker process reported by class name and text; an unknown name becomes a `RunError`.

    Errors cross process borders as two strings: nothing is unpickled.
    """
    return _all(StreamsegError).get(kind, RunError)(message)


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown name: the valid name most like it, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(names)}" if names else "there are none"
