"""Where the page may be reached, and what has to be there before others may."""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
from pathlib import Path

import msgspec

from streamseg.errors import GraphError, OutputError, UsageError
from streamseg.regular_files import read_regular

DEFAULT = "127.0.0.1:8765"
SHORTEST_TOKEN = 16

_BIND = re.compile(r"(?:(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]/@\s]+):)?(?P<port>\d{1,5})")
_TOKEN = re.compile(r"[A-Za-z0-9._~-]+")
_TOKEN_MAX_BYTES = 4096


class Address(msgspec.Struct, frozen=True):
    """An address to open."""

    host: str
    """An IP address, without brackets."""
    port: int
    """0 for any free one."""

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return ipaddress.ip_address(self.host).is_loopback

    @property
    def is_ipv6(self) -> bool:
        """Whether it is one of those with colons."""
        return ":" in self.host


class Secrets(msgspec.Struct, frozen=True):
    """What closes the page to everybody else."""

    token: str | None = None
    cert: Path | None = None
    """The certificate, PEM, with those that lead up to its authority."""
    key: Path | None = None


def parse(bind: str) -> Address:
    """``HOST:PORT``, or a port alone.

    Raises:
        GraphError: it is neither, or not an IP address of a machine.
    """
    match = _BIND.fullmatch(bind)
    if match is None or int(match["port"]) > 65535:
        raise GraphError(f"page: expected HOST:PORT or a port, such as {DEFAULT}, got {bind!r}")
    host = (match["host"] or "127.0.0.1").strip("[]")
    host = {"localhost": "127.0.0.1", "*": "0.0.0.0"}.get(host, host)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise GraphError(
            f"page: expected an IP address of this machine before the port, such as {DEFAULT}, got {bind!r}"
        ) from None
    return Address(host, int(match["port"]))


def checked(bind: str, token: str | None, cert: str | None, key: str | None) -> tuple[Address, Secrets]:
    """The address and what protects it, once it is sure that nobody uninvited can come in.

    Args:
        bind: as the user gave it.
        token: path of a file with the token.
        cert: path of the certificate.
        key: path of its key.

    Raises:
        GraphError: others could reach it, or it is no address.
        UsageError: the token or one of the files is not there, or cannot be used.
    """
    address = parse(bind)
    if (cert is None) != (key is None):
        raise UsageError(
            "page: expected a certificate and its key together (--page-cert and --page-key), got one of them"
        )
    secrets = Secrets(
        None if token is None else _read_token(token),
        None if cert is None else _there(cert, "the certificate"),
        None if key is None else _there(key, "the key"),
    )
    missing = [flag for flag, given in (("--page-token", token), ("--page-cert and --page-key", cert)) if given is None]
    if missing and not address.loopback:
        raise GraphError(
            f"page: expected an address that only this machine reaches, got {bind!r}, where anyone on the network "
            f"could watch; give {' and '.join(missing)} too, or open 127.0.0.1:{address.port} and forward it through a "
            f"tunnel such as ssh -L"
        )
    return address, secrets


def open_port(address: Address) -> socket.socket:
    """A socket that listens.

    Raises:
        OutputError: the port is in use, or cannot be had.
    """
    found = socket.socket(socket.AF_INET6 if address.is_ipv6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        # A run that is started anew must not wait until the system has forgotten the connections of the one before.
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((address.host, address.port))
        found.listen(64)
    except OSError as error:
        found.close()
        where = f"{address.host}:{address.port}"
        if error.errno == errno.EADDRINUSE:
            raise OutputError(
                f"expected {where} to be free for the page, but the port is in use, perhaps by another streamseg; end "
                f"that one or choose another port (--page {address.port + 1})"
            ) from error
        raise OutputError(f"expected to open {where} for the page, got: {error.strerror}; choose another") from error
    found.setblocking(False)
    return found


def _read_token(path: str) -> str:
    try:
        text = read_regular(Path(path).expanduser(), _TOKEN_MAX_BYTES).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"page: the file with the token, {path}, cannot be read: {error}") from error
    if len(text) < SHORTEST_TOKEN or not _TOKEN.fullmatch(text):
        raise UsageError(
            f"page: expected a token of at least {SHORTEST_TOKEN} letters, digits and . _ ~ - in {path}, got "
            f"{len(text)} characters; make one with: "
            f"python -c 'import secrets; print(secrets.token_urlsafe())' > {path}"
        )
    return text


def _there(path: str, what: str) -> Path:
    found = Path(path).expanduser()
    if not found.is_file():
        raise UsageError(f"page: {what} {path} is not there; expected a PEM file")
    return found
