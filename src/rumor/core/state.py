"""What one member remembers, and the few verbs that all its rules share.

The rules live in functions over this state, one file for each idea: :mod:`~rumor.core.probe` (the
failure detector), :mod:`~rumor.core.rumours` (what an update does to the list),
:mod:`~rumor.core.exchange` (push-pull), :mod:`~rumor.core.departure` (leaving). They record orders
in :attr:`State.out` and datagrams in :attr:`State.outbox`; :meth:`State.flush` adds the gossip to
the datagrams at the end of a step, when everything that the step learnt is known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, auto
from math import inf
from typing import TYPE_CHECKING, TypeAlias

from attrs import define, field, frozen

from rumor.config import ENVELOPE_BYTES_MAX, Config
from rumor.core.awareness import Awareness
from rumor.core.backlog import Backlog
from rumor.core.coordinates import Vivaldi
from rumor.core.history import Happenings
from rumor.core.members import LIVE, Members, update_of
from rumor.core.schedule import Schedule
from rumor.core.suspicion import Suspicion, transmit_limit
from rumor.effects import Effect, Send
from rumor.messages import (
    Address,
    Coordinate,
    EventKey,
    Gossip,
    Health,
    Message,
    Name,
    Query,
    UserEvent,
    Word,
)

if TYPE_CHECKING:
    from random import Random


class Due(Enum):
    """What can fall due; the schedule's keys are pairs of this and a name or number."""

    PROBE = auto()  # the protocol period ends, the next begins
    ACK = auto()  # the direct ping has had its time; ask helpers
    NACK = auto()  # a helper owes the asker a word
    RELAY = auto()  # a helper forgets the request
    SUSPICION = auto()
    GOSSIP = auto()
    EXCHANGE = auto()
    RECONNECT = auto()
    REAP = auto()
    LEAVE = auto()
    QUERY = auto()  # the time of a query of ours is up


EVENTS_TURN = 4
"""User events are the first to be put into one datagram out of so many."""

Timer: TypeAlias = tuple[Due, Name | int]


@define
class Probe:
    """The one probe of the current protocol period."""

    sequence: int
    target: Name
    address: Address
    """Where the ping went; the target may move meanwhile."""
    started: float
    scale: int
    helpers: dict[Name, bool] = field(factory=dict)
    """Who was asked for help, and whether a nack came from there."""
    ticket: int | None = None
    """The exchange by which the target is asked over a stream, too."""


@frozen
class Relay:
    """A ping made for somebody else."""

    origin: Address
    sequence: int
    target: Name


@frozen
class Outgoing:
    """An exchange under way: where to, for which ``join``, and what it asked."""

    to: Address
    tag: int | None
    summary: bool
    timer: Due | None
    """The timer that started it and does not start another meanwhile."""


@define
class Joining:
    """A ``join`` that waits for its seeds."""

    waiting: int
    answered: int = 0


ECHO = 0.25
"""News are told a second time after this part of the gossip interval."""


SMALL = 10
"""Groups smaller than this gossip as much as one of this size: where few datagrams are sent, most
to members that know already, the paper's logarithm leaves somebody out now and then."""


@define
class Departure:
    """A farewell that waits for confirmations."""

    tags: list[int]
    ends: float
    asked: dict[int, Name] = field(factory=dict)
    confirmed: dict[Name, None] = field(factory=dict)
    settled: bool = False


@define
class Asking:
    """A query of our own that is open: for whom, and who has acknowledged and answered."""

    tag: int
    acked: dict[Name, None] = field(factory=dict)
    answered: dict[Name, None] = field(factory=dict)


@define
class Counts:
    """Work done since the start, for :class:`rumor.core.swim.Statistics`."""

    probes: int = 0
    probes_failed: int = 0
    probes_by_stream: int = 0
    refutations: int = 0
    exchanges: int = 0
    refused: int = 0


@define
class State:
    """Everything that one member remembers."""

    config: Config
    random: Random
    encode: Callable[[Word | Message], bytes]
    members: Members
    awareness: Awareness
    now: float
    sequence: int
    tags_of: Callable[[bytes], Mapping[str, str]]
    overhead: int = 0
    """Bytes of each datagram that the driver needs for itself."""
    backlog: Backlog[Name] = field(factory=Backlog)
    events: Backlog[EventKey] = field(factory=Backlog)
    happenings: Happenings[UserEvent] = field(factory=Happenings)
    queries: Happenings[Query] = field(factory=Happenings)
    asking: dict[int, Asking] = field(factory=dict)
    """Queries of our own that are open, by their sequence number."""
    clock: int = 0
    """Lamport's, for events and queries alike."""
    clock_before: int = 0
    """What it was when an earlier life of ours ended: what is not later was heard then."""
    turn: int = 0
    """Counts datagrams, so that user events get their turn."""
    vivaldi: Vivaldi = field(init=False)
    coordinates: dict[Name, Coordinate] = field(factory=dict)
    """Where the others said they are."""
    schedule: Schedule[Timer] = field(factory=Schedule)
    suspicions: dict[Name, Suspicion] = field(factory=dict)
    probe: Probe | None = None
    ring: list[Name] = field(factory=list)
    """Whom to probe in this round, the next last."""
    relays: dict[int, Relay] = field(factory=dict)
    seeds: dict[Address, None] = field(factory=dict)
    outgoing: dict[int, Outgoing] = field(factory=dict)
    joining: dict[int, Joining] = field(factory=dict)
    departure: Departure | None = None
    told: dict[Name, float] = field(factory=dict)
    """When a stale speaker was last told what is held against it."""
    detours: dict[Name, int] = field(factory=dict)
    """How many probes in a row each living member has answered by a detour only."""
    conflicts: dict[Name, float] = field(factory=dict)
    """When a name's second use was last reported."""
    curious: bool = False
    """The next ping shall compare lists."""
    fingerprint: tuple[tuple[int, tuple[EventKey, ...]], bytes] | None = None
    """Of our list, with what it was made of: the count of changes, and the events' keys."""
    counts: Counts = field(factory=Counts)
    out: list[Effect] = field(factory=list)
    outbox: list[tuple[Address, Message, Name | None]] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        """Begin at the origin."""
        self.vivaldi = Vivaldi(self.random)

    @property
    def me(self) -> Name:
        """Our own name."""
        return self.members.me

    @property
    def has_left(self) -> bool:
        """Whether we have said farewell."""
        return self.members.myself.health is Health.LEFT

    def next_sequence(self) -> int:
        """A number for a ping or an exchange, not used before in this life."""
        self.sequence += 1
        return self.sequence

    def send(self, to: Address, message: Message, *, about: Name | None = None) -> None:
        """Send a datagram at the end of the step; `about` is the member that will read it."""
        self.outbox.append((to, message, about))

    def gossip(self) -> None:
        """Tell a few members at random what is in the backlog."""
        for peer in self.members.sample(self.config.gossip_nodes, self.random):
            self.send(peer.address, Gossip(), about=peer.name)

    def gossip_round(self) -> None:
        """Tell a few members, and one of the recently dead, lest it was buried alive."""
        self.gossip()
        dead = self.members.died_since(self.now - self.config.gossip_to_dead)
        if dead:
            peer = self.members.view[self.random.choice(dead)]
            self.send(peer.address, Gossip(), about=peer.name)

    def flush(self) -> list[Effect]:
        """Give out the orders of this step, each datagram filled up with gossip.

        News start on their way at once: whatever this step learnt is told to a few members now,
        not at the next tick, and to a few more soon after: the first round alone leaves out one
        in twenty, and each of them would wait for a whole interval.
        """
        interval = self.config.gossip_interval
        next_round = self.schedule.due((Due.GOSSIP, 0))
        if self.backlog.fresh or self.events.fresh:
            self.backlog.fresh = self.events.fresh = False
            if self.config.gossip_at_once:
                self.gossip()
                interval *= ECHO
            elif next_round == inf:
                interval *= self.random.random()  # rounds that went on all the time
        waits = (self.backlog or self.events) and self.members.others
        if waits and self.now + interval < next_round:
            self.schedule.set((Due.GOSSIP, 0), self.now + interval)
        if self.outbox:
            self._pack()
        out, self.out = self.out, []
        return out

    def _pack(self) -> None:
        """Fill the datagrams of this step with gossip."""
        size = max(self.members.size, SMALL)
        limit = transmit_limit(self.config.transmit_multiplier, size)
        space = self.config.datagram_bytes_max - ENVELOPE_BYTES_MAX - self.overhead
        for to, message, about in self.outbox:
            room = space - len(self.encode(message))
            first = self._concerning(about)
            drawn = self._draw(room - sum(map(len, first)), limit)
            gossip = (*first, *(update for update in drawn if update not in first))
            if gossip or not isinstance(message, Gossip):
                self.out.append(Send(to, message, gossip))
        self.outbox.clear()

    def _draw(self, room: int, limit: int) -> tuple[bytes, ...]:
        """Take gossip of both kinds: each leaves the rest of the datagram to the other.

        News of members go first, but for every fourth datagram. So neither kind starves the other,
        however much of it there is.
        """
        if not self.events:
            return self.backlog.draw(room, limit)
        self.turn += 1
        if self.turn % EVENTS_TURN == 0:
            happened = self.events.draw(room, limit)
            return happened + self.backlog.draw(room - sum(map(len, happened)), limit)
        news = self.backlog.draw(room, limit)
        return news + self.events.draw(room - sum(map(len, news)), limit)

    def _concerning(self, reader: Name | None) -> tuple[bytes, ...]:
        """What a datagram must tell its reader before all else.

        Lifeguard's buddy system: "tell the suspect" on the very ping that checks it, so that it
        can refute at the first chance; we tell it on any message, and the dead as well. Whoever
        has left says so on every message.
        """
        first: list[bytes] = []
        if self.has_left:
            first.append(self.encode(update_of(self.members.myself)))
        peer = self.members.get(reader) if reader is not None else None
        silent = (Health.ALIVE,) if self.config.buddy else (Health.ALIVE, Health.SUSPECT)
        if peer is not None and peer.health not in silent:
            first.append(self.encode(update_of(peer)))
        return tuple(first)


def is_live(state: State, name: Name) -> bool:
    """Tell whether a member is known and held to be alive or suspect."""
    peer = state.members.get(name)
    return peer is not None and peer.health in LIVE
