"""One MCAP file: its topics, and its messages by number.

A whole file says in its summary where its chunks are, and beside each chunk is the index of its messages. So a message
is found without reading those before it. A file that was cut off has no summary: then one goes from record to record,
past the chunks, to what is still there in full.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from streamseg import extras
from streamseg.errors import MediaError
from streamseg.video.bag.topics import MESSAGE_MAX_BYTES, DamagedMessageError, Entry, Topic
from streamseg.video.bag.unpacking import unpack

if TYPE_CHECKING:
    from mcap import records
    from mcap.data_stream import ReadDataStream

MAGIC = b"\x89MCAP0\r\n"
"""What an MCAP file begins and ends with."""
_HEAD = struct.Struct("<BQ")
_MESSAGE = struct.Struct("<HIQQ")
_SCHEMA, _CHANNEL, _MESSAGE_OP, _CHUNK, _INDEX, _DATA_END, _FOOTER = 3, 4, 5, 6, 7, 15, 2
_UNCHUNKED = -1
_KEPT_CHUNKS = 4
"""Chunks may overlap in time, so some are kept while one goes from message to message."""


class _Bounded(io.BufferedReader):
    """A file that reads no more than it has: memory is taken for what is asked for, before anything is there."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self.size = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """At most the rest of the file."""
        rest = max(0, self.size - self.tell())
        return super().read(rest if size is None or size < 0 else min(size, rest))


class McapFile:
    """An open MCAP file.

    Args:
        path: of the file.

    Raises:
        MediaError: it is no MCAP file, or cannot be read.
        UsageError: the package that reads them is missing.
    """

    def __init__(self, path: Path) -> None:
        self._records = extras.load("mcap.records", "bags", "to read MCAP files")
        self._streams = extras.load("mcap.data_stream", "bags", "to read MCAP files")
        problems = extras.load("mcap.exceptions", "bags", "to read MCAP files")
        self._errors = (problems.McapError, OSError, ValueError, LookupError, OverflowError, struct.error)
        self._path = path
        self.notes: list[str] = []
        self._schemas: dict[int, records.Schema] = {}
        self._channels: dict[int, records.Channel] = {}
        self._index: dict[int, list[Entry]] = defaultdict(list)
        self._chunks: OrderedDict[int, bytes | DamagedMessageError] = OrderedDict()
        try:
            self._file = _Bounded(path)
            self._size = self._file.size
        except OSError as error:
            raise MediaError(f"expected a bag that can be read, but {path} gave: {error.strerror}") from error
        try:
            if self._at(0, len(MAGIC)) != MAGIC:
                raise MediaError(f"expected an MCAP file, but {path} is something else; check it with 'mcap doctor'")
            if not self._use_summary():
                self._walk()
        except BaseException:
            self._file.close()
            raise
        self._by_topic: dict[Topic, list[int]] = defaultdict(list)
        for number, channel in self._channels.items():
            schema = self._schemas.get(channel.schema_id)
            definition = b"" if schema is None else schema.data
            topic = Topic(channel.topic, "" if schema is None else schema.name, channel.message_encoding, definition)
            self._by_topic[topic].append(number)
        self.topics = list(self._by_topic)

    def entries(self, topic: Topic) -> list[Entry]:
        """All messages of a topic, by their times."""
        return sorted(entry for number in self._by_topic.get(topic, ()) for entry in self._index[number])

    def read(self, place: tuple[int, int]) -> bytes | memoryview:
        """The bytes of a message.

        Raises:
            DamagedMessageError: they are not there in full, or damaged.
        """
        chunk_at, at = place
        data = None if chunk_at == _UNCHUNKED else self._chunk(chunk_at)
        head = self._at(at, _HEAD.size) if data is None else data[at : at + _HEAD.size]
        if len(head) < _HEAD.size:
            raise DamagedMessageError("it is cut off")
        opcode, length = _HEAD.unpack(head)
        if opcode != _MESSAGE_OP or not _MESSAGE.size <= length <= MESSAGE_MAX_BYTES:
            raise DamagedMessageError("there is no message where the index of the file says so")
        begin, end = at + _HEAD.size + _MESSAGE.size, at + _HEAD.size + length
        body = self._at(begin, end - begin) if data is None else memoryview(data)[begin:end]
        if len(body) < end - begin:
            raise DamagedMessageError("it is cut off")
        return body

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _at(self, offset: int, length: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(length)

    def _stream(self, offset: int) -> ReadDataStream:
        self._file.seek(offset)
        stream: ReadDataStream = self._streams.ReadDataStream(self._file)
        return stream

    def _use_summary(self) -> bool:
        """Take topics and places from the summary; False if there is none, or one without all of that."""
        footer_at = self._size - len(MAGIC) - _HEAD.size - 20
        if footer_at < 0 or self._at(self._size - len(MAGIC), len(MAGIC)) != MAGIC:
            return False
        opcode, _ = _HEAD.unpack(self._at(footer_at, _HEAD.size))
        start = struct.unpack("<Q", self._at(footer_at + _HEAD.size, 8))[0]
        if opcode != _FOOTER or not start:
            return False
        try:
            self._file.seek(0)
            summary = extras.load("mcap.reader", "bags", "to read MCAP files").make_reader(self._file).get_summary()
            chunks = [] if summary is None else summary.chunk_indexes
            if summary is None or not chunks or any(not chunk.message_index_offsets for chunk in chunks):
                return False
            self._schemas, self._channels = dict(summary.schemas), dict(summary.channels)
            for chunk in chunks:
                for offset in chunk.message_index_offsets.values():
                    self._take_index(offset, chunk.chunk_start_offset)
        except self._errors:
            self._schemas, self._channels = {}, {}
            self._index.clear()
            self.notes.append(f"the summary of {self._path} is damaged; the file is read without it")
            return False
        return True

    def _take_index(self, offset: int, chunk_at: int) -> bool:
        """Take the index of a chunk's messages of one channel. False if nothing is known of the channel."""
        opcode, length = _HEAD.unpack(self._at(offset, _HEAD.size))
        data = self._file.read(length)
        if opcode != _INDEX or len(data) < length:
            raise ValueError("no index of messages")
        number, size = struct.unpack_from("<HI", data)
        pairs = np.frombuffer(data, "<u8", size // 8, 6).reshape(-1, 2).tolist()
        # What a machine did not come to write before it died may be zeros.
        if len({at for _, at in pairs}) < len(pairs):
            raise ValueError("the index of its messages names one twice")
        self._index[number].extend(Entry(log_ns, (chunk_at, at)) for log_ns, at in pairs)
        return number in self._channels

    def _walk(self) -> None:
        """Go from record to record, as far as they are whole."""
        at, ended = len(MAGIC), False
        chunk_at: int | None = None
        without_index: int | None = None
        while not ended and at + _HEAD.size <= self._size:
            opcode, length = _HEAD.unpack(self._at(at, _HEAD.size))
            end = at + _HEAD.size + length
            if opcode == 0 or end > self._size:
                break
            if without_index is not None and opcode != _INDEX:
                self._search(without_index)
                without_index = None
            try:
                ended = self._take(opcode, at)
                if opcode == _INDEX and chunk_at is not None:
                    if not self._take_index(at, chunk_at):
                        self._search(chunk_at, topics_only=True)
                    without_index = None
            except self._errors as error:
                self.notes.append(f"{self._path} is damaged {at} bytes from its beginning ({error}); that is left out")
                if opcode == _INDEX and chunk_at is not None:
                    self._forget(chunk_at)
                    without_index, chunk_at = chunk_at, None
            if opcode == _CHUNK:
                chunk_at = without_index = at
            at = end
        if without_index is not None:
            self._search(without_index)
        if not ended:
            self.notes.append(f"{self._path} is cut off: what is whole, {at} of its {self._size} bytes, is read")

    def _forget(self, chunk_at: int) -> None:
        """What the indexes of a chunk have said so far: the chunk itself will be searched."""
        for number, entries in self._index.items():
            self._index[number] = [entry for entry in entries if entry.place[0] != chunk_at]

    def _take(self, opcode: int, at: int) -> bool:
        """Take a record that stands by itself. True if it ends the messages."""
        stream = self._stream(at + _HEAD.size)
        if opcode == _SCHEMA:
            schema = self._records.Schema.read(stream)
            self._schemas[schema.id] = schema
        elif opcode == _CHANNEL:
            channel = self._records.Channel.read(stream)
            self._channels[channel.id] = channel
        elif opcode == _MESSAGE_OP:
            number, _, log_ns, _ = _MESSAGE.unpack(stream.read(_MESSAGE.size))
            self._index[number].append(Entry(log_ns, (_UNCHUNKED, at)))
        return opcode in (_DATA_END, _FOOTER)

    def _search(self, chunk_at: int, *, topics_only: bool = False) -> None:
        """Take what is in a chunk, record by record."""
        try:
            data = self._chunk(chunk_at)
        except DamagedMessageError as error:
            self.notes.append(f"a chunk of {self._path} cannot be read: {error}; it is left out")
            return
        at = 0
        while at + _HEAD.size <= len(data):
            opcode, length = _HEAD.unpack_from(data, at)
            begin, end = at + _HEAD.size, at + _HEAD.size + length
            if end > len(data):
                return
            if opcode in (_SCHEMA, _CHANNEL):
                stream = self._streams.ReadDataStream(io.BytesIO(data[begin:end]))
                kind = self._records.Schema if opcode == _SCHEMA else self._records.Channel
                record = kind.read(stream)
                (self._schemas if opcode == _SCHEMA else self._channels)[record.id] = record
            elif opcode == _MESSAGE_OP and length >= _MESSAGE.size and not topics_only:
                number, _, log_ns, _ = _MESSAGE.unpack_from(data, begin)
                self._index[number].append(Entry(log_ns, (chunk_at, at)))
            at = end

    def _chunk(self, chunk_at: int) -> bytes:
        """What is in a chunk, unpacked."""
        found = self._chunks.get(chunk_at)
        if found is None:
            try:
                chunk = self._records.Chunk.read(self._stream(chunk_at + _HEAD.size))
                found = unpack(chunk.compression, chunk.data, chunk.uncompressed_size)
                if chunk.uncompressed_crc not in (0, zlib.crc32(found)):
                    raise DamagedMessageError("its chunk is damaged (checksum)")
            except DamagedMessageError as error:
                found = error
            except self._errors as error:
                found = DamagedMessageError(f"its chunk is damaged ({error or type(error).__name__})")
            self._chunks[chunk_at] = found
            while len(self._chunks) > _KEPT_CHUNKS:
                self._chunks.popitem(last=False)
        else:
            self._chunks.move_to_end(chunk_at)
        if isinstance(found, DamagedMessageError):
            raise found
        return found
