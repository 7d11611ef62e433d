"""Where the page may be reached, and what has to be there before others may."""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
from collections.abc import Collection
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from streamseg.errors import GraphError, OutputError, UsageError
from streamseg.regular_files import read_regular

DEFAULT = "127.0.0.1:8765"
SHORTEST_TOKEN = 16

_BIND = re.compile(r"(?:(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]/@\s]+):)?(?P<port>\d{1,5})")
_TOKEN = re.compile(r"[A-Za-z0-9._~-]+")
_TOKEN_MAX_BYTES = 4096


class Service(msgspec.Struct, frozen=True):
    """What an address is for, in the words of errors about it."""

    name: str
    flag: str
    """Of the command line; those of its token, certificate and key begin with it."""
    default: str
    strangers: str
    """What anyone on the network could do there."""


PAGE = Service("page", "--page", DEFAULT, "watch")


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


def parse(bind: str, service: Service = PAGE) -> Address:
    """``HOST:PORT``, or a port alone.

    Raises:
        GraphError: it is neither, or not an IP address of a machine.
    """
    match = _BIND.fullmatch(bind)
    if match is None or int(match["port"]) > 65535:
        raise GraphError(f"{service.name}: expected HOST:PORT or a port, such as {service.default}, got {bind!r}")
    host = (match["host"] or "127.0.0.1").strip("[]")
    host = {"localhost": "127.0.0.1", "*": "0.0.0.0"}.get(host, host)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise GraphError(
            f"{service.name}: expected an IP address of this machine before the port, such as {service.default}, got "
            f"{bind!r}"
        ) from None
    return Address(host, int(match["port"]))


def checked(
    bind: str, token: str | None, cert: str | None, key: str | None, service: Service = PAGE
) -> tuple[Address, Secrets]:
    """The address and what protects it, once it is sure that nobody uninvited can come in.

    Args:
        bind: as the user gave it.
        token: path of a file with the token.
        cert: path of the certificate.
        key: path of its key.
        service: what it is for.

    Raises:
        GraphError: others could reach it, or it is no address.
        UsageError: the token or one of the files is not there, or cannot be used.
    """
    address = parse(bind, service)
    token_flag, cert_flags = f"{service.flag}-token", f"{service.flag}-cert and {service.flag}-key"
    if (cert is None) != (key is None):
        raise UsageError(f"{service.name}: expected a certificate and its key together ({cert_flags}), got one of them")
    secrets = Secrets(
        None if token is None else read_token(token, service),
        None if cert is None else _there(cert, "the certificate", service),
        None if key is None else _there(key, "the key", service),
    )
    missing = [flag for flag, given in ((token_flag, token), (cert_flags, cert)) if given is None]
    if missing and not address.loopback:
        raise GraphError(
            f"{service.name}: expected an address that only this machine reaches, got {bind!r}, where anyone on the "
            f"network could {service.strangers}; give {' and '.join(missing)} too, or open 127.0.0.1:{address.port} "
            f"and forward it through a tunnel such as ssh -L"
        )
    return address, secrets


def is_own(host: str, names: Collection[str] = ()) -> bool:
    """Whether a ``Host`` header means this machine.

    A name of the DNS that leads here may be anybody's; an address cannot be made to lead elsewhere.

    Args:
        host: the header, with or without a port.
        names: that this machine has besides its own.
    """
    try:
        name = "" if "@" in host else urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        own = socket.gethostname().lower()
        return name in {"localhost", own, own.partition(".")[0], *(each.lower() for each in names)}
    return True


def open_port(address: Address, service: Service = PAGE) -> socket.socket:
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
                f"expected {where} to be free for the {service.name}, but the port is in use, perhaps by another "
                f"streamseg; end that one or choose another port ({service.flag} {address.port + 1})"
            ) from error
        raise OutputError(
            f"expected to open {where} for the {service.name}, got: {error.strerror}; choose another"
        ) from error
    found.setblocking(False)
    return found


def read_token(path: str, service: Service = PAGE) -> str:
    """The token in a file.

    Raises:
        UsageError: it cannot be read, or is none.
    """
    try:
        text = read_regular(Path(path).expanduser(), _TOKEN_MAX_BYTES).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{service.name}: the file with the token, {path}, cannot be read: {error}") from error
    if len(text) < SHORTEST_TOKEN or not _TOKEN.fullmatch(text):
        raise UsageError(
            f"{service.name}: expected a token of at least {SHORTEST_TOKEN} letters, digits and . _ ~ - in {path}, got "
            f"{len(text)} characters; make one with: "
            f"python -c 'import secrets; print(secrets.token_urlsafe())' > {path}"
        )
    return text


def _there(path: str, what: str, service: Service) -> Path:
    found = Path(path).expanduser()
    if not found.is_file():
        raise UsageError(f"{service.name}: {what} {path} is not there; expected a PEM file")
    return found
