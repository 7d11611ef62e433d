"""Only regular files of a reasonable size are read, whatever a name leads to."""

from __future__ import annotations

import errno
import os
import socket
import threading
from pathlib import Path

import pytest

from streamseg.regular_files import check_own, open_own, own_folder, read_regular


def strange_files(folder: Path) -> dict[str, Path]:
    """What a path may lead to that is no regular file, by what it is called."""
    os.mkfifo(folder / "fifo")
    (folder / "sub").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket"))
    return {
        "FIFO": folder / "fifo",
        "folder": folder / "sub",
        "socket": folder / "socket",
        "device": Path("/dev/zero"),
    }


def test_what_is_no_regular_file_is_named_and_never_waited_for(tmp_path: Path) -> None:
    for kind, path in strange_files(tmp_path).items():
        with pytest.raises(OSError, match=f"it is a {kind}"):
            read_regular(path, 100)
        if kind != "device":
            with pytest.raises(OSError, match=f"it is a {kind}|Is a directory|such device"):
                open_own(path, os.O_RDWR | os.O_CREAT)
            with pytest.raises(OSError, match=f"it is a {kind}"):
                check_own(path)


def test_a_fifo_that_a_link_leads_to_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("fifo")
    with pytest.raises(OSError, match="a FIFO"):
        read_regular(tmp_path / "link", 100)


def test_no_more_is_read_than_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(100))
    assert read_regular(path, 100) == bytes(100)
    with pytest.raises(OSError, match="at most") as caught:
        read_regular(path, 99)
    assert caught.value.errno == errno.EFBIG
    # Files of the kernel say that they are empty, whatever is in them.
    with pytest.raises(OSError, match="more than"):
        read_regular("/proc/self/maps", 99)
    assert read_regular("/proc/self/cmdline", 1 << 20)


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 300], ids=["zero", "half", "long"])
def test_names_that_no_file_can_have_are_an_error_of_the_system(tmp_path: Path, name: str) -> None:
    with pytest.raises(OSError) as caught:
        read_regular(f"{tmp_path}/{name}", 100)
    assert caught.value.strerror


def test_a_link_in_our_own_folder_is_neither_read_nor_cut_off(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"mine")
    (tmp_path / "soft").symlink_to(outside)
    (tmp_path / "hard").hardlink_to(outside)
    for name in ("soft", "hard"):
        with pytest.raises(OSError, match="link"):
            open_own(tmp_path / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with pytest.raises(OSError, match="a link"):
        open_own(tmp_path / "soft", os.O_RDONLY)
    assert outside.read_bytes() == b"mine"


def test_below_a_folder_of_ours_no_link_is_followed_wherever_it_is_and_above_it_as_before(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "named" / "out"
    (outside / "c").mkdir(parents=True)
    (tmp_path / "real").mkdir()
    (tmp_path / "named").symlink_to("real")
    with own_folder(root / "a" / "b" / "c", root, make=True):
        pass
    # A folder on the way is replaced after it has been made and looked at.
    (root / "a" / "b").rename(root / "a" / "was")
    (root / "a" / "b").symlink_to(outside)
    path = root / "a" / "b" / "c" / "file"
    for flags in (os.O_WRONLY | os.O_CREAT, os.O_RDONLY):
        with pytest.raises(OSError, match="expected a folder, it is a link"):
            open_own(path, flags, root=root)
    with pytest.raises(OSError, match="it is a link"), own_folder(root / "a" / "b" / "new", root, make=True):
        pass
    assert [each.name for each in outside.iterdir()] == ["c"] and list((outside / "c").iterdir()) == []
    os.close(open_own(root / "a" / "was" / "c" / "file", os.O_WRONLY | os.O_CREAT, root=root))
    assert (tmp_path / "real" / "out" / "a" / "was" / "c" / "file").exists()


def test_our_own_files_are_made_cut_off_and_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"a long one", b"short"):
        fd = open_own(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.write(fd, content)
        os.close(fd)
        assert path.read_bytes() == content
    check_own(path)
    check_own(tmp_path / "none")


def test_a_file_descriptor_is_not_left_open(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    before = len(list(Path("/proc/self/fd").iterdir()))
    # Somebody reads, so opening the FIFO to write succeeds and what it is is seen only then.
    reader = threading.Thread(target=lambda: (tmp_path / "fifo").open("rb").close())
    reader.start()
    with pytest.raises(OSError):
        while True:
            os.close(open_own(tmp_path / "fifo", os.O_WRONLY))
    os.close(os.open(tmp_path / "fifo", os.O_RDWR))
    with (tmp_path / "fifo").open("r+b", buffering=0):
        reader.join()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
