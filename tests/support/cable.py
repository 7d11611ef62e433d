"""Two network namespaces with a cable between them that is long, loses packets, and can be cut.

Each has a TUN device; what one sends this process hands to the other, late or not at all. So the TCP of the kernel
meets what it meets on a real way, without a kernel that has netem.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import itertools
import os
import random
import select
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Iterator

HERE, THERE = "10.177.31.1", "10.177.31.2"
_TUNSETIFF = 0x400454CA
_IFF_TUN_NO_PI = 0x0001 | 0x1000
_LARGEST_PACKET = 2048


def missing() -> str:
    """Why there can be no such cable here; empty if there can be."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "there is no command ip (iproute2)"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "there is no /dev/net/tun"
    name = f"sst{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    if made.returncode:
        return f"ip netns add: {made.stderr.decode().strip()}"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return ""


class Cable:
    """Use `cable`."""

    def __init__(self, fds: tuple[int, int], delay_s: float, loss: float) -> None:
        self._fds = fds
        self._delay_s = delay_s
        self._loss = loss
        self._chance = random.Random(1)
        self._whole = True
        self._ended = False
        self.lost = 0
        """Packets that it has lost, those while it was cut left out."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        self._whole = False

    def mend(self) -> None:
        self._whole = True

    def close(self) -> None:
        self._ended = True
        self._thread.join(5)

    def _run(self) -> None:
        late: list[tuple[float, int, int, bytes]] = []
        numbers = itertools.count()
        while not self._ended:
            wait_s = max(0.0, late[0][0] - time.monotonic()) if late else 0.2
            for fd in select.select(self._fds, [], [], min(wait_s, 0.2))[0]:
                packet = os.read(fd, _LARGEST_PACKET)
                if not self._whole:
                    continue
                if self._chance.random() < self._loss:
                    self.lost += 1
                    continue
                to = self._fds[1] if fd == self._fds[0] else self._fds[0]
                heapq.heappush(late, (time.monotonic() + self._delay_s, next(numbers), to, packet))
            while late and late[0][0] <= time.monotonic():
                _, _, to, packet = heapq.heappop(late)
                if self._whole:
                    os.write(to, packet)


def inside(name: str) -> list[str]:
    """What a command line begins with to be run in a namespace."""
    return ["ip", "netns", "exec", name]


@contextlib.contextmanager
def cable(delay_s: float, loss: float) -> Iterator[tuple[Cable, str, str]]:
    """The cable, and the names of the namespaces at its ends, whose addresses are `HERE` and `THERE`."""
    names = [f"ss{os.getpid()}{end}" for end in ("a", "b")]
    with contextlib.ExitStack() as stack:
        fds = []
        for name, address in zip(names, (HERE, THERE), strict=True):
            _ip("netns", "add", name)
            stack.callback(_ip, "netns", "del", name)
            fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            stack.callback(os.close, fd)
            fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH", name.encode(), _IFF_TUN_NO_PI))
            _ip("link", "set", name, "netns", name)
            _ip("-n", name, "addr", "add", f"{address}/30", "dev", name)
            _ip("-n", name, "link", "set", name, "up")
            _ip("-n", name, "link", "set", "lo", "up")
            fds.append(fd)
        made = Cable((fds[0], fds[1]), delay_s, loss)
        stack.callback(made.close)
        yield made, names[0], names[1]


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
