"""What travels between two servers, as bytes: the handshake, the messages and snapshot chunks.

A connection is a sequence of frames (`quorum.framing`), each with one body of this module. The
first one each way is a `Hello`; what follows is its purpose: messages, or one `InstallSnapshot`
and its chunks. A body is version u8 · type u8 · fields.

Every type has a fixed layout of little-endian numbers, so decoding is one `unpack` and a few
comparisons, and nothing is guessed or coerced: a body is exactly what `encode` makes, or it is a
`ProtocolError`. Only the last field of a type has a variable length; names are UTF-8, the run of
an AppendEntries is packed by `quorum.codec` and travels as it is from the leader's memory to the
follower's disk. Memory stays within a small multiple of the frame, and a frame has a limit.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import IntEnum
from typing import assert_never

from attrs import frozen

from quorum.codec import (
    MEMBERS_BYTES_MAX,
    pack,
    pack_mark,
    unpack,
    unpack_mark,
    unpack_members,
)
from quorum.config import Config
from quorum.errors import ProtocolError, WrongCluster
from quorum.framing import FRAME_BYTES_MAX
from quorum.messages import (
    AppendEntries,
    AppendReply,
    Entries,
    Forward,
    ForwardReply,
    InstallSnapshot,
    Kind,
    Message,
    NodeId,
    ReadIndex,
    ReadIndexReply,
    RequestVote,
    TimeoutNow,
    VoteReply,
    read_version,
)

VERSION = 2
"""Of this protocol; servers of different versions refuse each other in the handshake."""

NAME_BYTES_MAX = 255
"""UTF-8 bytes in the name of a server or cluster."""

CHUNK_BYTES_MAX = 1 << 20
"""Payload bytes in one `SnapshotChunk`."""


class Purpose(IntEnum):
    """What a connection is for."""

    MESSAGES = 0
    SNAPSHOT = 1


@frozen
class Hello:
    """The first frame each way: who calls, from which cluster, and what for."""

    cluster: str
    sender: NodeId
    purpose: Purpose = Purpose.MESSAGES
    version: int = VERSION


@frozen
class SnapshotChunk:
    """A piece of a snapshot of `total` bytes, from `offset` on; the last ends at `total`."""

    offset: int
    total: int
    data: bytes


# Types of bodies. A number that was given once keeps its meaning for ever.
_APPEND_ENTRIES, _APPEND_REPLY, _REQUEST_VOTE, _VOTE_REPLY = 1, 2, 3, 4
_INSTALL_SNAPSHOT, _TIMEOUT_NOW, _READ_INDEX, _READ_INDEX_REPLY = 5, 6, 7, 8
_FORWARD, _FORWARD_REPLY = 9, 10
_HELLO, _CHUNK = 0x40, 0x41  # their layout never changes: other versions must read our Hello

_HEAD = struct.Struct("<BB")
_APPEND_ENTRIES_BODY = struct.Struct("<BBQQQQQ")
_APPEND_REPLY_BODY = struct.Struct("<BBQQBQQQI")
_REQUEST_VOTE_BODY = struct.Struct("<BBQQQBB")
_VOTE_REPLY_BODY = struct.Struct("<BBQBB")
_INSTALL_SNAPSHOT_BODY = struct.Struct("<BBQQ")
_TIMEOUT_NOW_BODY = struct.Struct("<BBQ")
_READ_INDEX_BODY = struct.Struct("<BBQQ")
_READ_INDEX_REPLY_BODY = struct.Struct("<BBQQBQ")
_FORWARD_BODY = struct.Struct("<BBQQ")
_FORWARD_REPLY_BODY = struct.Struct("<BBQQBQ")
_HELLO_BODY = struct.Struct("<BBBBB")
_CHUNK_BODY = struct.Struct("<BBQQ")


def encode(message: Message) -> bytes:
    """The body of a message's frame; ProtocolError if a field does not fit its place."""
    try:
        return _encode(message)
    except (struct.error, ValueError) as error:
        raise ProtocolError(f"this message cannot be sent, nothing was: {error}") from error


def decode(data: bytes) -> Message:
    """The message that `encode` made this body of; ProtocolError for any other bytes."""
    if len(data) < _HEAD.size:
        raise ProtocolError(f"a message of {len(data)} bytes is cut short")
    version, type_ = data[0], data[1]
    if version != VERSION:
        raise ProtocolError(f"a message of protocol version {version}; this is {VERSION}")
    reader = _READERS.get(type_)
    if reader is None:
        raise ProtocolError(f"a message of unknown type {type_}")
    try:
        return reader(data)
    except (struct.error, ValueError) as error:
        raise ProtocolError(f"a malformed message of type {type_}: {error}") from error


def _encode(message: Message) -> bytes:
    match message:
        case AppendEntries(term, previous_index, previous_term, commit, round_, entries):
            numbers = (term, previous_index, previous_term, commit, round_)
            return _APPEND_ENTRIES_BODY.pack(VERSION, _APPEND_ENTRIES, *numbers) + pack(entries)
        case AppendReply(term, round_, match_, hint_index, hint_term, version):
            numbers = (match_ is not None, match_ or 0, hint_index, hint_term, version)
            return _APPEND_REPLY_BODY.pack(VERSION, _APPEND_REPLY, term, round_, *numbers)
        case RequestVote(term, index, last_term, pre_vote, disrupt):
            numbers = (term, index, last_term, pre_vote, disrupt)
            return _REQUEST_VOTE_BODY.pack(VERSION, _REQUEST_VOTE, *numbers)
        case VoteReply(term, granted, pre_vote):
            return _VOTE_REPLY_BODY.pack(VERSION, _VOTE_REPLY, term, granted, pre_vote)
        case InstallSnapshot(term, round_, mark):
            head = _INSTALL_SNAPSHOT_BODY.pack(VERSION, _INSTALL_SNAPSHOT, term, round_)
            return head + pack_mark(mark)
        case TimeoutNow(term):
            return _TIMEOUT_NOW_BODY.pack(VERSION, _TIMEOUT_NOW, term)
        case ReadIndex(term, context):
            return _READ_INDEX_BODY.pack(VERSION, _READ_INDEX, term, context)
        case ReadIndexReply(term, context, index):
            optional = (index is not None, index or 0)
            return _READ_INDEX_REPLY_BODY.pack(VERSION, _READ_INDEX_REPLY, term, context, *optional)
        case Forward(term, context, commands):
            count = len(commands)
            run = Entries(1, (0,) * count, (0,) * count, bytes(count), commands)
            return _FORWARD_BODY.pack(VERSION, _FORWARD, term, context) + pack(run)
        case ForwardReply(term, context, first):
            optional = (first is not None, first or 0)
            return _FORWARD_REPLY_BODY.pack(VERSION, _FORWARD_REPLY, term, context, *optional)
        case _:
            assert_never(message)


def _read_append_entries(data: bytes) -> AppendEntries:
    _, _, term, previous_index, previous_term, commit, round_ = _APPEND_ENTRIES_BODY.unpack_from(
        data
    )
    entries = unpack(data[_APPEND_ENTRIES_BODY.size :])
    terms = (previous_term, *entries.terms, term)
    if entries.first != previous_index + 1 or list(terms) != sorted(terms):
        raise ValueError("the entries do not follow the one before them, or terms fall")
    if Kind.MEMBERS in entries.kinds:  # the core trusts what it finds in its log
        for kind, payload in zip(entries.kinds, entries.payloads, strict=True):
            if kind == Kind.MEMBERS:
                unpack_members(payload)
    if Kind.VERSION in entries.kinds:
        for kind, payload in zip(entries.kinds, entries.payloads, strict=True):
            if kind == Kind.VERSION:
                read_version(payload)
    return AppendEntries(term, previous_index, previous_term, commit, round_, entries)


def _read_append_reply(data: bytes) -> AppendReply:
    _, _, term, round_, known, index, *numbers = _APPEND_REPLY_BODY.unpack(data)
    return AppendReply(term, round_, _optional(known, index), *numbers)


def _read_request_vote(data: bytes) -> RequestVote:
    _, _, term, index, last_term, pre_vote, disrupt = _REQUEST_VOTE_BODY.unpack(data)
    return RequestVote(term, index, last_term, _boolean(pre_vote), _boolean(disrupt))


def _read_vote_reply(data: bytes) -> VoteReply:
    _, _, term, granted, pre_vote = _VOTE_REPLY_BODY.unpack(data)
    return VoteReply(term, _boolean(granted), _boolean(pre_vote))


def _read_install_snapshot(data: bytes) -> InstallSnapshot:
    _, _, term, round_ = _INSTALL_SNAPSHOT_BODY.unpack_from(data)
    return InstallSnapshot(term, round_, unpack_mark(data[_INSTALL_SNAPSHOT_BODY.size :]))


def _read_timeout_now(data: bytes) -> TimeoutNow:
    return TimeoutNow(*_TIMEOUT_NOW_BODY.unpack(data)[2:])


def _read_read_index(data: bytes) -> ReadIndex:
    return ReadIndex(*_READ_INDEX_BODY.unpack(data)[2:])


def _read_read_index_reply(data: bytes) -> ReadIndexReply:
    _, _, term, context, known, index = _READ_INDEX_REPLY_BODY.unpack(data)
    return ReadIndexReply(term, context, _optional(known, index))


def _read_forward(data: bytes) -> Forward:
    _, _, term, context = _FORWARD_BODY.unpack_from(data)
    run = unpack(data[_FORWARD_BODY.size :])
    if run.first != 1 or any(run.kinds) or any(run.terms) or any(run.stamps) or not run:
        raise ValueError("commands on their way to the leader have no place in a log yet")
    return Forward(term, context, run.payloads)


def _read_forward_reply(data: bytes) -> ForwardReply:
    _, _, term, context, known, index = _FORWARD_REPLY_BODY.unpack(data)
    return ForwardReply(term, context, _optional(known, index))


_READERS: dict[int, Callable[[bytes], Message]] = {
    _APPEND_ENTRIES: _read_append_entries,
    _APPEND_REPLY: _read_append_reply,
    _REQUEST_VOTE: _read_request_vote,
    _VOTE_REPLY: _read_vote_reply,
    _INSTALL_SNAPSHOT: _read_install_snapshot,
    _TIMEOUT_NOW: _read_timeout_now,
    _READ_INDEX: _read_read_index,
    _READ_INDEX_REPLY: _read_read_index_reply,
    _FORWARD: _read_forward,
    _FORWARD_REPLY: _read_forward_reply,
}


def encode_hello(hello: Hello) -> bytes:
    """The body of a handshake's frame; ProtocolError if a name is longer than allowed."""
    names = hello.cluster.encode(), hello.sender.encode()
    if max(map(len, names)) > NAME_BYTES_MAX or not all(names):
        raise ProtocolError(f"a name is of 1 to {NAME_BYTES_MAX} bytes; nothing was sent")
    lengths = map(len, names)
    return _HELLO_BODY.pack(hello.version, _HELLO, hello.purpose, *lengths) + b"".join(names)


def decode_hello(data: bytes, *, cluster: str) -> Hello:
    """The handshake in this body.

    Raise ProtocolError if it is none, and `WrongCluster` if the caller belongs to another cluster
    than `cluster` or speaks another version.
    """
    try:
        version, type_, purpose, *lengths = _HELLO_BODY.unpack_from(data)
        border = _HELLO_BODY.size + lengths[0]
        names = data[_HELLO_BODY.size : border].decode(), data[border:].decode()
        hello = Hello(*names, Purpose(purpose), version)
    except (struct.error, ValueError) as error:
        raise ProtocolError(f"the first frame is not a handshake: {error}") from error
    if type_ != _HELLO or border + lengths[1] != len(data) or not all(lengths):
        raise ProtocolError("the first frame is not a handshake: it has the wrong type or length")
    if hello.version != VERSION:
        raise WrongCluster(
            f"{hello.sender} speaks protocol version {hello.version}, this server {VERSION}: "
            "refused; run the same release everywhere"
        )
    if hello.cluster != cluster:
        raise WrongCluster(
            f"{hello.sender} belongs to cluster {hello.cluster!r}, this server to {cluster!r}: "
            "refused; correct the address or the cluster's name"
        )
    return hello


def encode_chunk(chunk: SnapshotChunk) -> bytes:
    """The body of a chunk's frame."""
    assert len(chunk.data) <= CHUNK_BYTES_MAX, "a chunk has a limit"
    return _CHUNK_BODY.pack(VERSION, _CHUNK, chunk.offset, chunk.total) + chunk.data


def decode_chunk(data: bytes) -> SnapshotChunk:
    """The chunk in this body; ProtocolError for any other bytes, or one that overruns its total."""
    if len(data) < _CHUNK_BODY.size or data[0] != VERSION or data[1] != _CHUNK:
        raise ProtocolError("this is not a chunk of a snapshot")
    _, _, offset, total = _CHUNK_BODY.unpack_from(data)
    chunk = SnapshotChunk(offset, total, data[_CHUNK_BODY.size :])
    if len(chunk.data) > CHUNK_BYTES_MAX or offset + len(chunk.data) > total:
        raise ProtocolError(f"a chunk of {len(chunk.data)} bytes at {offset} overruns {total}")
    return chunk


def frame_bytes_max(config: Config) -> int:
    """The longest body that a server with these settings sends: what its peers should accept."""
    payload = max(config.message_bytes_max, config.command_bytes_max, CHUNK_BYTES_MAX)
    columns = 32 * config.entries_max  # 5 bytes an entry, and 24 more if all terms, stamps differ
    return min(FRAME_BYTES_MAX, payload + columns + MEMBERS_BYTES_MAX)


def _boolean(number: int) -> bool:
    if number > 1:
        raise ValueError(f"{number} is neither true nor false")
    return bool(number)


def _optional(known: int, number: int) -> int | None:
    if _boolean(known):
        return number
    if number:
        raise ValueError("a field that is absent has a value")
    return None
