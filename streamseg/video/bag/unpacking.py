"""Unpacking what bags are compressed with, never to more than is said or taken."""

from __future__ import annotations

from pathlib import Path

from streamseg import extras
from streamseg.errors import MediaError
from streamseg.video.bag.topics import MESSAGE_MAX_BYTES, DamagedMessageError

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_PIECE_BYTES = 1 << 20


def unpack(compression: str, data: bytes, size: int | None = None) -> bytes:
    """The data unpacked.

    Args:
        compression: ``zstd``, ``lz4``, or empty for none.
        data: as they lie in the bag.
        size: how many bytes they become; None if that is not known.

    Raises:
        DamagedMessageError: they are not all there, not what they should be, or become too many.
        UsageError: the package that unpacks them is missing.
    """
    most = MESSAGE_MAX_BYTES if size is None else size
    if max(most, len(data)) > MESSAGE_MAX_BYTES:
        raise DamagedMessageError(f"it has more than the {MESSAGE_MAX_BYTES >> 20} MiB that are read")
    if not compression:
        found = data
    elif compression == "zstd":
        zstandard = extras.load("zstandard", "bags", "to read compressed bags")
        try:
            with zstandard.ZstdDecompressor().stream_reader(data) as stream:
                found = stream.read(most + 1)
        except zstandard.ZstdError as error:
            raise DamagedMessageError(f"it cannot be unpacked ({error})") from error
    elif compression == "lz4":
        lz4 = extras.load("lz4.frame", "bags", "to read compressed bags")
        try:
            found = lz4.LZ4FrameDecompressor().decompress(data, max_length=most + 1)
        except (RuntimeError, EOFError) as error:
            raise DamagedMessageError(f"it cannot be unpacked ({error})") from error
    else:
        raise DamagedMessageError(f"it is compressed with {compression!r}, expected zstd or lz4; convert the bag")
    if (len(found) > most) if size is None else (len(found) != size):
        raise DamagedMessageError("it is not as long as it says")
    return bytes(found)


def unpack_file(path: Path, target: Path) -> str | None:
    """Unpack a file that is compressed as a whole, as far as it goes. Returns what is wrong with it, if something is.

    Of one that is cut off there may be nothing wrong here: the file that comes out ends too early then.

    Raises:
        MediaError: it cannot be read, or there is no room.
        UsageError: the package that unpacks it is missing.
    """
    zstandard = extras.load("zstandard", "bags", "to read compressed bags")
    try:
        with path.open("rb") as packed, target.open("wb") as plain:
            reader = zstandard.ZstdDecompressor().stream_reader(packed)
            try:
                while piece := reader.read(_PIECE_BYTES):
                    plain.write(piece)
            except zstandard.ZstdError as error:
                return f"{path} is damaged or cut off ({error}): what can be unpacked is read"
    except OSError as error:
        raise MediaError(f"expected to unpack {path} to {target}, got: {error.strerror}; make room there") from error
    return None
