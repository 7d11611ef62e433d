"""An MCAP file that grows in pieces, is whole after each of them, and can be cut off and gone on with.

The file is header, schemas, channels, chunk after chunk with the indexes of its messages, then a summary. A new piece
is written over the summary, and a new summary behind it. Should the machine die amid that, what was there before is
whole all the same, and every reader that goes from record to record finds it.

The package ``mcap`` writes its records; its own writer keeps what it knows of a file to itself, so nobody could go on.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from streamseg import extras
from streamseg.errors import OutputError
from streamseg.jobs import Natural
from streamseg.regular_files import open_own
from streamseg.video.bag.mcap_file import MAGIC

if TYPE_CHECKING:
    from mcap import records
    from mcap.data_stream import RecordBuilder

_HEAD = struct.Struct("<BQ")
_CHUNK, _INDEX = 6, 7
_CHUNK_HEAD_BYTES = 44
"""Two times, a size, a checksum, the word ``zstd``, the size of what follows."""
_CHUNK_BYTES = 4 << 20
_SMALL_SUMMARY_BYTES = 256 << 10
"""A larger summary is written again only once as much has come to the file, or a long run writes little else."""
_PURPOSE = "to write MCAP files"


class Channel(NamedTuple):
    """Messages of one kind."""

    topic: str
    encoding: str
    """Of the messages: ``protobuf``, ``json``, ``cdr``."""
    schema: str
    """Name of their type."""
    schema_encoding: str
    """How `definition` is written: ``protobuf``, ``jsonschema``, ``ros2msg``."""
    definition: bytes


class McapMark(msgspec.Struct, frozen=True, kw_only=True):
    """How far results are in an MCAP file."""

    bytes: Natural
    """Its length without the summary."""


class Piece:
    """Messages that are not in the file yet."""

    def __init__(self) -> None:
        self.chunks: list[_Chunk] = []

    def add(self, channel: int, log_ns: int, sequence: int, data: bytes) -> None:
        """One more message, of the channel with that number."""
        if not self.chunks or self.chunks[-1].packed:
            self.chunks.append(_Chunk())
        chunk = self.chunks[-1]
        chunk.add(channel, log_ns, sequence, data)
        if chunk.size >= _CHUNK_BYTES:
            # Here and not by the thread that commits: masks become a thousandth, and until then all of them are kept.
            chunk.pack()


class _Chunk:
    """Messages that are compressed together."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.size = 0
        """In bytes, not compressed."""
        self.crc = 0
        """Of the same."""
        self.packed = b""
        """Compressed; empty before `pack`."""
        self.places: dict[int, list[tuple[int, int]]] = {}
        """Channel -> (time, offset) of its messages."""

    def add(self, channel: int, log_ns: int, sequence: int, data: bytes) -> None:
        self.places.setdefault(channel, []).append((log_ns, self.size))
        head = _HEAD.pack(5, 22 + len(data)) + struct.pack("<HIQQ", channel, sequence, log_ns, log_ns)
        self._parts += [head, data]
        self.size += len(head) + len(data)

    def pack(self) -> None:
        """Compress it, unless that was done."""
        if not self.packed:
            plain = b"".join(self._parts)
            self.crc = zlib.crc32(plain)
            self.packed = extras.load("zstandard", "bags", _PURPOSE).ZstdCompressor(level=1).compress(plain)
            self._parts.clear()


class GrowingMcap:
    """An MCAP file that pieces are appended to.

    Args:
        path: of the file; nobody else may write to it.
        profile: as in its header, say ``ros2``.
        channels: their numbers are 1, 2, … in this order.
        keep: how much of an earlier run's file to keep; None begins a new one with the first piece.
        root: a folder from which on no part of the path may be a link; None for its own.

    Raises:
        OutputError: the file of an earlier run is not there, or shorter than it was.
        UsageError: a package that is needed is missing.
    """

    def __init__(
        self,
        path: Path,
        profile: str,
        channels: Sequence[Channel],
        keep: McapMark | None,
        root: Path | None = None,
    ) -> None:
        self._path = path
        self._root = root
        self._records = extras.load("mcap.records", "bags", _PURPOSE)
        self._streams = extras.load("mcap.data_stream", "bags", _PURPOSE)
        self._profile = profile
        self._schemas: list[records.Schema] = []
        self._channels: list[records.Channel] = []
        numbers: dict[tuple[str, bytes], int] = {}
        for number, each in enumerate(channels, 1):
            schema = numbers.setdefault((each.schema, each.definition), len(numbers) + 1)
            if schema > len(self._schemas):
                self._schemas.append(
                    self._records.Schema(
                        id=schema, name=each.schema, encoding=each.schema_encoding, data=each.definition
                    )
                )
            self._channels.append(
                self._records.Channel(
                    id=number, topic=each.topic, message_encoding=each.encoding, metadata={}, schema_id=schema
                )
            )
        self._indexes: list[records.ChunkIndex] = []
        self._counts = dict.fromkeys(range(1, len(channels) + 1), 0)
        self._whole_bytes = 0
        self._since_summary_bytes: int | None = 0
        """What was appended since the summary was written last; None if there is none."""
        if keep is not None:
            self._keep(keep)

    def append(self, piece: Piece, *, sync: bool) -> McapMark:
        """Put a piece at the end of the file, all or nothing. May be called from another thread than the rest.

        Raises:
            OutputError: the disk is full or gone; the file keeps what it has.
        """
        begin, known = self._whole_bytes, (list(self._indexes), dict(self._counts))
        parts = [] if begin else [self._beginning()]
        at = begin + len(parts[0]) if parts else begin
        for chunk in piece.chunks:
            data, index = self._packed(chunk, at)
            parts.append(data)
            at += len(data)
            self._indexes.append(index)
            for channel, places in chunk.places.items():
                self._counts[channel] += len(places)
        summary = self._summary(at)
        since = at - begin + (self._since_summary_bytes or 0)
        is_due = len(summary) <= max(_SMALL_SUMMARY_BYTES, since)
        try:
            self._write([*parts, summary] if is_due else parts, sync=sync)
        except OSError as error:
            self._indexes, self._counts = known
            raise OutputError(
                f"expected to write {self._path}, got: {error.strerror}; free space or choose another output"
            ) from error
        self._whole_bytes = at
        self._since_summary_bytes = 0 if is_due else since
        return McapMark(bytes=at)

    def close(self) -> None:
        """See that the file has its summary.

        Raises:
            OutputError: it cannot be written; all messages can be read without it.
        """
        if self._whole_bytes and self._since_summary_bytes != 0:
            try:
                self._write([self._summary(self._whole_bytes)], sync=True)
            except OSError as error:
                raise OutputError(f"expected to finish {self._path}, got: {error.strerror}; free space") from error
            self._since_summary_bytes = 0

    def _write(self, parts: Sequence[bytes], *, sync: bool) -> None:
        """Write behind what is whole; where that fails, what was there is whole again."""
        begin = self._whole_bytes
        flags = os.O_RDWR if begin else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        fd = open_own(self._path, flags, root=self._root)
        with os.fdopen(fd, "r+b" if begin else "wb", buffering=0) as file:
            try:
                file.seek(begin)
                for part in parts:
                    rest = memoryview(part)
                    while rest:
                        rest = rest[file.write(rest) :]
                file.truncate()
                if sync:
                    os.fsync(file.fileno())
            except OSError:
                with contextlib.suppress(OSError):
                    file.truncate(begin)
                self._since_summary_bytes = None
                raise

    def _beginning(self) -> bytes:
        builder = self._streams.RecordBuilder()
        builder.write(MAGIC)
        self._records.Header(profile=self._profile, library="streamseg").write(builder)
        self._write_channels(builder)
        return bytes(builder.end())

    def _write_channels(self, builder: RecordBuilder) -> None:
        for schema in self._schemas:
            schema.write(builder)
        for channel in self._channels:
            channel.write(builder)

    def _packed(self, chunk: _Chunk, at: int) -> tuple[bytes, records.ChunkIndex]:
        """A chunk with the indexes of its messages, and the line for it in the summary."""
        chunk.pack()
        times_ns = [log_ns for places in chunk.places.values() for log_ns, _ in places]
        builder = self._streams.RecordBuilder()
        self._records.Chunk(
            compression="zstd",
            data=chunk.packed,
            message_start_time=min(times_ns),
            message_end_time=max(times_ns),
            uncompressed_crc=chunk.crc,
            uncompressed_size=chunk.size,
        ).write(builder)
        length, offsets = builder.count, {}
        for channel, places in chunk.places.items():
            offsets[channel] = at + builder.count
            self._records.MessageIndex(channel_id=channel, records=places).write(builder)
        index = self._records.ChunkIndex(
            chunk_start_offset=at,
            chunk_length=length,
            compression="zstd",
            compressed_size=len(chunk.packed),
            uncompressed_size=chunk.size,
            message_start_time=min(times_ns),
            message_end_time=max(times_ns),
            message_index_offsets=offsets,
            message_index_length=builder.count - length,
        )
        return bytes(builder.end()), index

    def _summary(self, at: int) -> bytes:
        """What ends the file at that place."""
        builder = self._streams.RecordBuilder()
        self._records.DataEnd(data_section_crc=0).write(builder)
        start = at + builder.count
        end = bytes(builder.end())
        self._write_channels(builder)
        self._records.Statistics(
            attachment_count=0,
            channel_count=len(self._channels),
            channel_message_counts=dict(self._counts),
            chunk_count=len(self._indexes),
            message_count=sum(self._counts.values()),
            message_start_time=min((index.message_start_time for index in self._indexes), default=0),
            message_end_time=max((index.message_end_time for index in self._indexes), default=0),
            metadata_count=0,
            schema_count=len(self._schemas),
        ).write(builder)
        for index in self._indexes:
            index.write(builder)
        body = bytes(builder.end())
        # The checksum is of the footer too, up to itself.
        footer = _HEAD.pack(2, 20) + struct.pack("<QQ", start, 0)
        return end + body + footer + struct.pack("<I", zlib.crc32(footer, zlib.crc32(body))) + MAGIC

    def _keep(self, mark: McapMark) -> None:
        """Take up what an earlier run has written; what is behind it goes with the next piece."""
        try:
            with os.fdopen(open_own(self._path, os.O_RDONLY, root=self._root), "rb") as file:
                there_bytes = os.fstat(file.fileno()).st_size
                if there_bytes < mark.bytes:
                    raise OutputError(
                        f"expected {mark.bytes} bytes of an earlier run in {self._path}, there are {there_bytes}; "
                        f"start again with --overwrite"
                    )
                at = len(MAGIC)
                while at < mark.bytes:
                    file.seek(at)
                    opcode, length = _HEAD.unpack(file.read(_HEAD.size))
                    if opcode == _CHUNK:
                        self._indexes.append(self._index_of(file.read(_CHUNK_HEAD_BYTES), at, _HEAD.size + length))
                    elif opcode == _INDEX:
                        self._take_up(file.read(length), at, _HEAD.size + length)
                    at += _HEAD.size + length
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            raise OutputError(f"expected to read {self._path}, got: {error.strerror}; check its mode") from error
        except (struct.error, LookupError, ValueError) as error:
            raise OutputError(
                f"expected {self._path} to be as an earlier run has left it, it is damaged ({error}); "
                f"start again with --overwrite"
            ) from error
        self._whole_bytes = mark.bytes
        self._since_summary_bytes = None

    def _index_of(self, head: bytes, at: int, length: int) -> records.ChunkIndex:
        start_ns, end_ns, plain_bytes, _, _ = struct.unpack_from("<QQQII", head)
        index: records.ChunkIndex = self._records.ChunkIndex(
            chunk_start_offset=at,
            chunk_length=length,
            compression="zstd",
            compressed_size=length - _HEAD.size - _CHUNK_HEAD_BYTES,
            uncompressed_size=plain_bytes,
            message_start_time=start_ns,
            message_end_time=end_ns,
            message_index_offsets={},
            message_index_length=0,
        )
        return index

    def _take_up(self, data: bytes, at: int, length: int) -> None:
        channel, size = struct.unpack_from("<HI", data)
        index = self._indexes[-1]
        index.message_index_offsets[channel] = at
        index.message_index_length += length
        self._counts[channel] += len(np.frombuffer(data, "<u8", size // 8, 6)) // 2
