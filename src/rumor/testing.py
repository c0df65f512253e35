"""A bench for one member: drive :class:`~rumor.core.swim.Swim` by hand, without a network.

For tests of the core, and of code that builds on it. A cluster of members with a network between
them is :mod:`rumor.simulation`.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from random import Random
from typing import TypeVar

from rumor.config import Config
from rumor.core.swim import Swim
from rumor.effects import (
    Answer,
    Collect,
    Deliver,
    Effect,
    Exchange,
    Notification,
    Refuse,
    Send,
    Settled,
)
from rumor.events import Event, Received
from rumor.messages import (
    COORDINATE_DIMENSIONS,
    Ack,
    Address,
    Alive,
    Coordinate,
    Gossip,
    Message,
    Name,
    Peer,
    Ping,
    Word,
)
from rumor.wire import Wire, encode

E = TypeVar("E")

_WIRE = Wire("bench")

SOMEWHERE = Coordinate((0.0,) * COORDINATE_DIMENSIONS, error=1.5, adjustment=0.0, height=1e-5)
"""Where everybody is who answers straight."""


def address_of(name: Name) -> Address:
    """Make up an address for a name, always the same one."""
    number = int.from_bytes(name.encode(), "big") % (1 << 24)
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 7946


def alive(name: Name, incarnation: int = 0, meta: bytes = b"") -> Alive:
    """Let a member announce itself."""
    return Alive(name, address_of(name), incarnation, meta)


def only(kind: type[E], effects: Iterable[Effect]) -> list[E]:
    """Keep the effects of one kind."""
    return [effect for effect in effects if isinstance(effect, kind)]


def notifications(effects: Iterable[Effect]) -> list[Notification]:
    """Keep what users are told."""
    orders = Send | Exchange | Answer | Settled | Deliver | Collect | Refuse
    return [effect for effect in effects if not isinstance(effect, orders)]


def told(effects: Iterable[Effect]) -> list[tuple[Address, Word]]:
    """Read the updates in all datagrams: to whom, and what."""
    return [
        (send.to, update)
        for send in only(Send, effects)
        for update in _WIRE.unpack(_WIRE.pack(send.message, send.gossip))[1]
    ]


class Bench:
    """One member named ``me``, at time 0, knowing the given others."""

    def __init__(
        self,
        *others: Name,
        config: Config | None = None,
        seed: int = 1,
        meta: bytes = b"",
    ) -> None:
        self.now = 0.0
        self.swim = Swim(
            Peer("me", address_of("me"), meta=meta),
            config or Config(),
            now=0.0,
            random=Random(seed),
            encode=encode,
        )
        if others:
            self.hear(*map(alive, others))

    def step(self, *events: Event, now: float | None = None) -> list[Effect]:
        """Take events at `now`, or at the time of the last step."""
        self.now = self.now if now is None else now
        return self.swim.step(events, now=self.now)

    def hear(
        self,
        *updates: Word,
        message: Message | None = None,
        source: Name = "somebody",
        now: float | None = None,
    ) -> list[Effect]:
        """Receive one datagram."""
        event = Received(address_of(source), message or Gossip(), updates)
        return self.step(event, now=now)

    def run(self, until: float, *, dead: Container[Name] | None = None) -> list[Effect]:
        """Let time pass, with a step at each deadline.

        All others answer our pings, but for the `dead`; with ``None``, nobody says anything.
        """
        effects: list[Effect] = []
        while self.swim.deadline <= until:
            orders = self.step(now=max(self.now, self.swim.deadline))
            effects += orders
            if dead is None:
                continue
            for send in only(Send, orders):
                if isinstance(ping := send.message, Ping) and ping.target not in dead:
                    effects += self.hear(message=Ack(ping.sequence, ping.target, SOMEWHERE))
        self.now = until
        return effects

    def peer(self, name: Name) -> Peer:
        """The record of a member."""
        return self.swim.members[name]
