"""Fields: what may stand in each place of everything that members say, and nothing else.

One table for each kind of item: its number on the wire, its class, and a check for each of its
fields. A check returns the value that goes into the class, or raises
:class:`~rumor.errors.ProtocolError`. Nothing is coerced: the text ``"5"`` is no number, and
``True`` is none either.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address
from math import isfinite
from typing import Any, Final, TypeAlias, TypeVar

from rumor.errors import ProtocolError
from rumor.messages import (
    ANSWER_BYTES_MAX,
    COORDINATE_DIMENSIONS,
    EVENT_NAME_BYTES_MAX,
    EVENT_PAYLOAD_BYTES_MAX,
    META_BYTES_MAX,
    NAME_BYTES_MAX,
    QUERY_BYTES_MAX,
    RELAYS_MAX,
    Ack,
    Address,
    Alive,
    Coordinate,
    Dead,
    Digest,
    EventKey,
    Gossip,
    Health,
    Leave,
    Message,
    Nack,
    Name,
    Peer,
    Ping,
    PingRequest,
    Push,
    Query,
    QueryAck,
    QueryAnswer,
    QueryRelay,
    Reply,
    Request,
    Same,
    StreamAck,
    StreamPing,
    Summary,
    Suspect,
    UserEvent,
    Version,
    Word,
)

NATURAL_MAX: Final = 2**53
"""Incarnations and sequence numbers; far beyond any that counts honestly."""

COORDINATE: Final = struct.Struct(f">{COORDINATE_DIMENSIONS + 3}f")
"""Vector, error, adjustment and height, in single precision: microseconds are plenty."""

T = TypeVar("T")
Check: TypeAlias = Callable[[Any], Any]
Table: TypeAlias = dict[int, tuple[type[Any], tuple[Check, ...]]]


def as_list(value: Any, length: int) -> list[Any]:
    """Return a list of that many items, unchecked, or raise ``ProtocolError``."""
    if type(value) is not list or len(value) != length:
        raise ProtocolError(f"expected a list of {length}")
    return value


def check_natural(value: Any) -> int:
    """Return a natural number, or raise :class:`~rumor.errors.ProtocolError`."""
    if type(value) is not int or not 0 <= value <= NATURAL_MAX:
        raise ProtocolError("expected a natural number")
    return value


def check_name(value: Any) -> Name:
    """Return a member's name, or raise :class:`~rumor.errors.ProtocolError`."""
    if (
        type(value) is not str
        or not 1 <= len(value) <= NAME_BYTES_MAX
        or not value.isprintable()
        or not (value.isascii() or len(value.encode()) <= NAME_BYTES_MAX)
    ):
        raise ProtocolError(f"expected a name: printable, 1 to {NAME_BYTES_MAX} bytes")
    return value


def _accuser(value: Any) -> Name | None:
    return None if value is None else check_name(value)


def _meta(value: Any) -> bytes:
    if type(value) is not bytes or len(value) > META_BYTES_MAX:
        raise ProtocolError(f"expected metadata of at most {META_BYTES_MAX} bytes")
    return value


def _fingerprint(value: Any) -> bytes:
    if type(value) is not bytes or len(value) != 16:
        raise ProtocolError("expected a fingerprint of 16 bytes")
    return value


def _comparison(value: Any) -> bytes | None:
    return None if value is None else _fingerprint(value)


def _coordinate(value: Any) -> Coordinate | None:
    if value is None:
        return None
    if type(value) is not bytes or len(value) != COORDINATE.size:
        raise ProtocolError(f"expected a coordinate of {COORDINATE.size} bytes")
    *vector, error, adjustment, height = COORDINATE.unpack(value)
    if not all(map(isfinite, (*vector, error, adjustment, height))):
        raise ProtocolError("expected finite coordinates")
    return Coordinate(tuple(vector), error, adjustment, height)


def _health(value: Any) -> Health:
    if type(value) is not int or not 0 <= value <= Health.LEFT:
        raise ProtocolError("expected a health, 0 to 3")
    return Health(value)


@lru_cache(maxsize=65_536)
def _is_ip(host: str) -> bool:
    try:
        return str(ip_address(host)) == host
    except ValueError:
        return False


def check_address(value: Any) -> Address:
    """Return a numeric address, or raise :class:`~rumor.errors.ProtocolError`.

    A host's name would have to be looked up at every datagram, which takes time.
    """
    host, port = as_list(value, 2)
    if type(host) is not str or len(host) > 64 or not _is_ip(host):
        raise ProtocolError("expected an IP address")
    if type(port) is not int or not 1 <= port <= 65_535:
        raise ProtocolError("expected a port, 1 to 65535")
    return host, port


def each(check: Callable[[Any], T]) -> Callable[[Any], tuple[T, ...]]:
    """Make a check for lists of any length from one for their items."""

    def check_all(value: Any) -> tuple[T, ...]:
        if type(value) is not list:
            raise ProtocolError("expected a list")
        return tuple([check(item) for item in value])

    return check_all


def _peer(value: Any) -> Peer:
    peer: Peer = _make(
        Peer, (check_name, check_address, check_natural, _health, _meta, _accuser), value
    )
    if (peer.accuser is None) is (peer.health in (Health.SUSPECT, Health.DEAD)):
        raise ProtocolError("expected an accuser for suspects and the dead, and for no others")
    return peer


def _version(value: Any) -> Version:
    version: Version = _make(Version, (check_name, check_natural, _health, check_natural), value)
    return version


def update(value: Any) -> Word:
    """Return what travels in the tail of a datagram, or raise ``ProtocolError``."""
    word: Word = build(UPDATES, value)
    return check_query(word) if isinstance(word, Query) else word


def check_query(query: Query) -> Query:
    """Return a query if it will fit into a datagram, or raise ``ProtocolError``."""
    if query.weight > QUERY_BYTES_MAX:
        raise ProtocolError(
            f"expected a query with filters of at most {QUERY_BYTES_MAX} bytes, not {query.weight}"
        )
    return query


def check_event_name(value: Any) -> str:
    """Return a user event's name, or raise :class:`~rumor.errors.ProtocolError`."""
    if type(value) is not str or not 1 <= len(value.encode()) <= EVENT_NAME_BYTES_MAX:
        raise ProtocolError(f"expected an event's name of 1 to {EVENT_NAME_BYTES_MAX} bytes")
    return value


def check_payload(value: Any) -> bytes:
    """Return a user event's payload, or raise :class:`~rumor.errors.ProtocolError`."""
    if type(value) is not bytes or len(value) > EVENT_PAYLOAD_BYTES_MAX:
        raise ProtocolError(f"expected a payload of at most {EVENT_PAYLOAD_BYTES_MAX} bytes")
    return value


def _event(value: Any) -> UserEvent:
    event: UserEvent = _make(UserEvent, _EVENT, value)
    return event


def _event_key(value: Any) -> EventKey:
    clock, origin, incarnation, sequence = as_list(value, 4)
    return (
        check_natural(clock),
        check_name(origin),
        check_natural(incarnation),
        check_natural(sequence),
    )


def _switch(value: Any) -> bool:
    if type(value) is not bool:
        raise ProtocolError("expected true or false")
    return value


def _relays(value: Any) -> int:
    if check_natural(value) > RELAYS_MAX:
        raise ProtocolError(f"expected at most {RELAYS_MAX} relays")
    return int(value)


def check_tag(value: Any) -> tuple[str, str]:
    """Return a pair of texts, as a filter has it, or raise ``ProtocolError``."""
    key, text = as_list(value, 2)
    if type(key) is not str or type(text) is not str or len(key) + len(text) > META_BYTES_MAX:
        raise ProtocolError("expected a tag: two texts, no longer than metadata may be")
    return key, text


def check_answer(value: Any) -> bytes:
    """Return the payload of an answer, or raise :class:`~rumor.errors.ProtocolError`."""
    if type(value) is not bytes or len(value) > ANSWER_BYTES_MAX:
        raise ProtocolError(f"expected an answer of at most {ANSWER_BYTES_MAX} bytes")
    return value


def _answer(value: Any) -> QueryAck | QueryAnswer:
    word: QueryAck | QueryAnswer = build(_ANSWERS, value)
    return word


def _wanted(value: Any) -> tuple[Name, ...] | None:
    return None if value is None else each(check_name)(value)


_EVENT: Final = (
    check_natural,
    check_name,
    check_natural,
    check_natural,
    check_event_name,
    check_payload,
)
_PUSH: Final = (each(_peer), _wanted, each(_event), each(_event_key))

_QUERY: Final = (
    *_EVENT,
    check_address,
    check_natural,
    _switch,
    _relays,
    each(check_name),
    each(check_tag),
)
_ANSWERS: Final[Table] = {
    5: (QueryAck, (check_natural, check_name)),
    6: (QueryAnswer, (check_natural, check_name, check_answer)),
}

MESSAGES: Final[Table] = {
    0: (Ping, (check_natural, check_name, check_name, _comparison)),
    1: (PingRequest, (check_natural, check_name, check_name, check_address)),
    2: (Ack, (check_natural, check_name, _coordinate)),
    3: (Nack, (check_natural, check_name)),
    4: (Gossip, ()),
    **_ANSWERS,
    7: (QueryRelay, (check_name, _answer)),
}
UPDATES: Final[Table] = {
    0: (Alive, (check_name, check_address, check_natural, _meta)),
    1: (Suspect, (check_name, check_natural, check_name)),
    2: (Dead, (check_name, check_natural, check_name)),
    3: (Leave, (check_name, check_natural)),
    4: (UserEvent, _EVENT),
    5: (Query, _QUERY),
}
REQUESTS: Final[Table] = {
    0: (Summary, (_fingerprint,)),
    1: (Push, _PUSH),
    2: (StreamPing, (check_name,)),
}
REPLIES: Final[Table] = {
    0: (Same, ()),
    1: (Push, _PUSH),
    2: (Digest, (each(_version), each(_event_key))),
    3: (StreamAck, (check_name,)),
}
KINDS: Final[dict[type[Any], int]] = {
    cls: kind
    for table in (MESSAGES, UPDATES, REQUESTS, REPLIES)
    for kind, (cls, _) in table.items()
}


def build(table: Table, value: Any) -> Any:
    """Return the item of one of the table's kinds, or raise ``ProtocolError``."""
    if type(value) is not list or not value or type(value[0]) is not int:
        raise ProtocolError("expected a kind and its fields")
    if value[0] not in table:
        raise ProtocolError(f"unknown kind {value[0]}")
    cls, checks = table[value[0]]
    return _make(cls, checks, value[1:])


def _make(cls: type[Any], checks: tuple[Check, ...], values: Any) -> Any:
    values = as_list(values, len(checks))
    return cls(*[check(value) for check, value in zip(checks, values, strict=True)])


def fields(item: Word | Message | Request | Reply) -> list[Any]:
    """Write an item as CBOR knows it: its kind, and its fields."""
    return [KINDS[type(item)], *map(_plain, _values(item))]


def _values(item: Any) -> list[Any]:
    return [getattr(item, name) for name in item.__slots__ if name != "__weakref__"]


def _plain(value: Any) -> Any:
    """Turn a field into what CBOR knows: lists, numbers, text, bytes and null."""
    if isinstance(value, Health):
        return int(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Coordinate):
        return COORDINATE.pack(*value.vector, value.error, value.adjustment, value.height)
    if isinstance(value, Peer | Version | UserEvent):
        return [_plain(field) for field in _values(value)]
    if isinstance(value, QueryAck | QueryAnswer):
        return fields(value)
    return value
