"""The journal's bytes: records, and how to tell a torn one from a damaged one. No I/O.

A journal is a chain of records over one or more files (segments). Each record is written in one
piece and is durable before the next is begun, so a crash can spoil the last one only.

    header   body length u32 · sequence u64 · previous u32 · filled u64 · their CRC-32 u32 · magic
    body     see `quorum.storage.bodies`
    trailer  CRC-32 of header and body u32 · END byte

`previous` is the trailer's CRC of the record before: a record that is left over from elsewhere, or
follows one that was lost, does not continue the chain, whatever its own checksum says. `filled` is
the size that the file had, durably, before the record was written: a file that was cut shows.

Behind the last record the file is zero: space is filled with zeros before it is used. A write that
a crash has torn therefore shows: the file ends inside it, its END byte is missing, or a whole disk
sector of it is still zero. Such a record was never acknowledged and may be dropped. A checksum that
fails without any of these, or anything but zeros further on, is damage to something that was
acknowledged (Alagappan et al., FAST 2018), and nothing may be dropped. The remaining doubt: a
damaged LAST record in which a sector is all zeros, by right or by the damage, counts as torn.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from enum import Enum
from itertools import pairwise

from attrs import frozen

RECORD_BYTES_MAX = 1 << 30
"""Bytes in the body of one record."""

SECTOR = 512
"""What a disk writes wholly or not at all; a multiple of it is as good."""

MAGIC = b"QJR\xe7"
END = b"\xe7"

_NUMBERS = struct.Struct("<IQIQ")
_CHECK = struct.Struct("<I")
HEADER_SIZE = _NUMBERS.size + _CHECK.size + len(MAGIC)
TRAILER_SIZE = _CHECK.size + len(END)
FRAME_SIZE = HEADER_SIZE + TRAILER_SIZE
"""Bytes of a record beyond its body."""


@frozen
class Link:
    """Where a chain has got to: the next record must continue from here."""

    sequence: int = 0
    checksum: int = 0


@frozen
class Record:
    """A record that is whole: its place in the file and in the chain."""

    start: int
    stop: int
    body: bytes
    link: Link
    previous: int
    filled: int
    """The file is at least this long."""

    def continues(self, link: Link) -> bool:
        """Whether this record is the one after `link`."""
        return self.link.sequence == link.sequence + 1 and self.previous == link.checksum


class Tail(Enum):
    """What is behind the last record of a segment."""

    CLEAN = "nothing"
    TORN = "a write that a crash interrupted; it was never acknowledged"
    DAMAGED = "a record that was acknowledged and is damaged"


def seal(body: Sequence[bytes], link: Link, *, filled: int) -> tuple[bytes, Link]:
    """The record that continues the chain after `link`, and where the chain is then.

    The body comes in parts, so that large ones are copied only once.
    """
    length = sum(map(len, body))
    if length > RECORD_BYTES_MAX:
        raise ValueError(f"a record of {length} bytes; the limit is {RECORD_BYTES_MAX}")
    numbers = _NUMBERS.pack(length, link.sequence + 1, link.checksum, filled)
    header = numbers + _CHECK.pack(zlib.crc32(numbers)) + MAGIC
    checksum = zlib.crc32(header)
    for part in body:
        checksum = zlib.crc32(part, checksum)
    record = b"".join((header, *body, _CHECK.pack(checksum), END))
    return record, Link(link.sequence + 1, checksum)


def read(data: bytes, start: int) -> Record | None:
    """The record that begins at `start`, or None if there is no whole one."""
    numbers = _header(data, start)
    if numbers is None:
        return None
    length, sequence, previous, filled = numbers
    body_at = start + HEADER_SIZE
    check_at = body_at + length
    stop = check_at + TRAILER_SIZE
    if stop > len(data) or data[stop - 1 : stop] != END:
        return None
    with memoryview(data) as view:
        checksum = zlib.crc32(view[start:check_at])
    if checksum != _CHECK.unpack_from(data, check_at)[0]:
        return None
    return Record(start, stop, data[body_at:check_at], Link(sequence, checksum), previous, filled)


def judge_tail(data: bytes, start: int, link: Link) -> Tail:
    """What the bytes from `start` on are, after the last record that continued the chain."""
    if data.count(0, start) == len(data) - start:
        return Tail.CLEAN
    if read(data, start) is not None or _goes_on(data, start, link):
        return Tail.DAMAGED
    numbers = _header(data, start)
    stop = start + (HEADER_SIZE if numbers is None else numbers[0] + FRAME_SIZE)
    if numbers is not None and data.count(0, stop) < len(data) - stop:
        return Tail.DAMAGED
    return Tail.TORN if _is_torn(data, start, stop) else Tail.DAMAGED


def _header(data: bytes, start: int) -> tuple[int, int, int, int] | None:
    """The numbers of the header at `start`, if it is sound."""
    check_at = start + _NUMBERS.size
    if data[check_at + _CHECK.size : start + HEADER_SIZE] != MAGIC:
        return None
    if zlib.crc32(data[start:check_at]) != _CHECK.unpack_from(data, check_at)[0]:
        return None
    length, sequence, previous, filled = _NUMBERS.unpack_from(data, start)
    return (length, sequence, previous, filled) if length <= RECORD_BYTES_MAX else None


def _goes_on(data: bytes, start: int, link: Link) -> bool:
    """Whether a later record than the one that should be at `start` follows somewhere."""
    magic_at = HEADER_SIZE - len(MAGIC)
    found = data.find(MAGIC, start + HEADER_SIZE)
    while found != -1:
        record = read(data, found - magic_at)
        if record is not None and record.link.sequence > link.sequence + 1:
            return True
        found = data.find(MAGIC, found + 1)
    return False


def _is_torn(data: bytes, start: int, stop: int) -> bool:
    """Whether part of a write of these bytes has not arrived over the zeros that were there."""
    if stop > len(data) or data[stop - 1] == 0:
        return True
    edges = [start, *range(start - start % SECTOR + SECTOR, stop, SECTOR), stop]
    return any(data.count(0, low, high) == high - low for low, high in pairwise(edges))
