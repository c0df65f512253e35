"""The agent: one member of a cluster, running under trio.

The driver is dull on purpose. It takes what came, lets the core decide, and carries out the
orders; every rule is in :mod:`rumor.core`. It has one rule of its own: it takes every datagram
that is there before it lets a timer fire, so that a process that slept wakes up to its mail first.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from types import MappingProxyType

import trio
from attrs import define, field

from rumor.config import Config
from rumor.core.members import LIVE
from rumor.core.swim import Swim
from rumor.effects import (
    Answer,
    Collect,
    Conflicted,
    Deliver,
    Effect,
    Exchange,
    Failed,
    Left,
    Notification,
    Reaped,
    Refuse,
    Send,
    Settled,
)
from rumor.errors import (
    AgentClosed,
    ConfigError,
    EventTooLarge,
    JoinFailed,
    NotFailed,
    Overloaded,
    ProtocolError,
    QueryInvalid,
)
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
    Replied,
    Unanswered,
    Unasked,
)
from rumor.fields import check_event_name, check_payload
from rumor.keyring import Keyring
from rumor.messages import Address, Coordinate, Health, Name, Query, Reply, Request, UserEvent
from rumor.trio.exchanges import Exchanges
from rumor.trio.inbox import Inbox
from rumor.trio.keys import KEYS_QUERY, KEYS_RELAYS, RESERVED, ClusterKeys
from rumor.trio.mail import Mail
from rumor.trio.polls import Poll, Question, queried
from rumor.trio.recorder import Recorder
from rumor.trio.subscription import Subscription
from rumor.trio.traffic import AgentStatistics
from rumor.trio.view import AgentEvent, Member, event_of, events_so_far, member_of
from rumor.wire import encode_meta

logger = logging.getLogger("rumor")


@define
class Waiting:
    """A caller who waits for what it asked to be settled."""

    settled: trio.Event = field(factory=trio.Event)
    count: int = 0


class Agent:
    """A running member; made by :func:`~rumor.trio.opening.open_agent`."""

    def __init__(
        self,
        swim: Swim,
        mail: Mail,
        config: Config,
        nursery: trio.Nursery,
        *,
        keyring: Keyring | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        (self._me,) = swim.members.values()
        self._swim = swim
        self._mail = mail
        self._port = mail.port
        self._recorder = recorder
        self._config = config
        self._nursery = nursery
        self._inbox = Inbox()
        self._exchanges = Exchanges(mail, config, self._answer)
        self._numbers = count(1)
        self._waiting: dict[int, Waiting] = {}
        self._conflicts: dict[Name, Conflicted[Member]] = {}
        self._polls: dict[int, Poll] = {}
        self._keys = None if keyring is None else ClusterKeys(keyring, self._ask_keys, self.living)
        self._replies: dict[int, Reply] = {}
        self._subscriptions: dict[int, Subscription] = {}
        self._traffic = mail.traffic
        self._closed = False

    @property
    def name(self) -> Name:
        """This member's name."""
        return self._me.name

    @property
    def address(self) -> Address:
        """Where the others find this member."""
        return self._me.address

    @property
    def members(self) -> Mapping[Name, Member]:
        """All members that are known now, ourselves, the failed and the departed included."""
        peers = self._swim.members
        return MappingProxyType({name: member_of(peer) for name, peer in peers.items()})

    def distance(self, name: Name) -> float | None:
        """Estimate the round trip time to a member, in seconds.

        It follows from network coordinates, so it settles within some minutes. ``None`` as long as
        that member has not answered any ping of ours.
        """
        return self._swim.distance(name)

    @property
    def coordinate(self) -> Coordinate:
        """Where this member is in the space of round trip times; see `distance`."""
        return self._swim.coordinate

    async def join(self, seeds: Sequence[Address]) -> int:
        """Ask these addresses for their members; return how many answered.

        Raises :class:`~rumor.errors.JoinFailed` if none did, and
        :class:`~rumor.errors.AgentClosed` after :meth:`leave`.
        """
        self._check_open()
        others = tuple(seed for seed in seeds if seed != self.address)
        if not others:
            await trio.lowlevel.checkpoint()
            return 0
        number = next(self._numbers)
        answered = await self._settle(number, Introduced(number, others))
        if answered == 0:
            reasons = "; ".join(
                f"{host}:{port}: {self._exchanges.why((host, port))}" for host, port in others
            )
            raise JoinFailed(
                f"no seed answered ({reasons}). {self.name} runs on by itself and tries them "
                "again; check the addresses and the cluster's name",
            )
        return answered

    async def leave(self) -> None:
        """Say farewell, and wait until some members have heard it, or for ``leave_timeout``.

        The others see this member as left, not as failed. The agent answers until its context
        ends, but takes part no more.
        """
        self._check_open(left_is_fine=True)
        number = next(self._numbers)
        await self._settle(number, Departed(number))
        if self._recorder is not None:
            await self._recorder.write()

    async def dismiss(self, name: Name) -> None:
        """Declare that a failed member has left, for good: it is forgotten like one that said so.

        If it lives after all it is back as soon as it hears of this. Nothing is done about one
        that has left already. Raises :class:`~rumor.errors.NotFailed` of any other.
        """
        self._check_open()
        number = next(self._numbers)
        if await self._settle(number, Dismissed(number, name)) == 0:
            raise NotFailed(f"{name!r} has not failed, as {self.name} sees it; nothing changed")

    async def set_meta(self, meta: Mapping[str, str]) -> None:
        """Replace this member's metadata, and tell the others.

        Raises :class:`~rumor.errors.MetaTooLarge` beyond 512 encoded bytes.
        """
        self._check_open()
        self._command(Described(encode_meta(meta)))
        await trio.lowlevel.checkpoint()

    async def broadcast(self, name: str, payload: bytes = b"") -> None:
        """Tell all members something; each of their subscriptions, and ours, gets it once.

        Raises :class:`~rumor.errors.EventTooLarge` beyond 64 bytes of name or 512 of payload, and
        :class:`~rumor.errors.Overloaded` while too many events wait to be passed on.
        """
        self._check_open()
        try:
            happened = Happened(next(self._numbers), check_event_name(name), check_payload(payload))
        except ProtocolError as error:
            raise EventTooLarge(f"{error}; nobody was told") from error
        if await self._settle(happened.tag, happened) == 0:
            raise Overloaded("too many events wait to be passed on; nobody was told, wait a little")

    @asynccontextmanager
    async def query(
        self,
        name: str,
        payload: bytes = b"",
        *,
        names: Iterable[Name] = (),
        tags: Mapping[str, str] = MappingProxyType({}),
        acks: bool = False,
        relays: int = 0,
        timeout: float | None = None,  # noqa: ASYNC109  # how long others listen, too
    ) -> AsyncIterator[Poll]:
        """Ask all members something, ourselves included, and collect what they answer.

        Args:
            name: what is asked for, at most 64 bytes.
            payload: what is asked with it, at most 512 bytes.
            names: ask these members only; nobody named: all.
            tags: ask only members whose metadata say all of this.
            acks: have everybody who gets the query say so, see :attr:`Poll.acknowledged`.
            relays: have each answer passed on by so many others too, 8 at most; for lossy links.
            timeout: seconds until the poll ends; ``None``: long enough for a cluster of this size.

        Raises :class:`~rumor.errors.QueryInvalid` for what is too long or makes no sense, and
        :class:`~rumor.errors.Overloaded` while too many queries are open or too much waits to be
        passed on; nobody was asked then.
        """
        if name.startswith(RESERVED):
            raise QueryInvalid(f"{name!r} is a name for agents among themselves; nobody was asked")
        event = queried(
            next(self._numbers),
            self._swim.members[self.name],
            name,
            payload,
            names=names,
            tags=tags,
            acks=acks,
            relays=relays,
            timeout=timeout,
        )
        async with self._poll(event) as poll:
            yield poll

    @asynccontextmanager
    async def _poll(self, event: Queried) -> AsyncIterator[Poll]:
        self._check_open()
        number = event.tag
        poll = self._polls[number] = Poll()
        try:
            self._command(event)
            if poll.is_refused:
                raise Overloaded("too much is under way; nobody was asked, wait a little")
            yield poll
        finally:
            if not self._closed:
                self._command(Unasked(number))
            del self._polls[number]

    @asynccontextmanager
    async def subscribe(self) -> AsyncIterator[Subscription]:
        """Follow the membership: first members and conflicts as they stand, then every change.

        User events come in between: first those that are remembered, of the time before this agent
        joined too, then every new one, once.
        """
        self._check_open(left_is_fine=True)
        first: list[AgentEvent] = [*self._swim.happened]
        first[:0] = self._conflicts.values()
        first[:0] = [e for peer in self._swim.members.values() for e in events_so_far(peer)]
        subscription = Subscription(first, self._config.subscriber_events_max)
        number = next(self._numbers)
        self._subscriptions[number] = subscription
        try:
            yield subscription
        finally:
            del self._subscriptions[number]

    @property
    def keys(self) -> ClusterKeys:
        """The keys of the whole cluster: list, install, use, remove, rotate.

        Raises :class:`~rumor.errors.ConfigError` for an agent without a keyring.
        """
        if self._keys is None:
            raise ConfigError("this agent has no keyring, so the cluster has no keys; none changed")
        return self._keys

    def statistics(self) -> AgentStatistics:
        """Counts of members, of work done and of traffic."""
        return self._traffic.statistics(self._swim.statistics())

    # --- the loop ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Take, step, perform, for ever."""
        self._nursery.start_soon(self._listen_for_datagrams)
        if self._recorder is not None:
            self._nursery.start_soon(self._recorder.run)
        self._nursery.start_soon(trio.serve_listeners, self._exchanges.serve, [self._port.listener])
        while True:
            with trio.move_on_at(self._swim.deadline):
                await self._inbox.wait()
            self._pump()

    def close(self) -> None:
        """End all subscriptions; nothing works any more."""
        self._closed = True
        for subscription in self._subscriptions.values():
            subscription.close()
        for poll in self._polls.values():
            poll.close()

    def finish(self) -> None:
        """Write what is left to write, after the last task has ended."""
        if self._recorder is not None:
            self._recorder.finish()

    def _pump(self, *commands: Event) -> None:
        """Let the core take everything that is there, and carry out its orders."""
        events = [*self._inbox.take(), *self._mail.take(self._config.inbox_max), *commands]
        for effect in self._swim.step(events, now=trio.current_time()):
            self._perform(effect)

    def _command(self, event: Event) -> None:
        self._pump(event)
        self._inbox.ring()  # the loop's deadline may be another now

    async def _settle(self, number: int, event: Event) -> int:
        waiting = self._waiting[number] = Waiting()
        try:
            self._command(event)
            await waiting.settled.wait()
        finally:
            del self._waiting[number]
        return waiting.count

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Send():
                self._mail.send(effect)
            case Exchange():
                self._nursery.start_soon(self._exchange, effect)
            case Answer(call, reply):
                self._replies[call] = reply
            case Deliver(told):
                self._deliver(told)
            case Collect(tag, source, payload):
                self._polls[tag].put_nowait(source, payload)
            case Refuse(tag):
                self._polls[tag].refuse()
            case Settled(tag, answered):
                if (waiting := self._waiting.get(tag)) is not None:
                    waiting.count = answered
                    waiting.settled.set()
                elif (poll := self._polls.get(tag)) is not None:
                    poll.close()
            case _:
                self._publish(effect)

    def _publish(self, notification: Notification) -> None:
        peer = notification.member
        level = logging.WARNING if isinstance(notification, Conflicted) else logging.INFO
        what = type(notification).__name__.lower()
        logger.log(level, "%s: %s %s (%s:%d)", self.name, peer.name, what, *peer.address)
        if self._recorder is not None:
            self._recorder.note(peer.name)
        event = event_of(notification)
        if isinstance(event, Conflicted):
            self._conflicts[peer.name] = event
        elif isinstance(event, Failed | Left | Reaped):
            self._conflicts.pop(peer.name, None)
        self._put(event)

    def _put(self, event: AgentEvent) -> None:
        for subscription in self._subscriptions.values():
            subscription.put_nowait(event)

    def _deliver(self, told: UserEvent | Query) -> None:
        """Answer what is meant for the agent itself; give the user the rest."""
        if isinstance(told, UserEvent):
            self._put(told)
        elif not told.name.startswith(RESERVED):
            self._put(Question(told, self._reply))
        elif self._keys is not None and told.name == KEYS_QUERY:
            self._inbox.put(Replied(told, self._keys.obey(told)))

    def _ask_keys(self, payload: bytes, names: Sequence[Name]) -> AbstractAsyncContextManager[Poll]:
        number, me = next(self._numbers), self._swim.members[self.name]
        return self._poll(queried(number, me, KEYS_QUERY, payload, names=names, relays=KEYS_RELAYS))

    def living(self) -> list[Name]:
        """Name the members that are held to be alive or suspect, ourselves included."""
        return [peer.name for peer in self._swim.members.values() if peer.health in LIVE]

    def _reply(self, query: Query, payload: bytes) -> None:
        self._check_open(left_is_fine=True)
        self._command(Replied(query, payload))

    # --- the network ---------------------------------------------------------------------------

    async def _listen_for_datagrams(self) -> None:
        while True:
            await self._port.wait_readable()
            self._inbox.ring()
            await trio.lowlevel.checkpoint()  # let the loop take them

    async def _exchange(self, exchange: Exchange) -> None:
        reply = await self._exchanges.ask(exchange)
        ticket = exchange.ticket
        self._inbox.put(Unanswered(ticket) if reply is None else Answered(ticket, reply))

    def _answer(self, request: Request) -> Reply:
        call = next(self._numbers)
        self._command(Asked(call, request))
        return self._replies.pop(call)

    def _check_open(self, *, left_is_fine: bool = False) -> None:
        if self._closed:
            raise AgentClosed(f"{self.name} is closed; nothing was done, open a new agent")
        if not left_is_fine and self._swim.members[self.name].health is Health.LEFT:
            raise AgentClosed(f"{self.name} has left; nothing was done, open a new agent")
