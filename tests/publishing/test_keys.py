"""Key files: made once, never shown, and refused when others could have read or changed them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import zmq
import zmq.auth
from support.command import streamseg

from streamseg.errors import UsageError
from streamseg.publishing import keys


def test_a_new_pair_is_two_files_and_only_the_owner_reads_the_secret(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        made = keys.make("robot", tmp_path / "keys")
    finally:
        os.umask(before)
    assert stat.S_IMODE(made.secret.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    pair = keys.load_pair(made.secret)
    assert keys.load_public(made.public) == pair.public == zmq.curve_public(pair.secret)
    assert pair.secret.decode() not in made.public.read_text() + repr(pair)
    # The format is that of pyzmq, so that a listener needs nothing of ours.
    assert zmq.auth.load_certificate(made.secret) == (pair.public, pair.secret)


def test_nothing_is_replaced(tmp_path: Path) -> None:
    made = keys.make("robot", tmp_path)
    before = made.secret.read_bytes()
    with pytest.raises(UsageError, match="is there already"):
        keys.make("robot", tmp_path)
    assert made.secret.read_bytes() == before


@pytest.mark.parametrize("name", ["", "../robot", "a/b", ".hidden", "a b", "x" * 64, "a\n"])
def test_a_name_cannot_lead_elsewhere(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="expected a name"):
        keys.make(name, tmp_path / "keys")
    assert not list(tmp_path.rglob("*.key*"))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_secret_that_others_could_have_read_is_refused(tmp_path: Path, mode: int) -> None:
    made = keys.make("robot", tmp_path)
    made.secret.chmod(mode)
    with pytest.raises(UsageError, match="others may read the secret key"):
        keys.load_pair(made.secret)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"public-key = short",
        b'    public-key = "' + b"#" * 40 + b'"\n    secret-key = "' + b"#" * 40 + b'"\n',  # more than 32 bytes
        b"\xff" * 100,
        b"x" * 5000,
    ],
)
def test_what_holds_no_key_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "odd.key"
    path.write_bytes(text)
    path.chmod(0o600)
    for load in (keys.load_public, keys.load_pair):
        with pytest.raises(UsageError, match="expected"):
            load(path)


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.key", 0o600)
    for path, why in ((tmp_path / "pipe.key", "a FIFO"), (tmp_path, "a folder"), (tmp_path / "no.key", "No such file")):
        with pytest.raises(UsageError, match=why):
            keys.load_pair(path)


def test_a_public_key_beside_another_secret_is_refused(tmp_path: Path) -> None:
    mine, other = keys.make("mine", tmp_path), keys.make("other", tmp_path)
    pairs = [keys.load_pair(made.secret) for made in (mine, other)]
    mine.secret.write_text(mine.secret.read_text().replace(pairs[0].public.decode(), pairs[1].public.decode()))
    with pytest.raises(UsageError, match="does not belong"):
        keys.load_pair(mine.secret)


def test_the_list_is_a_folder_or_one_file_and_never_empty(tmp_path: Path) -> None:
    made = [keys.make(name, tmp_path) for name in ("a", "b")]
    public = [keys.load_public(each.public) for each in made]
    assert keys.load_allowed(tmp_path) == set(public)
    assert keys.load_allowed(made[0].public) == {public[0]}
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="found no file"):
        keys.load_allowed(tmp_path / "empty")
    with pytest.raises(UsageError, match="No such file"):
        keys.load_allowed(tmp_path / "none")
    (tmp_path / "bad.key").write_text("no key")
    with pytest.raises(UsageError, match="expected a public key"):
        keys.load_allowed(tmp_path)


def test_a_list_that_others_may_change_is_refused(tmp_path: Path) -> None:
    made = keys.make("a", tmp_path / "list")
    made.public.chmod(0o666)
    with pytest.raises(UsageError, match="others may change"):
        keys.load_allowed(tmp_path / "list")
    made.public.chmod(0o644)
    (tmp_path / "list").chmod(0o777)
    with pytest.raises(UsageError, match="others may change"):
        keys.load_allowed(tmp_path / "list")


def test_half_a_door_is_refused(tmp_path: Path) -> None:
    made = keys.make("a", tmp_path)
    assert keys.load_door(None, None) is None
    assert keys.load_guest(None, None) is None
    for half in ((str(made.secret), None), (None, str(made.public))):
        with pytest.raises(UsageError, match="is missing"):
            keys.load_door(*half)
    for guest in ((made.secret, None), (None, made.public)):
        with pytest.raises(UsageError, match="is missing"):
            keys.load_guest(*guest)


def test_the_command_makes_and_shows_keys(tmp_path: Path) -> None:
    done = streamseg("keys", "new", "robot", "-o", tmp_path)
    assert done.returncode == 0, done.stderr
    public, secret = map(Path, done.stdout.splitlines())
    shown = streamseg("keys", "show", "-o", tmp_path)
    pair = keys.load_pair(secret)
    assert shown.stdout.splitlines()[1].split() == ["robot", pair.public.decode(), "here"]
    assert pair.secret.decode() not in done.stdout + done.stderr + shown.stdout + shown.stderr
    secret.unlink()
    assert "not here" in streamseg("keys", "show", "-o", tmp_path).stdout
    public.unlink()
    assert streamseg("keys", "show", "-o", tmp_path).returncode == 2


def test_a_list_below_a_folder_that_others_may_change_is_refused(tmp_path: Path) -> None:
    """They could rename what lies in it, and put their own list in its place."""
    folder = tmp_path / "open" / "mine" / "list"
    folder.mkdir(parents=True)
    keys.make("a", folder)
    assert len(keys.load_allowed(folder)) == 1
    (tmp_path / "link").symlink_to(folder)
    for mode in (0o777, 0o775):
        (tmp_path / "open").chmod(mode)
        for path in (folder, folder / "a.key", tmp_path / "link"):
            with pytest.raises(UsageError, match=f"others may change {tmp_path}/open .*another list"):
                keys.load_allowed(path)
    # As /tmp is: everybody may put something there, nobody may move what is there.
    (tmp_path / "open").chmod(0o1777)
    assert len(keys.load_allowed(folder)) == 1
