"""Bytes: what travels in datagrams and on streams, strictly checked on the way in.

A datagram is one byte, the version, and one CBOR item (RFC 8949)::

    01 [cluster, [kind, field, …], [[kind, field, …], …]]
                 └── message ───┘  └──── updates ─────┘

A stream begins with the four bytes ``RUM1``, so that one TCP port can serve other protocols too,
and then carries one frame in each direction: four bytes of length, and that many bytes::

    01 [cluster, [kind, field, …]]

Nothing is coerced: the text ``"5"`` is no number, ``True`` is none either, a number in another
encoding than the shortest is refused, and so is anything behind the item. Bytes from the network
raise :class:`~rumor.errors.ProtocolError` (or its child
:class:`~rumor.errors.ForeignCluster`), and nothing else.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from ipaddress import ip_address
from math import isfinite
from typing import Any, Final, NoReturn, TypeVar

import cbor2

from rumor.errors import ConfigError, ForeignCluster, MetaTooLarge, ProtocolError
from rumor.messages import (
    COORDINATE_DIMENSIONS,
    EVENT_NAME_BYTES_MAX,
    EVENT_PAYLOAD_BYTES_MAX,
    META_BYTES_MAX,
    NAME_BYTES_MAX,
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

MAGIC: Final = b"RUM1"
"""The first bytes of every stream."""

VERSION: Final = 1
"""The first byte of every datagram and frame."""

CLUSTER_BYTES_MAX: Final = 64
LENGTH_BYTES: Final = 4
NATURAL_MAX: Final = 2**53
"""Incarnations and sequence numbers; far beyond any that counts honestly."""

DEPTH_MAX: Final = 8
"""Deepest nesting that is even looked at; our own items nest to 5."""

COORDINATE: Final = struct.Struct(f">{COORDINATE_DIMENSIONS + 3}f")
"""Vector, error, adjustment and height, in single precision: microseconds are plenty."""

T = TypeVar("T")
Check = Callable[[Any], Any]


class Wire:
    """The codec of one cluster; its name is bound into everything that is sent."""

    def __init__(self, cluster: str) -> None:
        if not 1 <= len(cluster.encode()) <= CLUSTER_BYTES_MAX:
            raise ConfigError(f"cluster={cluster!r} must take 1 to {CLUSTER_BYTES_MAX} bytes")
        self._cluster = cluster
        self._prefix = cbor2.dumps(cluster)

    def pack(self, message: Message, gossip: Sequence[bytes] = ()) -> bytes:
        """Write a datagram; the updates in `gossip` come from :func:`encode`."""
        head = bytes((VERSION, 0x83)) + self._prefix + encode(message)
        return b"".join((head, _array_head(len(gossip)), *gossip))

    def unpack(self, data: bytes) -> tuple[Message, tuple[Word, ...]]:
        """Read a datagram, or raise :class:`~rumor.errors.ProtocolError`."""
        message, updates = self._open(data, 2)
        return _build(_MESSAGES, message), _each(_update)(updates)

    def pack_frame(self, item: Request | Reply) -> bytes:
        """Write a frame, its length included."""
        body = bytes((VERSION, 0x82)) + self._prefix + cbor2.dumps(_fields(item))
        return len(body).to_bytes(LENGTH_BYTES, "big") + body

    def unpack_request(self, body: bytes) -> Request:
        """Read a frame's body as a request, or raise :class:`~rumor.errors.ProtocolError`."""
        request: Request = _build(_REQUESTS, *self._open(body, 1))
        return request

    def unpack_reply(self, body: bytes) -> Reply:
        """Read a frame's body as a reply, or raise :class:`~rumor.errors.ProtocolError`."""
        reply: Reply = _build(_REPLIES, *self._open(body, 1))
        return reply

    def _open(self, data: bytes, parts: int) -> list[Any]:
        if not data or data[0] != VERSION:
            raise ProtocolError(f"version {data[0] if data else 'missing'}, expected {VERSION}")
        cluster, *rest = _list(_loads(data[1:]), parts + 1)
        if cluster != self._cluster:
            raise ForeignCluster(f"for cluster {cluster!r}, not {self._cluster!r}"[:200])
        return rest


def encode(item: Word | Message) -> bytes:
    """Write one update or message; what :class:`~rumor.core.swim.Swim` wants as ``encode``."""
    return cbor2.dumps(_fields(item))


def encode_meta(meta: Mapping[str, str]) -> bytes:
    """Write the metadata that users see; equal mappings give equal bytes.

    Raises :class:`~rumor.errors.MetaTooLarge` if the bytes exceed the limit, and ``TypeError`` if
    anything in it is not text.
    """
    for text in (*meta.keys(), *meta.values()):
        if type(text) is not str:
            raise TypeError(f"metadata maps text to text; {text!r} is not text")
    data = cbor2.dumps(dict(sorted(meta.items()))) if meta else b""
    if len(data) > META_BYTES_MAX:
        raise MetaTooLarge(
            f"the metadata takes {len(data)} bytes, the limit is {META_BYTES_MAX}; "
            "nothing was changed, shorten it",
        )
    return data


def decode_meta(data: bytes) -> dict[str, str]:
    """Read the metadata that users see, or raise :class:`~rumor.errors.ProtocolError`."""
    meta = _loads(data) if data else {}
    if type(meta) is not dict or not all(
        type(text) is str for text in (*meta.keys(), *meta.values())
    ):
        raise ProtocolError("metadata must map text to text")
    return meta


def _refuse_tag(*_: object) -> NoReturn:
    raise ProtocolError("CBOR tags are not used here")


# Tags could build regular expressions, dates, huge numbers or cycles; none is of use here.
_TAGS = (*range(6), 25, *range(28, 31), *range(35, 38), 52, 54, 100)
_MORE_TAGS = (256, 258, 260, 261, 1004, 43_000, 55_799)
_NO_TAGS: Final[Any] = dict.fromkeys((*_TAGS, *_MORE_TAGS), _refuse_tag)


def _loads(data: bytes) -> Any:
    try:
        item = cbor2.loads(
            data,
            max_depth=DEPTH_MAX,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            strict_hashable_types=True,
            semantic_decoders=_NO_TAGS,
        )
        canonical = cbor2.dumps(item)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ProtocolError(f"not CBOR as we use it: {error}") from error
    if canonical != data:
        raise ProtocolError("not the shortest encoding, or bytes behind the item")
    return item


def _array_head(length: int) -> bytes:
    """Write the head of a CBOR array (major type 4) of that many items."""
    if length < 24:
        return bytes((0x80 | length,))
    if length < 256:
        return bytes((0x98, length))
    return b"\x99" + length.to_bytes(2, "big")


def _list(value: Any, length: int) -> list[Any]:
    if type(value) is not list or len(value) != length:
        raise ProtocolError(f"expected a list of {length}")
    return value


def _natural(value: Any) -> int:
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
    host, port = _list(value, 2)
    if type(host) is not str or len(host) > 64 or not _is_ip(host):
        raise ProtocolError("expected an IP address")
    if type(port) is not int or not 1 <= port <= 65_535:
        raise ProtocolError("expected a port, 1 to 65535")
    return host, port


def _each(check: Callable[[Any], T]) -> Callable[[Any], tuple[T, ...]]:
    def check_all(value: Any) -> tuple[T, ...]:
        if type(value) is not list:
            raise ProtocolError("expected a list")
        return tuple([check(item) for item in value])

    return check_all


def _peer(value: Any) -> Peer:
    peer: Peer = _make(Peer, (check_name, check_address, _natural, _health, _meta, _accuser), value)
    if (peer.accuser is None) is (peer.health in (Health.SUSPECT, Health.DEAD)):
        raise ProtocolError("expected an accuser for suspects and the dead, and for no others")
    return peer


def _version(value: Any) -> Version:
    version: Version = _make(Version, (check_name, _natural, _health), value)
    return version


def _update(value: Any) -> Word:
    update: Word = _build(_UPDATES, value)
    return update


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
    clock, origin, incarnation, sequence = _list(value, 4)
    return _natural(clock), check_name(origin), _natural(incarnation), _natural(sequence)


def _wanted(value: Any) -> tuple[Name, ...] | None:
    return None if value is None else _each(check_name)(value)


_Table = dict[int, tuple[type[Any], tuple[Check, ...]]]

_EVENT: Final = (_natural, check_name, _natural, _natural, check_event_name, check_payload)
_PUSH: Final = (_each(_peer), _wanted, _each(_event), _each(_event_key))

_MESSAGES: Final[_Table] = {
    0: (Ping, (_natural, check_name, check_name)),
    1: (PingRequest, (_natural, check_name, check_name, check_address)),
    2: (Ack, (_natural, check_name, _coordinate)),
    3: (Nack, (_natural, check_name)),
    4: (Gossip, ()),
}
_UPDATES: Final[_Table] = {
    0: (Alive, (check_name, check_address, _natural, _meta)),
    1: (Suspect, (check_name, _natural, check_name)),
    2: (Dead, (check_name, _natural, check_name)),
    3: (Leave, (check_name, _natural)),
    4: (UserEvent, _EVENT),
}
_REQUESTS: Final[_Table] = {
    0: (Summary, (_fingerprint,)),
    1: (Push, _PUSH),
    2: (StreamPing, (check_name,)),
}
_REPLIES: Final[_Table] = {
    0: (Same, ()),
    1: (Push, _PUSH),
    2: (Digest, (_each(_version), _each(_event_key))),
    3: (StreamAck, (check_name,)),
}
_KINDS: Final[dict[type[Any], int]] = {
    cls: kind
    for table in (_MESSAGES, _UPDATES, _REQUESTS, _REPLIES)
    for kind, (cls, _) in table.items()
}


def _build(table: _Table, value: Any) -> Any:
    if type(value) is not list or not value or type(value[0]) is not int:
        raise ProtocolError("expected a kind and its fields")
    if value[0] not in table:
        raise ProtocolError(f"unknown kind {value[0]}")
    cls, checks = table[value[0]]
    return _make(cls, checks, value[1:])


def _make(cls: type[Any], checks: tuple[Check, ...], values: Any) -> Any:
    values = _list(values, len(checks))
    return cls(*[check(value) for check, value in zip(checks, values, strict=True)])


def _fields(item: Word | Message | Request | Reply) -> list[Any]:
    return [_KINDS[type(item)], *map(_plain, _values(item))]


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
    return value
