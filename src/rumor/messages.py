"""What members say to each other, as values named after the SWIM paper (DSN 2002, section 3 and 4).

Datagrams carry one *message* (the failure detector's business) and any number of *updates*
(the dissemination component's business, piggybacked). Streams carry one *request* and one *reply*
of the push-pull exchange, or a ping and its answer.

Times and clocks never travel. The order between two updates about one member follows from the
member's *incarnation*, a number that only the member itself may raise.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TypeAlias

from attrs import frozen

Name: TypeAlias = str
"""The identity of a member: unique in its cluster, 1 to 128 bytes of UTF-8."""

Address: TypeAlias = tuple[str, int]
"""Host (an IP address as text) and port; UDP and TCP use the same number."""

Incarnation: TypeAlias = int
"""How often a member has spoken for itself; only the member raises its own number."""

NAME_BYTES_MAX = 128
"""A longer name is refused, at home and from the network."""

META_BYTES_MAX = 512
"""Metadata must fit into one datagram together with the names and addresses round it."""


COORDINATE_DIMENSIONS = 8
"""Of the space in which members place themselves; more would hardly fit better."""


class Health(IntEnum):
    """What is believed of a member; the values give the precedence at equal incarnations (§4.2).

    "Suspect" overrides "Alive", "Dead" (the paper's "Confirm") overrides both. ``LEFT`` stands
    last: a member's own farewell is never overruled by a rumour of its death.
    """

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2
    LEFT = 3


@frozen
class Coordinate:
    """A member's place in the space of round trip times; see :mod:`rumor.core.coordinates`."""

    vector: tuple[float, ...]
    """:data:`COORDINATE_DIMENSIONS` numbers, in seconds."""
    error: float
    """How unsure the member is of it: 0 not at all, 1.5 entirely."""
    adjustment: float
    height: float


@frozen
class Peer:
    """One member as a member list knows it, and as it travels in a push-pull exchange."""

    name: Name
    address: Address
    incarnation: Incarnation = 0
    health: Health = Health.ALIVE
    meta: bytes = b""
    """Opaque to the core; at most :data:`META_BYTES_MAX` bytes."""
    accuser: Name | None = None
    """Who suspected or confirmed it; ``None`` while it is alive or has left by itself.

    It travels, so that a suspicion learnt in an exchange counts for its author, not for the
    one who passed it on.
    """


# --- messages: one in each datagram -----------------------------------------------------------


@frozen
class Ping:
    """Are you there? A receiver of another name stays silent: the address has a new owner."""

    sequence: int
    source: Name
    target: Name
    fingerprint: bytes | None = None
    """Now and then, of the asker's list: who has another one begins an exchange with it."""


@frozen
class PingRequest:
    """Please ping `target` for me; its address spares you from having to know it (§3.1)."""

    sequence: int
    source: Name
    target: Name
    address: Address


@frozen
class Ack:
    """`source` is there; `sequence` is the asker's own number, also when relayed by a helper."""

    sequence: int
    source: Name
    coordinate: Coordinate | None = None
    """Where `source` is; ``None`` if the ack was relayed, for then it took a longer way."""


@frozen
class Nack:
    """The helper `source` has not heard from the target, but has heard the request (Lifeguard)."""

    sequence: int
    source: Name


@frozen
class Gossip:
    """Nothing but the updates that travel with it."""


ANSWER_BYTES_MAX = 768
"""An answer must fit into one datagram, also when it is passed on by others."""

RELAYS_MAX = 8
"""Members that may be asked to pass on one answer."""


@frozen
class QueryAck:
    """`source` has got the query with that sequence number, and is one of those it is meant for."""

    sequence: int
    source: Name


@frozen
class QueryAnswer:
    """What the user of `source` says to the query with that sequence number."""

    sequence: int
    source: Name
    payload: bytes


@frozen
class QueryRelay:
    """Please pass this on to `target`, the member that asks: what came straight may get lost."""

    target: Name
    word: QueryAck | QueryAnswer


Message: TypeAlias = Ping | PingRequest | Ack | Nack | Gossip | QueryAck | QueryAnswer | QueryRelay


# --- updates: piggybacked on messages ---------------------------------------------------------


@frozen
class Alive:
    """`name` lives at `address`; said first by the member itself."""

    name: Name
    address: Address
    incarnation: Incarnation
    meta: bytes


@frozen
class Suspect:
    """`accuser` got no answer from `name`."""

    name: Name
    incarnation: Incarnation
    accuser: Name


@frozen
class Dead:
    """The suspicion of `name` was not refuted in time, says `accuser` (the paper's Confirm)."""

    name: Name
    incarnation: Incarnation
    accuser: Name


@frozen
class Leave:
    """`name` says farewell; it has left and has not failed."""

    name: Name
    incarnation: Incarnation


Update: TypeAlias = Alive | Suspect | Dead | Leave


EventKey: TypeAlias = tuple[int, Name, Incarnation, int]
"""Clock, origin, the origin's incarnation, and its number: an event's identity and its place."""

EVENT_NAME_BYTES_MAX = 64
EVENT_PAYLOAD_BYTES_MAX = 512
"""An event must fit into one datagram."""


@frozen
class UserEvent:
    """Something that a user told all members; see :mod:`rumor.core.happenings`."""

    clock: int
    """Lamport's: an event that was caused by another has a later one."""
    origin: Name
    incarnation: Incarnation
    sequence: int
    name: str
    payload: bytes

    @property
    def key(self) -> EventKey:
        """What it is known by, and ordered by."""
        return self.clock, self.origin, self.incarnation, self.sequence


QUERY_BYTES_MAX = 928
"""The texts of a query together, with 6 bytes more for each filter: it must fit into one datagram,
where it takes up to 96 bytes more."""


@frozen
class Query:
    """A question to all members, or to some; see :mod:`rumor.core.queries`."""

    clock: int
    """Lamport's, as a user event's."""
    origin: Name
    incarnation: int
    sequence: int
    name: str
    payload: bytes
    address: Address
    """Where answers go: whoever is asked by a newcomer may not know it yet."""
    milliseconds: int
    """How long the asker will listen."""
    acks: bool
    """Whether the asker wants to know who got the query."""
    relays: int
    """How many others shall pass on each answer, besides its own way."""
    names: tuple[Name, ...] = ()
    """Whom it is meant for; empty: everybody."""
    tags: tuple[tuple[str, str], ...] = ()
    """And only those whose metadata say all of this."""

    @property
    def key(self) -> EventKey:
        """What it is known by, and ordered by."""
        return self.clock, self.origin, self.incarnation, self.sequence

    @property
    def weight(self) -> int:
        """What is limited by :data:`QUERY_BYTES_MAX`."""
        filters = (*self.names, *(text for tag in self.tags for text in tag))
        texts = (self.origin, self.name, *filters)
        return len(self.payload) + sum(len(text.encode()) for text in texts) + 6 * len(filters)


Word: TypeAlias = Update | UserEvent | Query
"""What travels in the tail of a datagram."""


# --- requests and replies: one of each on a stream --------------------------------------------


@frozen
class Version:
    """The part of a :class:`Peer` that decides which of two records is the newer.

    And a checksum of its address, so that one name at two addresses does not stay unnoticed.
    """

    name: Name
    incarnation: Incarnation
    health: Health
    place: int


@frozen
class Summary:
    """Request: is your member list the same as mine? Answered by ``Same`` or ``Digest``."""

    fingerprint: bytes
    """16 bytes over all versions; see :func:`rumor.core.exchange.fingerprint`."""


@frozen
class Push:
    """Request: take these records, and give me those. Reply: the records that were asked for."""

    peers: tuple[Peer, ...]
    wanted: tuple[Name, ...] | None = ()
    """Names whose records the sender asks for; ``None`` asks for all (a newcomer does), and for
    all events."""
    events: tuple[UserEvent, ...] = ()
    missing: tuple[EventKey, ...] = ()
    """Events that the sender asks for."""


@frozen
class StreamPing:
    """Request: are you there, `target`? Asked when a ping by datagram stays unanswered."""

    target: Name


@frozen
class StreamAck:
    """Reply: `source` is there, whoever was asked for."""

    source: Name


@frozen
class Same:
    """Reply: the fingerprints agree, there is nothing to exchange."""


@frozen
class Digest:
    """Reply: the lists differ, here are the versions in mine."""

    versions: tuple[Version, ...]
    events: tuple[EventKey, ...] = ()


Request: TypeAlias = Summary | Push | StreamPing
Reply: TypeAlias = Same | Digest | Push | StreamAck
