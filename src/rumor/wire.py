"""Bytes: what travels in datagrams and on streams, strictly checked on the way in.

A datagram is one byte, the version, and one CBOR item (RFC 8949)::

    01 [cluster, [kind, field, …], [[kind, field, …], …]]
                 └── message ───┘  └──── updates ─────┘

A stream begins with the four bytes ``RUM1``, so that one TCP port can serve other protocols too,
and then carries one frame in each direction: four bytes of length, and that many bytes::

    01 [cluster, [kind, field, …]]

Where the first byte is ``03`` instead, what follows is compressed (:mod:`rumor.compression`). Every
member reads that; only those that are told to compress write it.

Nothing is coerced: the text ``"5"`` is no number, ``True`` is none either, a number in another
encoding than the shortest is refused, and so is anything behind the item. Bytes from the network
raise :class:`~rumor.errors.ProtocolError` (or its child
:class:`~rumor.errors.ForeignCluster`), and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

import cbor2

from rumor.compression import compress, decompress
from rumor.errors import ConfigError, ForeignCluster, MetaTooLarge, ProtocolError
from rumor.fields import MESSAGES, REPLIES, REQUESTS, as_list, build, each, fields, update
from rumor.messages import META_BYTES_MAX, Message, Reply, Request, Word

MAGIC: Final = b"RUM1"
"""The first bytes of every stream."""

VERSION: Final = 1
"""The first byte of every datagram and frame."""

COMPRESSED: Final = 3
"""The first byte if the rest is compressed; 2 is that of a sealed datagram."""

DATAGRAM_BYTES_MAX: Final = 65_507
"""What a datagram may unpack to: no member packs more, and UDP takes no more."""

STREAM_BYTES_MAX: Final = 16 * 1024 * 1024
"""What a frame may unpack to, if nobody says otherwise."""

CLUSTER_BYTES_MAX: Final = 64
LENGTH_BYTES: Final = 4
DEPTH_MAX: Final = 8
"""Deepest nesting that is even looked at; our own items nest to 5."""


class Wire:
    """The codec of one cluster; its name is bound into everything that is sent."""

    def __init__(
        self, cluster: str, *, compress: bool = False, stream_bytes_max: int = STREAM_BYTES_MAX
    ) -> None:
        if not 1 <= len(cluster.encode()) <= CLUSTER_BYTES_MAX:
            raise ConfigError(f"cluster={cluster!r} must take 1 to {CLUSTER_BYTES_MAX} bytes")
        self._cluster = cluster
        self._compress = compress
        self._stream_bytes_max = stream_bytes_max
        self._prefix = cbor2.dumps(cluster)

    def pack(self, message: Message, gossip: Sequence[bytes] = ()) -> bytes:
        """Write a datagram; the updates in `gossip` come from :func:`encode`."""
        head = bytes((VERSION, 0x83)) + self._prefix + encode(message)
        return self._squeeze(b"".join((head, _array_head(len(gossip)), *gossip)))

    def unpack(self, data: bytes) -> tuple[Message, tuple[Word, ...]]:
        """Read a datagram, or raise :class:`~rumor.errors.ProtocolError`."""
        message, updates = self._open(data, 2, DATAGRAM_BYTES_MAX)
        return build(MESSAGES, message), each(update)(updates)

    def pack_frame(self, item: Request | Reply) -> bytes:
        """Write a frame, its length included."""
        body = self._squeeze(bytes((VERSION, 0x82)) + self._prefix + cbor2.dumps(fields(item)))
        return len(body).to_bytes(LENGTH_BYTES, "big") + body

    def unpack_request(self, body: bytes) -> Request:
        """Read a frame's body as a request, or raise :class:`~rumor.errors.ProtocolError`."""
        request: Request = build(REQUESTS, *self._open(body, 1, self._stream_bytes_max))
        return request

    def unpack_reply(self, body: bytes) -> Reply:
        """Read a frame's body as a reply, or raise :class:`~rumor.errors.ProtocolError`."""
        reply: Reply = build(REPLIES, *self._open(body, 1, self._stream_bytes_max))
        return reply

    def _squeeze(self, data: bytes) -> bytes:
        packed = compress(data[1:]) if self._compress else None
        return data if packed is None else bytes((COMPRESSED,)) + packed

    def _open(self, data: bytes, parts: int, bytes_max: int) -> list[Any]:
        if not data or data[0] not in (VERSION, COMPRESSED):
            raise ProtocolError(f"version {data[0] if data else 'missing'}, expected {VERSION}")
        item = data[1:] if data[0] == VERSION else decompress(data[1:], bytes_max)
        cluster, *rest = as_list(loads(item), parts + 1)
        if cluster != self._cluster:
            raise ForeignCluster(f"for cluster {cluster!r}, not {self._cluster!r}"[:200])
        return rest


def encode(item: Word | Message) -> bytes:
    """Write one update or message; what :class:`~rumor.core.swim.Swim` wants as ``encode``."""
    return cbor2.dumps(fields(item))


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
    meta = loads(data) if data else {}
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


def loads(data: bytes) -> Any:
    """Read one CBOR item, of the few kinds and in the one encoding that we write ourselves.

    Raises :class:`~rumor.errors.ProtocolError` for all else.
    """
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
