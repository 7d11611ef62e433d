"""One SQLite file of a ROS 2 bag: its topics, and its messages by number, as far as it goes if it was cut off.

Python's own sqlite3 does it: the tables are simple, a message is found by its row without reading those before it, and
a database that is not whole can be read all the same.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from urllib.parse import quote

from streamseg.errors import MediaError
from streamseg.video.bag.topics import DamagedMessageError, Entry, Topic
from streamseg.video.bag.unpacking import ZSTD_MAGIC, unpack


class SqliteFile:
    """An open SQLite file.

    Args:
        path: of the file.

    Raises:
        MediaError: it is none of a ROS 2 bag, or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.notes: list[str] = []
        # Where a recorder was killed, a log beside the file has its last messages; it needs the usual locks.
        has_log = path.with_name(f"{path.name}-wal").exists()
        mode = "mode=ro" if has_log else "mode=ro&immutable=1"
        try:
            # Opened by one thread, read by another, never by both at once.
            self._db = sqlite3.connect(f"file:{quote(str(path))}?{mode}", uri=True, check_same_thread=False)
        except sqlite3.Error as error:
            raise MediaError(f"expected a bag that can be read, but {path} gave: {error}; check its mode") from error
        try:
            self._numbers = self._topics()
        except BaseException:
            self._db.close()
            raise
        self.topics = list(self._numbers)

    def entries(self, topic: Topic) -> list[Entry]:
        """All messages of a topic, by their times."""
        found = []
        for number in self._numbers.get(topic, ()):
            try:
                for log_ns, row in self._db.execute("SELECT timestamp, id FROM messages WHERE topic_id = ?", (number,)):
                    found.append(Entry(log_ns, (number, row)))
            except sqlite3.DatabaseError as error:
                self._say(error)
        return sorted(found)

    def read(self, place: tuple[int, int]) -> bytes:
        """The bytes of a message.

        Raises:
            DamagedMessageError: they are not there in full, or damaged.
        """
        try:
            row = self._db.execute("SELECT data FROM messages WHERE id = ?", (place[1],)).fetchone()
        except sqlite3.DatabaseError as error:
            raise DamagedMessageError(f"the database is damaged there ({error})") from error
        if row is None or not isinstance(row[0], bytes):
            raise DamagedMessageError("it is not there")
        data = row[0]
        # Messages in CDR begin with a zero.
        return unpack("zstd", data) if data[:4] == ZSTD_MAGIC else data

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def _topics(self) -> dict[Topic, list[int]]:
        try:
            rows = self._rows("SELECT id, name, type, serialization_format FROM topics ORDER BY id")
        except sqlite3.DatabaseError as error:
            raise MediaError(
                f"expected the database of a ROS 2 bag, but {self._path} gave: {error}; "
                f"'sqlite3 FILE .recover' may save what is in there"
            ) from error
        definitions = {}
        with contextlib.suppress(sqlite3.DatabaseError):  # older bags have none
            plain = self._db.execute("SELECT topic_type, encoded_message_definition FROM message_definitions")
            definitions = {kind: str(text).encode() for kind, text in plain}
        found: dict[Topic, list[int]] = {}
        for number, name, kind, encoding in rows:
            found.setdefault(Topic(str(name), str(kind), str(encoding), definitions.get(kind, b"")), []).append(number)
        return found

    def _rows(self, query: str) -> list[tuple[int, str, str, str]]:
        try:
            return self._db.execute(query).fetchall()
        except sqlite3.DatabaseError as error:
            # A file that is shorter than its header says is not looked at any further, unless one insists.
            self._db.execute("PRAGMA writable_schema=ON")
            rows = self._db.execute(query).fetchall()
            self._say(error)
            return rows

    def _say(self, error: sqlite3.Error) -> None:
        sentence = f"{self._path} is damaged or cut off ({error}); what is whole is read"
        if sentence not in self.notes:
            self.notes.append(sentence)
