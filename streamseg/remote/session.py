"""What the workers of one run share on the machine of `streamseg worker`: sockets, buffers, heartbeats."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Collection, Iterable
from types import TracebackType

from streamseg.errors import RunError
from streamseg.graph.plan import BufferSpec
from streamseg.runtime.limits import naming_what_is_scarce
from streamseg.transport.heartbeats import Heartbeats, make_heartbeats
from streamseg.transport.slots import SlotBuffer, make_shared_file
from streamseg.transport.sockets import Sockets, make_run_dir

MOST_WORKERS = 256


class Session:
    """Use as a context manager: leaving it removes every trace."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._fds: dict[int, int] = {}
        self._specs: dict[int, BufferSpec] = {}
        self._free = list(range(MOST_WORKERS))
        self.buffers: dict[int, SlotBuffer] = {}
        """By number, writable."""

    def __enter__(self) -> Session:
        with naming_what_is_scarce("take up a run of another machine"), contextlib.ExitStack() as stack:
            run_dir, owner_fd = make_run_dir()
            stack.callback(os.close, owner_fd)
            stack.callback(shutil.rmtree, run_dir, ignore_errors=True)
            self.run_dir = run_dir
            self.cwd = run_dir / "cwd"
            """The working directory of its workers: empty, so that a plain name in an option is no file."""
            self.cwd.mkdir(mode=0o700)
            self.heartbeat_fd = make_heartbeats(MOST_WORKERS)
            stack.callback(os.close, self.heartbeat_fd)
            self.heartbeats = Heartbeats(self.heartbeat_fd, MOST_WORKERS)
            self.sockets = stack.enter_context(Sockets(run_dir))
            self.control = self.sockets.supervisor()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._stack.close()

    def file_descriptors(self, specs: Iterable[BufferSpec]) -> dict[int, int]:
        """Number of each buffer -> its file descriptor; buffers that are not here yet are made.

        Raises:
            RunError: there is no memory, or the buffer is here with another size.
        """
        found = {}
        for spec in specs:
            if spec.number not in self._fds:
                fd = make_shared_file(spec.slots * spec.slot_bytes)
                self._stack.callback(os.close, fd)
                self._fds[spec.number], self._specs[spec.number] = fd, spec
                self.buffers[spec.number] = SlotBuffer(fd, spec.slots, spec.slot_bytes, writable=True)
            if self._specs[spec.number] != spec:
                raise RunError(f"buffer {spec.number} of the run is here with another size")
            found[spec.number] = self._fds[spec.number]
        return found

    def mirrored(self, there: Collection[int]) -> dict[int, SlotBuffer]:
        """The buffers that are written elsewhere, so here with what comes from there.

        Args:
            there: numbers of those that are written by workers of this machine.
        """
        return {number: buffer for number, buffer in self.buffers.items() if number not in there}

    def take_number(self) -> int:
        """A free number among the heartbeats.

        Raises:
            RunError: there is none.
        """
        if not self._free:
            raise RunError(f"expected at most {MOST_WORKERS} processes of one run on a machine; lower replicas")
        number = self._free.pop()
        self.heartbeats.clear(number)
        return number

    def give_number(self, number: int) -> None:
        """That process has ended."""
        self._free.append(number)

    def pulse(self, number: int) -> tuple[float | None, float | None]:
        """How long a process has been silent, and how long at one thing, in seconds."""
        return self.heartbeats.silent_s(number), self.heartbeats.busy_s(number)
