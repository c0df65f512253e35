"""The bodies of a journal's records: what they say, as values and as bytes. No I/O.

    opening    kind u8 · version u8 · node · cluster · founding · hard state · log · mark
    write      kind u8 · hard state · operations
    operation  kind u8 · length u32 · entries (packed), or a mark, or a trim
    hard state term u64 · vote
    founding   length u32 · the members that the cluster was founded with, as JSON
    log        first u64 · base term u64 · last u64
    trim       first u64 · base term u64 · mark

A segment opens with who owns it and where the storage stood, so that the segments before it can be
deleted when their entries are no longer needed. A write is everything that one `persist` was given:
term, vote and entries in one record, so a crash leaves all of it or nothing. Names and votes are
UTF-8 with their length before them (u16; 0xffff: no vote). All numbers are little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TypeAlias

from attrs import field, frozen

from quorum.codec import pack, pack_mark, unpack, unpack_mark, unpack_members
from quorum.effects import Persist, Trim
from quorum.messages import Members, NodeId, Term
from quorum.storage.replay import Outline

VERSION = 2
"""Of the journal's format."""

NAME_BYTES_MAX = 255

_OPENING, _WRITE = 1, 2
_ENTRIES, _RESET, _TRIM = 1, 2, 3
_NOBODY = 0xFFFF

_OPENING_HEAD = struct.Struct("<BB")
_WRITE_HEAD = struct.Struct("<BQ")
_TERM = struct.Struct("<Q")
_LENGTH = struct.Struct("<H")
_SIZE = struct.Struct("<I")
_LOG = struct.Struct("<QQQ")
_OPERATION = struct.Struct("<BI")
_TRIM_HEAD = struct.Struct("<QQ")


@frozen
class Opening:
    """The first record of a segment."""

    node: NodeId
    cluster: str
    outline: Outline
    founded: Members = field(factory=Members)
    """The members that the cluster was founded with; none on a server that was added later."""


@frozen
class Write:
    """What one call of `persist`, or of `trim`, made durable."""

    orders: tuple[Persist | Trim, ...]


Body: TypeAlias = Opening | Write


def pack_opening(opening: Opening) -> bytes:
    """An opening as bytes; ValueError if a name is too long."""
    outline, founded = opening.outline, opening.founded.to_bytes()
    return b"".join(
        (
            _OPENING_HEAD.pack(_OPENING, VERSION),
            _pack_name(opening.node),
            _pack_name(opening.cluster),
            _SIZE.pack(len(founded)),
            founded,
            _TERM.pack(outline.term),
            _pack_name(outline.vote),
            _LOG.pack(outline.first, outline.base_term, outline.last),
            pack_mark(outline.mark),
        )
    )


def pack_write(orders: Sequence[Persist]) -> list[bytes]:
    """A batch as the parts of a body: the newest term and vote, then each reset and entries."""
    newest = orders[-1]
    parts = [_WRITE_HEAD.pack(_WRITE, newest.term), _pack_name(newest.vote)]
    for order in orders:
        if order.reset is not None:
            parts += _operation(_RESET, pack_mark(order.reset))
        if order.entries:
            parts += _operation(_ENTRIES, pack(order.entries))
    return parts


def pack_trim(order: Trim, *, term: Term, vote: NodeId | None) -> bytes:
    """A trim as bytes, with the hard state as it is."""
    trim = _TRIM_HEAD.pack(order.first, order.base_term) + pack_mark(order.mark)
    head = _WRITE_HEAD.pack(_WRITE, term), _pack_name(vote)
    return b"".join((*head, *_operation(_TRIM, trim)))


def unpack_body(data: bytes) -> Body:
    """What `pack_opening`, `pack_write` or `pack_trim` made these bytes of; else ValueError."""
    try:
        if data[:1] == bytes([_OPENING]):
            return _unpack_opening(data)
        if data[:1] == bytes([_WRITE]):
            return _unpack_write(data)
    except struct.error as error:
        raise ValueError(f"a record is cut short: {error}") from None
    raise ValueError(f"a record of unknown kind {data[:1]!r}")


def _unpack_opening(data: bytes) -> Opening:
    _, version = _OPENING_HEAD.unpack_from(data)
    if version != VERSION:
        raise ValueError(f"the format's version is {version}; this release reads {VERSION}")
    node, offset = _unpack_name(data, _OPENING_HEAD.size)
    cluster, offset = _unpack_name(data, offset)
    (size,) = _SIZE.unpack_from(data, offset)
    offset += _SIZE.size
    founded = unpack_members(data[offset : offset + size])
    offset += size
    (term,) = _TERM.unpack_from(data, offset)
    vote, offset = _unpack_name(data, offset + _TERM.size)
    first, base_term, last = _LOG.unpack_from(data, offset)
    mark = unpack_mark(data[offset + _LOG.size :])
    if node is None or cluster is None:
        raise ValueError("a segment belongs to nobody")
    return Opening(node, cluster, Outline(term, vote, mark, first, base_term, last), founded)


def _unpack_write(data: bytes) -> Write:
    _, term = _WRITE_HEAD.unpack_from(data)
    vote, offset = _unpack_name(data, _WRITE_HEAD.size)
    orders: list[Persist | Trim] = []
    while offset < len(data):
        kind, length = _OPERATION.unpack_from(data, offset)
        offset += _OPERATION.size
        content = data[offset : offset + length]
        offset += length
        if kind == _ENTRIES:
            orders.append(Persist(0, term, vote, entries=unpack(content)))
        elif kind == _RESET:
            orders.append(Persist(0, term, vote, reset=unpack_mark(content)))
        elif kind == _TRIM:
            first, base_term = _TRIM_HEAD.unpack_from(content)
            orders.append(Trim(unpack_mark(content[_TRIM_HEAD.size :]), first, base_term))
        else:
            raise ValueError(f"an operation of unknown kind {kind}")
    if offset != len(data):
        raise ValueError("an operation is cut short")
    return Write((*orders, Persist(0, term, vote)))


def _operation(kind: int, content: bytes) -> tuple[bytes, bytes]:
    return _OPERATION.pack(kind, len(content)), content


def _pack_name(name: str | None) -> bytes:
    if name is None:
        return _LENGTH.pack(_NOBODY)
    data = name.encode()
    if not 0 < len(data) <= NAME_BYTES_MAX:
        raise ValueError(f"a name of {len(data)} bytes; it has 1 to {NAME_BYTES_MAX}")
    return _LENGTH.pack(len(data)) + data


def _unpack_name(data: bytes, offset: int) -> tuple[str | None, int]:
    (length,) = _LENGTH.unpack_from(data, offset)
    offset += _LENGTH.size
    if length == _NOBODY:
        return None, offset
    if offset + length > len(data):
        raise ValueError("a name is cut short")
    return data[offset : offset + length].decode(), offset + length
