"""A cable between two programs on this machine: TCP connections through it come late, and it can be cut.

While it is cut nothing gets through in either direction, and nobody is told, as with a real one: connections stay open
and new ones are not answered. Once it is whole again they go on with what they had.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

_READ_BYTES = 1 << 16


class Wire:
    """Of one port. Runs in a thread of its own.

    Args:
        port: where the server listens, on 127.0.0.1.
        delay_s: that bytes take, each way.
        reset: whether connections that were open when it was cut are closed when it is whole again.
    """

    def __init__(self, port: int, delay_s: float = 0.0, *, reset: bool = False) -> None:
        self._target = port
        self._delay_s = delay_s
        self._reset = reset
        self._whole = asyncio.Event()
        self._whole.set()
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        """Where to connect."""
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def cut(self) -> None:
        self._loop.call_soon_threadsafe(self._whole.clear)

    def mend(self) -> None:
        self._loop.call_soon_threadsafe(self._mend)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _mend(self) -> None:
        if self._reset:
            for writer in list(self._open):
                writer.transport.abort()
        self._whole.set()

    def _note(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """What goes wrong with a connection is what a cable is for here."""

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.set_exception_handler(self._note)
        server = self._loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*asyncio.all_tasks(self._loop), return_exceptions=True))
        for writer in list(self._open):
            writer.transport.abort()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        # Who gave up meanwhile is connected all the same, as it is by a system that only then hears of it.
        await self._whole.wait()
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            self._open.discard(writer)
            return
        self._open.add(far_writer)
        await asyncio.gather(self._carry(reader, far_writer), self._carry(far_reader, writer))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        late: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=1024)
        sending = asyncio.ensure_future(self._deliver(late, writer))
        try:
            while True:
                data = await reader.read(_READ_BYTES)
                await late.put((self._loop.time() + self._delay_s, data))
                if not data:
                    break
            await sending
        except OSError:
            sending.cancel()
        finally:
            self._open.discard(writer)
            writer.close()

    async def _deliver(self, late: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        while True:
            due_s, data = await late.get()
            await asyncio.sleep(max(0.0, due_s - self._loop.time()))
            await self._whole.wait()
            if not data or writer.is_closing():
                return
            with contextlib.suppress(OSError):
                writer.write(data)
                await writer.drain()


@contextlib.contextmanager
def wire(port: int, delay_s: float = 0.0, *, reset: bool = False) -> Iterator[Wire]:
    """One that is there as long as the block."""
    made = Wire(port, delay_s, reset=reset)
    try:
        yield made
    finally:
        made.close()
