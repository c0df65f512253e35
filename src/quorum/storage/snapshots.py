"""A snapshot's file: its mark and its bytes, with checksums.

magic 4 bytes · version u32 · mark length u32 · data length u64 · CRC-32 of the data u32 ·
mark · CRC-32 of all so far u32 · data

The data may be larger than memory: it is written and read a chunk at a time. Its size and checksum
are known when all of it was written, so the header, whose size is known before, is written last.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from attrs import frozen

from quorum.codec import MARK_BYTES_MAX, pack_mark, unpack_mark
from quorum.messages import Index, SnapshotMark, Term
from quorum.storage import CHUNK_BYTES
from quorum.storage.disk import Disk, File, Source, finish

SNAPSHOT_SYNC_BYTES = 16 << 20
"""Bytes of a snapshot that wait for a sync at most: the log's syncs must not queue behind more."""

_MAGIC = b"QSNP"
_VERSION = 2
_HEADER = struct.Struct("<4sIIQI")
_CHECK = struct.Struct("<I")
_NAME = re.compile(r"snapshot-(\d{20})-(\d{20})")


def snapshot_name(mark: SnapshotMark) -> str:
    """The name of the file for a snapshot with this mark."""
    return f"snapshot-{mark.index:020}-{mark.term:020}"


def parse_snapshot_name(name: str) -> tuple[Index, Term] | None:
    """Index and term of the snapshot in a file of this name; None if it is no such name."""
    match = _NAME.fullmatch(name)
    return (int(match[1]), int(match[2])) if match is not None else None


def snapshot_head_size(mark: SnapshotMark) -> int:
    """Bytes before the data in the file of a snapshot with this mark."""
    return _HEADER.size + len(pack_mark(mark)) + _CHECK.size


def pack_snapshot_head(mark: SnapshotMark, size: int, checksum: int) -> bytes:
    """What goes before `size` bytes of data, with this CRC-32, in their file."""
    packed = pack_mark(mark)
    head = _HEADER.pack(_MAGIC, _VERSION, len(packed), size, checksum) + packed
    return head + _CHECK.pack(zlib.crc32(head))


@frozen
class Found:
    """What a snapshot's file holds, checked from end to end."""

    mark: SnapshotMark
    start: int
    """Where the data begins."""
    size: int
    """Bytes of data."""


def check_snapshot(source: Source, mark: SnapshotMark | None = None) -> Found:
    """Read a snapshot's file, a chunk at a time; ValueError if it is damaged, or not this one."""
    header = source.read_at(_HEADER.size, 0)
    if len(header) < _HEADER.size:
        raise ValueError("it is cut short")
    magic, version, mark_size, data_size, checksum = _HEADER.unpack(header)
    if magic != _MAGIC or version != _VERSION:
        raise ValueError(f"it is not a snapshot of format version {_VERSION}")
    start = _HEADER.size + mark_size + _CHECK.size
    if mark_size > MARK_BYTES_MAX:
        raise ValueError(f"its mark has {mark_size} bytes")
    if start + data_size != source.size:
        raise ValueError(f"it has {source.size} bytes, not {start + data_size}")
    head = source.read_at(start, 0)
    if zlib.crc32(head[: -_CHECK.size]) != _CHECK.unpack(head[-_CHECK.size :])[0]:
        raise ValueError("the checksum of its header is wrong")
    actual = 0
    for offset in range(start, source.size, CHUNK_BYTES):
        actual = zlib.crc32(source.read_at(CHUNK_BYTES, offset), actual)
    if actual != checksum:
        raise ValueError("the checksum of its data is wrong")
    found = unpack_mark(head[_HEADER.size : -_CHECK.size])
    if mark is not None and (found.index, found.term) != (mark.index, mark.term):
        raise ValueError(f"it is the snapshot of another state: {found}")
    return Found(found, start, data_size)


@frozen
class SnapshotFile:
    """A durable snapshot, open for reading: the data in its file."""

    source: Source
    start: int
    size: int

    def read(self, offset: int, size: int) -> bytes:
        """So many bytes of the data from this place, fewer only where it ends."""
        return self.source.read_at(size, self.start + offset)

    def close(self) -> None:
        """Let go of the file."""
        self.source.close()


class Draft:
    """A snapshot that is being written, under another name."""

    def __init__(self, disk: Disk, path: Path, mark: SnapshotMark, *, sync: bool) -> None:
        self.size = 0
        """Bytes so far."""
        self._disk, self._path, self._mark, self._sync = disk, path, mark, sync
        self._start = snapshot_head_size(mark)
        self._checksum = self._synced = 0
        self._file: File | None = disk.create(path)
        self._saved = False

    def write(self, data: bytes) -> None:
        """Add the next bytes."""
        assert self._file is not None, "a draft that was discarded is not written"
        self._file.write_at(data, self._start + self.size)
        self.size += len(data)
        self._checksum = zlib.crc32(data, self._checksum)
        if self.size - self._synced >= SNAPSHOT_SYNC_BYTES and self._sync:
            self._file.sync()
            self._synced = self.size

    def save(self) -> None:
        """Make it durable, in place of one with the same mark."""
        assert self._file is not None, "a draft that was discarded is not saved"
        self._file.write_at(pack_snapshot_head(self._mark, self.size, self._checksum), 0)
        name = snapshot_name(self._mark)
        finish(self._disk, self._file, self._path, name, sync=self._sync)
        self._saved = True

    def discard(self) -> None:
        """Close the file, and remove it if it was not saved; may be called twice."""
        if self._file is not None:
            self._file.close()
            self._file = None
            if not self._saved:
                with suppress(OSError):
                    self._disk.remove(self._path)  # a full disk needs the space


def gathered(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in chunks that are worth a write."""
    gathered: list[bytes] = []
    size = 0
    for chunk in chunks:
        gathered.append(chunk)
        size += len(chunk)
        if size >= CHUNK_BYTES:
            yield b"".join(gathered)
            gathered.clear()
            size = 0
    yield b"".join(gathered)
