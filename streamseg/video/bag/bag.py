"""A bag, of one file or of a folder of them: its topics, and the messages of one by number."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from streamseg.errors import MediaError
from streamseg.video.bag.mcap_file import McapFile
from streamseg.video.bag.sqlite_file import SqliteFile
from streamseg.video.bag.topics import BagFile, Entry, Topic
from streamseg.video.bag.unpacking import unpack_file
from streamseg.video.source import BAG_SUFFIXES, bag_files


class Message(NamedTuple):
    """Where a message of a bag is."""

    log_ns: int
    """When it was recorded, nanoseconds since the epoch."""
    entry: Entry
    file: int


class Bag:
    """An open bag. All files are opened at once, so that topics and times are known; messages stay on the disk.

    Args:
        path: of an MCAP file, of an SQLite file of a ROS 2 bag, or of a folder of such.

    Raises:
        MediaError: it is missing, no bag, or none of its files can be read.
        UsageError: a package that is needed is missing.
    """

    def __init__(self, path: Path) -> None:
        self._stack = contextlib.ExitStack()
        self._files: list[BagFile] = []
        self.notes: list[str] = []
        """What is wrong with it, one sentence each."""
        try:
            self._open(path)
        except BaseException:
            self._stack.close()
            raise
        self.topics = list({(topic.name, topic.type): topic for file in self._files for topic in file.topics}.values())

    def messages(self, topic: Topic) -> list[Message]:
        """Where all messages of a topic are, by their times."""
        found = [
            Message(entry.log_ns, entry, number)
            for number, file in enumerate(self._files)
            for each in file.topics
            if (each.name, each.type) == (topic.name, topic.type)
            for entry in file.entries(each)
        ]
        for file in self._files:
            self._note(file.notes)
        return sorted(found, key=lambda message: (message.log_ns, message.file, message.entry))

    def read(self, message: Message) -> bytes | memoryview:
        """The bytes of a message.

        Raises:
            DamagedMessageError: they are not there in full, or damaged.
        """
        return self._files[message.file].read(message.entry.place)

    def close(self) -> None:
        """Let go of its files. Safe to call twice."""
        self._stack.close()

    def _open(self, path: Path) -> None:
        paths = bag_files(path) if path.is_dir() else [path]
        if not paths:
            raise MediaError(f"expected a bag ({', '.join(BAG_SUFFIXES)}) in the folder {path}, found none")
        errors = []
        for each in paths:
            try:
                file = self._open_file(each)
            except MediaError as error:
                errors.append(error)
                continue
            self._stack.callback(file.close)
            self._files.append(file)
            self._note(file.notes)
        if not self._files:
            raise errors[0]
        self._note([f"{error}; it is left out" for error in errors])

    def _open_file(self, path: Path) -> BagFile:
        if not path.is_file():
            raise MediaError(f"expected a bag, but {path} does not exist; check the path")
        if path.suffix.lower() == ".zstd":
            folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="streamseg-bag-")))
            plain = folder / path.stem
            self._note([wrong] if (wrong := unpack_file(path, plain)) else [])
            path = plain
        return McapFile(path) if path.suffix.lower() == ".mcap" else SqliteFile(path)

    def _note(self, sentences: Sequence[str]) -> None:
        self.notes += [each for each in sentences if each not in self.notes]
