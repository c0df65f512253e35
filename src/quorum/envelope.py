"""What a client writes around a command so that it is applied once: the envelope.

    magic 4s · request u8 · session u64 · sequence u64 · below u64 · payload

All numbers are little-endian. `below` says that the client has the results of all its commands with
lower sequence numbers. An OPEN has zeros there and its payload is the time to live that it asks
for, in milliseconds, as u64; only an OPEN and a COMMAND have a payload.

The first byte of the magic occurs in no UTF-8 text and starts no CBOR item, the last is the
format's version. A command of one's own that starts with it needs an envelope.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

MAGIC: Final = b"\xffqs\x01"
"""What an envelope starts with."""

UINT_MAX: Final = (1 << 64) - 1
"""The highest session, sequence number and time to live."""

_HEADER = struct.Struct("<4sBQQQ")
_TTL = struct.Struct("<Q")

HEADER_BYTES: Final = _HEADER.size
"""Bytes that the envelope adds to a command."""


class Request(IntEnum):
    """What an envelope is for; one byte in it. A number keeps its meaning for ever."""

    OPEN = 1
    KEEP_ALIVE = 2
    COMMAND = 3
    CLOSE = 4


def open_request(ttl_ms: int = 0) -> bytes:
    """Begin a session that lives this long without a word; 0: as long as the machine allows.

    Answered by (session, ttl_ms, window): its id, its time to live, and how far sequence numbers
    may run ahead of `below`.
    """
    return _header(Request.OPEN, 0, 0, 0) + _TTL.pack(ttl_ms)


def keep_alive_request(session: int, below: int) -> bytes:
    """Say that the client is still there; answered by None."""
    return _header(Request.KEEP_ALIVE, session, 0, below)


def command_request(session: int, sequence: int, below: int, command: bytes) -> bytes:
    """Ask for a command to be applied once, however often this is said; answered by its result."""
    return _header(Request.COMMAND, session, sequence, below) + command


def close_request(session: int) -> bytes:
    """End a session; answered by None, also if it has ended before."""
    return _header(Request.CLOSE, session, 0, 0)


def parse(data: bytes) -> tuple[Request, int, int, int]:
    """The request, session, sequence and `below` of an envelope; the rest of it is the payload.

    Raise ValueError for anything that the functions above do not make for a client in its senses.
    """
    if len(data) < HEADER_BYTES:
        raise ValueError(f"an envelope has {HEADER_BYTES} bytes or more, here are {len(data)}")
    magic, kind, session, sequence, below = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise ValueError(f"an envelope starts with {MAGIC!r}, here is {magic!r}")
    if kind == Request.COMMAND:
        # A client that waits for this result cannot have it already.
        if not (session and 1 <= below <= sequence):
            raise ValueError("a command has a session, and a sequence number not below `below`")
        return Request.COMMAND, session, sequence, below
    payload = len(data) - HEADER_BYTES
    match kind:
        case Request.OPEN:
            sound = payload == _TTL.size and not (session or sequence or below)
        case Request.KEEP_ALIVE:
            sound = bool(session and not sequence and below and not payload)
        case Request.CLOSE:
            sound = bool(session and not (sequence or below or payload))
        case _:
            raise ValueError(f"there is no request {kind}")
    if not sound:
        raise ValueError(f"the fields of this {Request(kind).name} do not go together")
    return Request(kind), session, sequence, below


def parse_ttl(data: bytes) -> int:
    """The milliseconds that an OPEN, parsed before, asks for."""
    ttl_ms: int = _TTL.unpack_from(data, HEADER_BYTES)[0]
    return ttl_ms


def _header(request: Request, session: int, sequence: int, below: int) -> bytes:
    return _HEADER.pack(MAGIC, request, session, sequence, below)
