"""The streams between simulated members: one request and one reply on each, as bytes.

A stream to a process that does not exist is refused at once. Whatever else goes wrong (a cut link,
a break, a process that is held or dies meanwhile) shows to the asker only when its time is up.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from attrs import frozen

from rumor.events import Answered, Asked, Event, Unanswered
from rumor.simulation.host import Host
from rumor.wire import LENGTH_BYTES

if TYPE_CHECKING:
    from rumor.simulation.world import World


@frozen
class Call:
    """A stream under way: who asked, in which life and under which ticket, and whom."""

    host: Host
    life: int
    ticket: int
    target: Host


class Streams:
    """All streams of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._calls: dict[int, Call] = {}
        self._numbers = count(1)

    def dial(self, host: Host, ticket: int, target: Host | None, data: bytes) -> None:
        """Open a stream to `target` (``None``: nobody was ever there) and send the request."""
        world = self._world
        world.trace.sent(world.now, host.name, data)
        world.counts["streams"] += 1
        host.bytes += len(data)
        patience = world.config.stream_timeout
        delay = None if target is None else world.network.round_trip(host.name, target.name)
        if target is None or delay is None:
            self._fail_after(patience, host, ticket)
        elif not target.up:
            self._fail_after(delay, host, ticket)
        else:
            call = next(self._numbers)
            self._calls[call] = Call(host, host.life, ticket, target)
            world.after(patience, self._expire, call)
            world.after(delay + target.lag(world.random), self._ask, call, target.life, data)

    def reply(self, host: Host, call: int, data: bytes) -> None:
        """Send the reply, unless the stream stands no more."""
        world = self._world
        if self._stands(call):
            world.trace.sent(world.now, host.name, data)
            host.bytes += len(data)
            lag = self._calls[call].host.lag(world.random)
            world.after(world.network.latency + lag, self._answer, call, data)

    def _fail_after(self, delay: float, host: Host, ticket: int) -> None:
        self._world.counts["streams failed"] += 1
        self._world.after(delay, self._end, host, host.life, Unanswered(ticket))

    def _ask(self, call: int, life: int, data: bytes) -> None:
        if self._stands(call) and self._calls[call].target.life == life:
            request = self._world.wire.unpack_request(data[LENGTH_BYTES:])
            self._world.tell(self._calls[call].target, [Asked(call, request)])

    def _answer(self, call: int, data: bytes) -> None:
        if self._stands(call):
            made = self._calls.pop(call)
            reply = self._world.wire.unpack_reply(data[LENGTH_BYTES:])
            self._end(made.host, made.life, Answered(made.ticket, reply))

    def _expire(self, call: int) -> None:
        made = self._calls.pop(call, None)
        if made is not None:
            self._world.counts["streams failed"] += 1
            self._end(made.host, made.life, Unanswered(made.ticket))

    def _stands(self, call: int) -> bool:
        """Whether bytes still pass; a cut link shows to the asker only as its time runs out."""
        made = self._calls.get(call)
        if made is None:
            return False
        network, here, there = self._world.network, made.host.name, made.target.name
        return network.is_open(here, there) and network.is_open(there, here)

    def _end(self, host: Host, life: int, event: Event) -> None:
        if host.life == life and host.up:
            self._world.tell(host, [event])
