"""What a graph of processes needs of the system, and one sentence where it does not get it."""

from __future__ import annotations

import contextlib
import errno
import resource
from collections.abc import Iterator

from streamseg.errors import RunError, StreamsegError

_FILES_OF_A_PROCESS = 64
"""Python, ZeroMQ, a model, and a video or the files of a recording."""
_FILES_FOR_A_WORKER = 8
"""In the supervisor: pipes, shared memory, connections."""

_SCARCE = {
    errno.EMFILE: "open files (ulimit -n)",
    errno.ENFILE: "open files of the whole system",
    errno.EAGAIN: "processes and threads (ulimit -u)",
    errno.ENOMEM: "memory (ulimit -v, or what the machine has)",
}


def need_files(workers: int) -> None:
    """Raise the soft limit of open files where a graph of so many workers needs that.

    ZeroMQ ends a process that runs out of them, without a word that helps.

    Raises:
        RunError: the hard limit is too low.
    """
    needed = _FILES_OF_A_PROCESS + _FILES_FOR_A_WORKER * workers
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise RunError(
            f"expected to be allowed {needed} open files for the {workers} processes of this graph, got {hard}; "
            f"raise the limit (ulimit -n {needed})"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


@contextlib.contextmanager
def keeping_files(doing: str) -> Iterator[None]:
    """See that somebody else's code leaves a process the open files that its sockets need.

    Args:
        doing: what the code does, as in "expected it to ...".

    Raises:
        RunError: it has lowered the limit; ZeroMQ would end the process at the next socket.
    """
    before, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    after, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    lower = after != resource.RLIM_INFINITY and (before == resource.RLIM_INFINITY or after < before)
    if lower and after < _FILES_OF_A_PROCESS:
        raise RunError(
            f"expected it to {doing} and leave its process at least {_FILES_OF_A_PROCESS} open files, but it lowered "
            f"the limit (RLIMIT_NOFILE) from {before} to {after}; leave it as it is"
        )


@contextlib.contextmanager
def naming_what_is_scarce(doing: str) -> Iterator[None]:
    """Say in one sentence what the system refused.

    Args:
        doing: what it was wanted for, as in "expected to ...".

    Raises:
        RunError: in the place of such an error; all others pass through.
    """
    try:
        yield
    except StreamsegError:
        raise
    except MemoryError as error:
        raise _refused(doing, _SCARCE[errno.ENOMEM]) from error
    except RuntimeError as error:
        # Python has no class of its own for this one.
        if "start new thread" not in str(error):
            raise
        raise _refused(doing, "threads (ulimit -u), or memory for them (ulimit -v)") from error
    except Exception as error:
        # Also the errors of ZeroMQ, which are not among Python's.
        scarce = _SCARCE.get(getattr(error, "errno", None) or 0)
        if scarce is None:
            raise
        raise _refused(doing, scarce) from error


def _refused(doing: str, scarce: str) -> RunError:
    return RunError(
        f"expected to {doing}, but the system has no more {scarce}; raise that limit, or end other programs"
    )
