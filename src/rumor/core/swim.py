"""Swim: one member of the group, as a pure machine.

SWIM keeps a list of who is in a group and who is alive, with a load on each member that does not
grow with the group (Das, Gupta, Motivala: "SWIM: Scalable Weakly-consistent Infection-style
Process Group Membership Protocol", DSN 2002). Two components, one machine: a failure detector that
probes one member in each period, and a dissemination component whose updates ride on the
detector's messages. Lifeguard (Dadgar, Phillips, Currey, arXiv 1707.00788) makes it robust against
members that are slow rather than dead.

:meth:`Swim.step` is the only door. It takes what happened as a batch, all of it, before it fires
what is due: a process that was paused first hears the acks that waited for it, and only then looks
at the clock. Time is the caller's ``now`` in seconds, chance is the caller's ``random``; the same
calls give the same orders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, assert_never

from attrs import frozen

from rumor.config import Config
from rumor.core import departure, exchange, happenings, probe, queries, reach, rumours
from rumor.core.awareness import Awareness
from rumor.core.coordinates import distance
from rumor.core.members import Members, update_of
from rumor.core.state import Due, State, Timer
from rumor.effects import Effect
from rumor.events import (
    Answered,
    Asked,
    Departed,
    Described,
    Dismissed,
    Event,
    Happened,
    Introduced,
    Queried,
    Received,
    Replied,
    Unanswered,
    Unasked,
)
from rumor.messages import (
    META_BYTES_MAX,
    NAME_BYTES_MAX,
    Ack,
    Address,
    Coordinate,
    Gossip,
    Health,
    Message,
    Nack,
    Name,
    Peer,
    Ping,
    PingRequest,
    Query,
    QueryAck,
    QueryAnswer,
    QueryRelay,
    StreamPing,
    UserEvent,
    Word,
)

if TYPE_CHECKING:
    from random import Random


@frozen
class Statistics:
    """A look at one member; counts are since its start."""

    alive: int
    suspect: int
    dead: int
    left: int
    health_score: int
    """Local health: 0 is well; every point stretches the probe times by one more interval."""
    backlog: int
    """Updates still to be passed on."""
    events_waiting: int
    """User events still to be passed on."""
    probes: int
    probes_failed: int
    probes_by_stream: int
    """Members that answered over a stream only: datagrams to or from them are blocked."""
    unreachable: int
    """Members that answer by a detour only, again and again."""
    refutations: int
    exchanges: int
    refused: int
    """Newcomers, relays and seeds that a limit turned away."""


def no_tags(_meta: bytes) -> Mapping[str, str]:
    """Find no tags in metadata that nobody can read."""
    return {}


class Swim:
    """One member: takes what happened, says what to do.

    `me` is this member's own record, alive, with the address that others are to use. `encode` must
    give the bytes that the driver will put into a datagram for an update or a message
    (:func:`rumor.wire.encode`); the backlog packs datagrams by their length, and leaves `overhead`
    bytes of each to the driver. `tags_of` reads metadata, for queries that are meant for some
    members only; `clock` is where an earlier life of this member ended.
    """

    def __init__(
        self,
        me: Peer,
        config: Config,
        *,
        now: float,
        random: Random,
        encode: Callable[[Word | Message], bytes],
        tags_of: Callable[[bytes], Mapping[str, str]] = no_tags,
        overhead: int = 0,
        clock: int = 0,
    ) -> None:
        assert 1 <= len(me.name.encode()) <= NAME_BYTES_MAX, me.name
        assert len(me.meta) <= META_BYTES_MAX, len(me.meta)
        assert me.health is Health.ALIVE, me.health
        state = State(
            config=config,
            random=random,
            encode=encode,
            members=Members(me),
            awareness=Awareness(config.awareness_max),
            now=now,
            tags_of=tags_of,
            overhead=overhead,
            clock=clock,
            clock_before=clock,
            sequence=random.getrandbits(32),  # acks meant for an earlier life fit no probe
        )
        state.backlog.put(me.name, encode(update_of(me)))
        # Random offsets, so that members started together do not act together.
        for due, interval in (
            (Due.PROBE, config.probe_interval),
            (Due.EXCHANGE, config.exchange_interval),
            (Due.RECONNECT, min(config.reconnect_interval, config.probe_interval)),
        ):
            state.schedule.set((due, 0), now + random.random() * interval)
        self._state = state

    def step(self, events: Iterable[Event], *, now: float) -> list[Effect]:
        """Take what happened until `now`, then fire what is due; return the orders."""
        state = self._state
        state.now = now = max(now, state.now)
        for event in events:
            _on_event(state, event)
        while (timer := state.schedule.pop(now)) is not None:
            _on_due(state, timer)
        return state.flush()

    @property
    def deadline(self) -> float:
        """When to call :meth:`step` next even if nothing happens (``inf``: never)."""
        return self._state.schedule.deadline

    @property
    def members(self) -> Mapping[Name, Peer]:
        """All that is known, this member, the dead and the departed included; a live view."""
        return self._state.members.view

    @property
    def happened(self) -> tuple[UserEvent, ...]:
        """The user events that are remembered, in their order, but for those of an earlier life."""
        state = self._state
        return tuple(e for e in state.happenings.events if e.clock > state.clock_before)

    @property
    def clock(self) -> int:
        """Lamport's clock; a later life of this member should be given it."""
        return self._state.clock

    @property
    def coordinate(self) -> Coordinate:
        """Where we are in the space of round trip times."""
        return self._state.vivaldi.point

    def distance(self, name: Name) -> float | None:
        """Estimate the round trip time to a member, in seconds; ``None`` before any ack of it."""
        state = self._state
        if name == state.me:
            return 0.0
        other = state.coordinates.get(name)
        return None if other is None else distance(state.vivaldi.point, other)

    def statistics(self) -> Statistics:
        """Counts of members and of work done."""
        state, counts = self._state, self._state.counts
        healths = [peer.health for peer in state.members]
        return Statistics(
            alive=healths.count(Health.ALIVE),
            suspect=healths.count(Health.SUSPECT),
            dead=healths.count(Health.DEAD),
            left=healths.count(Health.LEFT),
            health_score=state.awareness.score,
            backlog=len(state.backlog),
            events_waiting=len(state.events),
            probes=counts.probes,
            probes_failed=counts.probes_failed,
            probes_by_stream=counts.probes_by_stream,
            unreachable=reach.unreachable(state),
            refutations=counts.refutations,
            exchanges=counts.exchanges,
            refused=counts.refused,
        )


def _on_event(state: State, event: Event) -> None:
    match event:
        case Received(source, message, updates):
            # Updates first, so that the answer already carries what they made of us.
            for update in updates:
                match update:
                    case UserEvent():
                        happenings.on_event(state, update)
                    case Query():
                        queries.on_query(state, update)
                    case _:
                        rumours.on_update(state, update)
            _on_message(state, source, message)
        case Asked(call, request):
            if isinstance(request, StreamPing):
                probe.on_stream_ping(state, call)
            else:
                exchange.on_asked(state, call, request)
        case Answered(ticket, reply):
            reach.on_stream_answer(state, ticket, reply)
            probe.on_stream_answer(state, ticket, reply)
            exchange.on_answered(state, ticket, reply)
        case Unanswered(ticket):
            exchange.on_unanswered(state, ticket)
        case Introduced(tag, seeds):
            exchange.on_introduced(state, tag, seeds)
        case Described(meta):
            rumours.describe(state, meta)
        case Happened(tag, name, payload):
            happenings.say(state, tag, name, payload)
        case Queried():
            queries.ask(state, event)
        case Replied(query, payload):
            queries.answer(state, query, payload)
        case Unasked(tag):
            queries.stop_asking(state, tag)
        case Departed(tag):
            departure.on_departed(state, tag)
        case Dismissed(tag, name):
            departure.on_dismissed(state, tag, name)
        case _:
            assert_never(event)


def _on_message(state: State, source: Address, message: Message) -> None:
    match message:
        case Gossip():
            pass
        case Ping():
            probe.on_ping(state, source, message)
        case Ack():
            reach.on_ack(state, message)
            probe.on_ack(state, message)
            departure.on_departure_ack(state, message)
        case PingRequest():
            probe.on_ping_request(state, source, message)
        case Nack():
            probe.on_nack(state, message)
        case QueryAck() | QueryAnswer():
            queries.on_answer(state, message)
        case QueryRelay():
            queries.on_relay(state, message)
        case _:
            assert_never(message)


def _on_due(state: State, timer: Timer) -> None:
    match timer:
        case (Due.PROBE, _):
            probe.begin_period(state)
        case (Due.ACK, _):
            probe.ask_helpers(state)
        case (Due.NACK, int(sequence)):
            probe.send_nack(state, sequence)
        case (Due.RELAY, int(sequence)):
            probe.forget_relay(state, sequence)
        case (Due.SUSPICION, str(name)):
            rumours.on_suspicion_expired(state, name)
        case (Due.GOSSIP, _):
            state.gossip_round()
        case (Due.EXCHANGE, _):
            exchange.become_curious(state)
        case (Due.RECONNECT, _):
            exchange.reconnect(state)
        case (Due.REAP, str(name)):
            rumours.reap(state, name)
        case (Due.LEAVE, _):
            departure.continue_departure(state)
        case (Due.QUERY, int(sequence)):
            queries.end(state, sequence)
        case _:
            raise AssertionError(timer)
