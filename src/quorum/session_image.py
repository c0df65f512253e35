"""A table of sessions at rest: the part of a snapshot that `quorum.sessions` writes.

    magic · size of all up to the end of the last result u64
    four limits, u64 each · clock u64 · sessions u32
    each session    id u64 · ttl u64 · heard u64 · below u64 · results u32
    each result     sequence u64 · length u32 · the result as `quorum.values` has it

Little-endian; sessions in the order in which they were last heard of, results by their number, so
equal tables have equal bytes. What follows is the snapshot of the machine inside.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from attrs import asdict, frozen

from quorum.values import decode

MAGIC: Final = b"quorum.sessions/2\n"
"""What a snapshot with sessions starts with: the format, and its version."""

_SIZE = struct.Struct("<Q")
_HEAD = struct.Struct("<QQQQQI")
_ROW = struct.Struct("<QQQQI")
_RESULT = struct.Struct("<QI")
_SIZE_AT: Final = len(MAGIC)


@frozen
class Limits:
    """The limits of `Sessions`, which have the meaning that they have there."""

    sessions_max: int
    window_max: int
    ttl_ms: int
    result_bytes_max: int

    def named(self) -> dict[str, int]:
        """The limits by name."""
        return asdict(self)


@frozen
class Row:
    """One session."""

    id: int
    ttl_ms: int
    heard: int
    below: int
    results: tuple[tuple[int, bytes], ...]
    """Sequence number and encoded result, by number."""


@frozen
class Image:
    """The table."""

    limits: Limits
    clock: int
    rows: tuple[Row, ...]
    """The one that was silent for longest comes first."""


def pack(image: Image) -> bytes:
    """The table as bytes."""
    limits = image.limits.named().values()
    parts = [_HEAD.pack(*limits, image.clock, len(image.rows))]
    for row in image.rows:
        parts.append(_ROW.pack(row.id, row.ttl_ms, row.heard, row.below, len(row.results)))
        for number, data in row.results:
            parts += (_RESULT.pack(number, len(data)), data)
    size = len(MAGIC) + _SIZE.size + sum(map(len, parts))
    return b"".join((MAGIC, _SIZE.pack(size), *parts))


def take_table(chunks: Iterator[bytes]) -> bytes:
    """The table that a snapshot in chunks begins with, and what came with its last chunk.

    The rest is left in the iterator. What is no table is returned for `unpack` to complain about.
    """
    wanted = _SIZE_AT + _SIZE.size
    data = bytearray()
    for chunk in chunks:
        data += chunk
        if len(data) < wanted:
            continue
        if not data.startswith(MAGIC) or len(data) >= _SIZE.unpack_from(data, _SIZE_AT)[0]:
            break
    return bytes(data)


def unpack(snapshot: bytes) -> tuple[Image, bytes]:
    """The table, and the bytes that follow it; ValueError unless it is one that `pack` can make."""
    if not snapshot.startswith(MAGIC):
        raise ValueError(
            f"a snapshot with sessions starts with {MAGIC!r}, this one with "
            f"{snapshot[: len(MAGIC)]!r}; nothing was restored: it is of another version, or of a "
            f"machine without sessions"
        )
    try:
        return _unpack(snapshot)
    except struct.error:
        raise ValueError("a table of sessions ends early; nothing was restored") from None


def _unpack(snapshot: bytes) -> tuple[Image, bytes]:
    (size,) = _SIZE.unpack_from(snapshot, _SIZE_AT)
    *limits, clock, count = _HEAD.unpack_from(snapshot, _SIZE_AT + _SIZE.size)
    image_limits = Limits(*limits)
    _check(count <= image_limits.sessions_max, "there are more sessions than there may be")
    offset = _SIZE_AT + _SIZE.size + _HEAD.size
    rows: list[Row] = []
    for _ in range(count):
        row, offset = _unpack_row(snapshot, offset, image_limits)
        _check(row.heard <= clock <= row.heard + row.ttl_ms, "a session has ended by the clock")
        _check(not rows or rows[-1].heard <= row.heard, "sessions come by their last word")
        rows.append(row)
    _check(len({row.id for row in rows}) == count, "two sessions have the same id")
    _check(offset == size, "a table of sessions has another size")
    return Image(image_limits, clock, tuple(rows)), snapshot[offset:]


def _unpack_row(snapshot: bytes, offset: int, limits: Limits) -> tuple[Row, int]:
    key, ttl_ms, heard, below, count = _ROW.unpack_from(snapshot, offset)
    offset += _ROW.size
    _check(key >= 1 and below >= 1, "ids and sequence numbers start at 1")
    _check(1 <= ttl_ms <= limits.ttl_ms, "a session lives longer than it may")
    _check(count <= limits.window_max, "a session has more results than it may")
    results: list[tuple[int, bytes]] = []
    lowest = below
    for _ in range(count):
        number, length = _RESULT.unpack_from(snapshot, offset)
        offset += _RESULT.size
        _check(lowest <= number < below + limits.window_max, "a result is out of its window")
        data = snapshot[offset : offset + length]
        _check(len(data) == length <= limits.result_bytes_max, "a result has another length")
        decode(data)
        results.append((number, data))
        lowest = number + 1
        offset += length
    return Row(key, ttl_ms, heard, below, tuple(results)), offset


def _check(sound: bool, otherwise: str) -> None:  # noqa: FBT001 - an assertion for outside data
    if not sound:
        raise ValueError(f"{otherwise}: this snapshot is damaged; nothing was restored")
