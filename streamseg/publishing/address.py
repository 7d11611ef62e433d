"""Which addresses publish may be reached at, and which a listener can ask for."""

from __future__ import annotations

import ipaddress
import re
import socket
from pathlib import Path

from streamseg.errors import GraphError, OutputError, UsageError

_TCP = re.compile(r"tcp://(\[[0-9A-Fa-f:.]+\]|[^:\[\]/@;\s]+):(\d{1,5}|\*)")
_INTERFACE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,14}")


def checked_address(bind: str, *, closed: bool) -> str:
    """The address to bind, once it is sure that nobody uninvited can listen there.

    Args:
        bind: as the user gave it.
        closed: whether only known keys will be let in; if so other machines may reach the address too.

    Raises:
        GraphError: others could reach it, or it is no address at all.
    """
    if bind.startswith("ipc://"):
        path = bind.removeprefix("ipc://")
        if not path or path.startswith("@"):
            raise GraphError(f"publish: expected bind as ipc://PATH with the path of a file to make, got {bind!r}")
        return bind
    match = _TCP.fullmatch(bind)
    if match is None or (match[2] != "*" and int(match[2]) > 65535):
        raise GraphError(f"publish: expected bind as tcp://127.0.0.1:PORT or ipc://PATH, got {bind!r}")
    # ZeroMQ would take localhost for the name of a network interface.
    host, port = "127.0.0.1" if match[1] == "localhost" else match[1], match[2]
    if not closed and not _is_loopback(host):
        raise GraphError(
            f"publish: expected an address that only this machine reaches, got {bind!r}, where anyone on the network "
            f"could listen; give keys too (key and allow, on the command --publish-key and --publish-allow; "
            f"'streamseg keys --help' says more), or bind tcp://127.0.0.1:{port} and forward it through a tunnel such "
            f"as ssh -L"
        )
    if not _is_own(host):
        raise GraphError(
            f"publish: expected an IP address of this machine, * or the name of an interface, got {bind!r}"
        )
    return f"tcp://{host}:{port}"


def checked_endpoint(endpoint: str) -> str:
    """The address to connect to, if it is one.

    Raises:
        UsageError: it is none.
    """
    match = _TCP.fullmatch(endpoint)
    if match is not None and match[2] != "*" and 0 < int(match[2]) <= 65535:
        return endpoint
    if endpoint.startswith("ipc://") and len(endpoint) > len("ipc://"):
        return endpoint
    raise UsageError(
        f"expected the address of a publisher as tcp://HOST:PORT or ipc://PATH, as in tcp://127.0.0.1:5560, got "
        f"{endpoint!r}"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_own(host: str) -> bool:
    """Whether this could be an address to bind; a name from the DNS could be anybody's."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return host == "*" or _INTERFACE.fullmatch(host) is not None
    return True


def check_free(address: str) -> None:
    """ZeroMQ removes whatever lies at an ``ipc://`` path before it binds; only a socket that nobody serves may go.

    Raises:
        OutputError: the path is taken.
    """
    if not address.startswith("ipc://"):
        return
    path = Path(address.removeprefix("ipc://"))
    if not path.exists():
        return
    if not path.is_socket():
        raise OutputError(f"expected ipc://{path} to be free, but a file is there; choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        if probe.connect_ex(str(path)) == 0:
            raise OutputError(f"expected ipc://{path} to be free, but somebody serves it; end that or choose another")
