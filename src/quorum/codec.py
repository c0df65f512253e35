"""A run of entries as bytes: the same bytes on the wire and in the journal.

A run is packed once, by the leader that appended it; a follower writes the bytes it received. So
`pack` keeps what it made in `Entries.packed`, and `unpack` keeps what it was given.

    first u64 · count u32 · term runs u32 · stamp runs u32
    term runs    (value u64, length u32) each: a run of entries nearly always has one term ...
    stamp runs   (value u64, length u32) each: ... and few stamps
    kinds        one byte an entry
    lengths      u32 an entry
    payloads     one after the other

A snapshot's mark is index, term, stamp and members_index, u64 each, the machine's version as u32,
and then the configuration as `Members.to_bytes` has it. All numbers are little-endian.

`unpack` checks shape, not sense: whether terms may follow one another so is the core's business.
Every count is checked against the bytes that are there before anything is allocated, so memory
stays within a small multiple of the input. `benchmarks/wire.py` measures about 0.1 µs an entry
each way.
"""

from __future__ import annotations

import struct
from itertools import accumulate, chain, groupby, pairwise, repeat

from quorum.messages import Entries, Kind, Members, SnapshotMark

ENTRIES_MAX = 1 << 20
"""Entries in one run; far above any `Config.entries_max`, and a bound on what `unpack` makes."""

MEMBERS_BYTES_MAX = 1 << 16
"""Bytes of a configuration: some hundreds of servers with their addresses."""

_HEADER = struct.Struct("<QIII")
_MARK = struct.Struct("<QQQQI")
MARK_BYTES_MAX = MEMBERS_BYTES_MAX + _MARK.size
"""Bytes of a snapshot's mark."""

_RUN = struct.Struct("<QI")
_KINDS = bytes(Kind)


def pack(entries: Entries) -> bytes:
    """The run as bytes, kept in `entries.packed`; ValueError if a number does not fit its field."""
    if entries.packed is None:
        try:
            entries.packed = _pack(entries)
        except struct.error as error:
            raise ValueError(f"a number in this run does not fit its field: {error}") from None
    return entries.packed


def unpack(data: bytes) -> Entries:
    """The run that `pack` made these bytes of; ValueError if they are anything else."""
    size = len(data)
    if size < _HEADER.size:
        raise ValueError(f"a packed run has a header of {_HEADER.size} bytes, here are {size}")
    first, count, term_runs, stamp_runs = _HEADER.unpack_from(data)
    if count > ENTRIES_MAX or first == 0:
        raise ValueError(f"a run of {count} entries from index {first} is out of bounds")
    offset = _HEADER.size
    kinds_at = offset + (term_runs + stamp_runs) * _RUN.size
    lengths_at = kinds_at + count
    payloads_at = lengths_at + 4 * count
    if term_runs > count or stamp_runs > count or payloads_at > size:
        raise ValueError(f"a run of {count} entries does not fit in its {size} bytes")
    terms = _expand(data, offset, term_runs, count)
    stamps = _expand(data, offset + term_runs * _RUN.size, stamp_runs, count)
    kinds = data[kinds_at:lengths_at]
    if kinds.translate(None, _KINDS):
        raise ValueError("a run holds an entry of unknown kind")
    lengths = struct.unpack_from(f"<{count}I", data, lengths_at)
    if payloads_at + sum(lengths) != size:
        raise ValueError("the lengths of a run's payloads do not add up to its bytes")
    edges = accumulate(lengths, initial=payloads_at)
    payloads = tuple([data[start:stop] for start, stop in pairwise(edges)])
    entries = Entries(first, terms, stamps, kinds, payloads)
    entries.packed = data
    return entries


def pack_mark(mark: SnapshotMark) -> bytes:
    """A snapshot's mark as bytes; ValueError if it does not fit."""
    members = mark.members.to_bytes()
    if len(members) > MEMBERS_BYTES_MAX:
        raise ValueError(f"a configuration of {len(members)} bytes; the limit: {MEMBERS_BYTES_MAX}")
    try:
        numbers = (mark.index, mark.term, mark.stamp, mark.members_index, mark.version)
        return _MARK.pack(*numbers) + members
    except struct.error as error:
        raise ValueError(f"a number in this mark does not fit its field: {error}") from None


def unpack_mark(data: bytes) -> SnapshotMark:
    """The mark that `pack_mark` made these bytes of; ValueError if they are anything else."""
    if len(data) < _MARK.size:
        raise ValueError(f"a mark has {_MARK.size} bytes and a configuration, here are {len(data)}")
    index, term, stamp, members_index, version = _MARK.unpack_from(data)
    if version == 0:
        raise ValueError("the versions of a machine begin at 1")
    members = unpack_members(data[_MARK.size :])
    return SnapshotMark(index, term, stamp, members, members_index, version)


def unpack_members(data: bytes) -> Members:
    """`Members.from_bytes` for bytes that nobody vouches for: ValueError, whatever they are."""
    if len(data) > MEMBERS_BYTES_MAX:
        raise ValueError(f"a configuration of {len(data)} bytes; the limit: {MEMBERS_BYTES_MAX}")
    try:
        return Members.from_bytes(data)
    except RecursionError:
        raise ValueError("a configuration is not nested like this") from None


def _pack(entries: Entries) -> bytes:
    count = len(entries)
    if count > ENTRIES_MAX:
        raise ValueError(f"a run of {count} entries is longer than {ENTRIES_MAX}")
    terms, stamps = _runs(entries.terms), _runs(entries.stamps)
    runs = (len(terms) + len(stamps)) // 2
    head = bytearray(_HEADER.size + runs * _RUN.size + 5 * count)
    _HEADER.pack_into(head, 0, entries.first, count, len(terms) // 2, len(stamps) // 2)
    struct.pack_into("<" + "QI" * runs, head, _HEADER.size, *terms, *stamps)
    offset = _HEADER.size + runs * _RUN.size
    head[offset : offset + count] = entries.kinds
    struct.pack_into(f"<{count}I", head, offset + count, *map(len, entries.payloads))
    return b"".join((head, *entries.payloads))


def _runs(column: tuple[int, ...]) -> list[int]:
    """Run-length encoding, flat: value, length, value, length ..."""
    if not column:
        return []
    if column.count(column[0]) == len(column):
        return [column[0], len(column)]
    return [number for value, same in groupby(column) for number in (value, len(tuple(same)))]


def _expand(data: bytes, offset: int, runs: int, count: int) -> tuple[int, ...]:
    """Undo `_runs`; the lengths must add up to `count`, which bounds what is allocated."""
    flat = struct.unpack_from("<" + "QI" * runs, data, offset)
    lengths = flat[1::2]
    if sum(lengths) != count or 0 in lengths:
        raise ValueError("the run lengths of a column do not add up to its entries")
    if runs == 1:
        return (flat[0],) * count
    return tuple(chain.from_iterable(map(repeat, flat[::2], lengths)))
