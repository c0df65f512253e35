"""A snapshot's file: its mark and its bytes, with checksums. No I/O.

magic 4 bytes · version u32 · mark length u32 · data length u64 · CRC-32 of the data u32 ·
mark · CRC-32 of all so far u32 · data
"""

from __future__ import annotations

import re
import struct
import zlib

from quorum.codec import pack_mark, unpack_mark
from quorum.messages import Index, SnapshotMark, Term

_MAGIC = b"QSNP"
_VERSION = 1
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


def pack_snapshot_head(mark: SnapshotMark, data: bytes) -> bytes:
    """What goes before the data in its file."""
    packed = pack_mark(mark)
    head = _HEADER.pack(_MAGIC, _VERSION, len(packed), len(data), zlib.crc32(data)) + packed
    return head + _CHECK.pack(zlib.crc32(head))


def unpack_snapshot(content: bytes) -> tuple[SnapshotMark, bytes]:
    """Mark and data of a snapshot's file; ValueError if it is damaged."""
    if len(content) < _HEADER.size:
        raise ValueError("it is cut short")
    magic, version, mark_size, data_size, checksum = _HEADER.unpack_from(content)
    check_at = _HEADER.size + mark_size
    data_at = check_at + _CHECK.size
    if magic != _MAGIC or version != _VERSION:
        raise ValueError(f"it is not a snapshot of format version {_VERSION}")
    if data_at + data_size != len(content):
        raise ValueError(f"it has {len(content)} bytes, not {data_at + data_size}")
    if zlib.crc32(content[:check_at]) != _CHECK.unpack_from(content, check_at)[0]:
        raise ValueError("the checksum of its header is wrong")
    data = content[data_at:]
    if zlib.crc32(data) != checksum:
        raise ValueError("the checksum of its data is wrong")
    return unpack_mark(content[_HEADER.size : check_at]), data
