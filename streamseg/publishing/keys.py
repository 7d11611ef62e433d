"""CURVE keys in files: who we are, and whom we let in.

A pair is two files in the format of `zmq.auth`: ``NAME.key`` with the public key, to be given away, and
``NAME.key_secret`` with both, which only its owner may read. A secret is never shown, and never opened if others could
have read it.
"""

from __future__ import annotations

import os
import re
import stat
from functools import reduce
from pathlib import Path
from typing import NamedTuple

import msgspec
import platformdirs
import zmq

from streamseg.errors import UsageError
from streamseg.regular_files import opened

PUBLIC_SUFFIX = ".key"
SECRET_SUFFIX = ".key_secret"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
# 32 bytes in Z85 (rfc.zeromq.org/spec/32).
_Z85 = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_ENTRY = re.compile(rb"""^\s*(public|secret)-key\s*=\s*(["'])([0-9A-Za-z.\-:+=^!/*?&<>()\[\]{}@%$#]{40})\2\s*$""")
_MAX_BYTES = 4096
_MAKE_ONE = "make one with 'streamseg keys new NAME'"


class KeyFiles(NamedTuple):
    """Where a new pair is."""

    public: Path
    secret: Path


class KeyPair(msgspec.Struct, frozen=True):
    """A public key and the secret that belongs to it, in Z85 as ZeroMQ takes them."""

    public: bytes
    secret: bytes

    def __repr__(self) -> str:
        return f"KeyPair({self.public.decode()})"


class Door(msgspec.Struct, frozen=True):
    """Who we are and whom we let in."""

    own: KeyPair
    allowed: frozenset[bytes]
    """Public keys in Z85; never empty."""


class Guest(NamedTuple):
    """Who we are and whom we talk to."""

    own: KeyPair
    server_public: bytes
    """In Z85."""


def default_folder() -> Path:
    """Where pairs are made unless another folder is named: in the user's configuration."""
    return platformdirs.user_config_path("streamseg") / "keys"


def make(name: str, folder: Path) -> KeyFiles:
    """A new pair in two new files; nothing is ever replaced.

    Raises:
        UsageError: the name cannot be part of a file name, there are such files already, or they cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"expected a name of letters, digits, '_' and '-', 63 at most, for the keys, got {name!r}")
    files = KeyFiles(folder / f"{name}{PUBLIC_SUFFIX}", folder / f"{name}{SECRET_SUFFIX}")
    for path in files:
        if path.exists() or path.is_symlink():
            raise UsageError(f"{path} is there already; choose another name, or remove it if nobody uses it any more")
    public, secret = zmq.curve_keypair()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(files.secret, 0o600, "Keep this to yourself, and its mode at 600.", public, secret)
        _write(files.public, 0o644, "May be given to anyone.", public, None)
    except OSError as error:
        raise UsageError(
            f"the keys cannot be written to {error.filename}: {error.strerror}; name a folder with -o"
        ) from error
    return files


def load_public(path: Path) -> bytes:
    """The public key in a file, in Z85.

    Raises:
        UsageError: it cannot be read or holds no such key.
    """
    public = _read(path, secret=False).get("public")
    if public is None:
        raise UsageError(f"expected a public key in {path}, found none; {_MAKE_ONE}")
    return public


def load_pair(path: Path) -> KeyPair:
    """The pair in a secret file.

    Raises:
        UsageError: it cannot be read, holds no pair, is somebody else's, or others may read it.
    """
    found = _read(path, secret=True)
    public, secret = found.get("public"), found.get("secret")
    if secret is None:
        raise UsageError(f"expected a secret key in {path}, found none; give the file that ends in {SECRET_SUFFIX}")
    if public != zmq.curve_public(secret):
        raise UsageError(f"the public key in {path} does not belong to the secret one beside it; {_MAKE_ONE}")
    return KeyPair(public, secret)


def load_allowed(path: Path) -> frozenset[bytes]:
    """The public keys that are let in: those of every ``*.key`` file of a folder, or that of one file.

    Raises:
        UsageError: there is none, one cannot be read, or others may change the list; then nobody is let in.
    """
    try:
        files = sorted(path.glob(f"*{PUBLIC_SUFFIX}")) if path.is_dir() else [path]
        for each in (path, *files):
            _check_ours_to_change(each, each.stat())
        # Who can change a folder above can put another list in the place of this one.
        for above in {*path.absolute().parents, *(parent for each in files for parent in each.resolve().parents)}:
            _check_ours_to_change(above, above.stat(), above=path)
    except OSError as error:
        raise UsageError(
            f"expected the public keys of those who may listen, but {path} gave: {error.strerror}; {_MAKE_ONE}"
        ) from error
    if not files:
        raise UsageError(
            f"expected the public keys of those who may listen in {path}, found no file that ends in {PUBLIC_SUFFIX}; "
            f"put the {PUBLIC_SUFFIX} file of each there"
        )
    return frozenset(map(load_public, files))


def load_door(key: str | None, allow: str | None) -> Door | None:
    """The door that two paths describe; None if neither is given.

    Args:
        key: the server's own secret file.
        allow: a public file, or a folder of them.

    Raises:
        UsageError: only one is given, or `load_pair` or `load_allowed` refuses its file.
    """
    if key is None and allow is None:
        return None
    if key is None or allow is None:
        raise UsageError(
            f"expected both key (this machine's {SECRET_SUFFIX} file) and allow (the {PUBLIC_SUFFIX} files of those "
            f"who may listen), {'key' if key is None else 'allow'} is missing; 'streamseg keys --help' says more"
        )
    return Door(load_pair(Path(key).expanduser()), load_allowed(Path(allow).expanduser()))


def load_guest(own_key: Path | None, server_key: Path | None) -> Guest | None:
    """What a client of a closed door needs; None if neither file is given.

    Args:
        own_key: the client's secret file.
        server_key: the server's public file.

    Raises:
        UsageError: only one is given, or `load_pair` or `load_public` refuses its file.
    """
    if own_key is None and server_key is None:
        return None
    if own_key is None or server_key is None:
        raise UsageError(
            f"expected both own_key (this program's {SECRET_SUFFIX} file) and server_key (the {PUBLIC_SUFFIX} file of "
            f"the one who publishes), {'own_key' if own_key is None else 'server_key'} is missing"
        )
    return Guest(load_pair(own_key), load_public(server_key))


def entries(text: bytes) -> dict[str, bytes]:
    """The keys in the text of a key file, ``public`` and ``secret``, in Z85; what is no key is passed over."""
    found = {}
    for line in text.splitlines():
        entry = _ENTRY.match(line)
        if entry is not None and _is_z85(entry[3]):
            found[entry[1].decode()] = entry[3]
    return found


def _is_z85(key: bytes) -> bool:
    """Whether each five characters are four bytes: some five of the right letters are more than that."""
    groups = (key[start : start + 5] for start in range(0, len(key), 5))
    return all(reduce(lambda value, char: value * 85 + _Z85.index(char), group, 0) < 1 << 32 for group in groups)


def _read(path: Path, *, secret: bool) -> dict[str, bytes]:
    try:
        with opened(path) as fd:
            if secret:
                _check_private(path, os.fstat(fd))
            text = os.read(fd, _MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"the key file {path} cannot be read: {error.strerror}; {_MAKE_ONE}") from error
    if len(text) > _MAX_BYTES:
        raise UsageError(f"expected a key file of a few lines, but {path} is larger; {_MAKE_ONE}")
    return entries(text)


def _check_private(path: Path, facts: os.stat_result) -> None:
    if facts.st_mode & 0o077:
        raise UsageError(
            f"others may read the secret key {path} (mode {stat.S_IMODE(facts.st_mode):o}), so it may not be secret "
            f"any more: make a new one, or 'chmod 600 {path}' if you are sure"
        )
    if facts.st_uid not in (0, os.geteuid()):
        raise UsageError(f"the secret key {path} belongs to another user; {_MAKE_ONE}")


def _check_ours_to_change(path: Path, facts: os.stat_result, above: Path | None = None) -> None:
    """Who can change the list can let anyone in.

    Args:
        path: of the list, a file of it, or a folder above.
        facts: of it.
        above: the list, if `path` is a folder above it. There a sticky one, as /tmp is, will do: in it nobody can
            rename what belongs to others.
    """
    others_write = facts.st_mode & 0o022 and not (above is not None and facts.st_mode & stat.S_ISVTX)
    if others_write or facts.st_uid not in (0, os.geteuid()):
        if above is not None:
            raise UsageError(
                f"others may change {path} (mode {stat.S_IMODE(facts.st_mode):o}), and so put another list in the "
                f"place of {above} and let anyone in; 'chmod go-w {path}', or keep the list in a folder of your own"
            )
        raise UsageError(
            f"others may change {path} (mode {stat.S_IMODE(facts.st_mode):o}) and so let anyone in; look at what is in "
            f"it, then 'chmod go-w {path}', or make your own"
        )


def _write(path: Path, mode: int, note: str, public: bytes, secret: bytes | None) -> None:
    lines = [f"# A CURVE key of streamseg, for ZeroMQ. {note}", "", "metadata", "curve"]
    lines.append(f'    public-key = "{public.decode()}"')
    if secret is not None:
        lines.append(f'    secret-key = "{secret.decode()}"')
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "w", encoding="ascii") as file:
        file.write("\n".join(lines) + "\n")
