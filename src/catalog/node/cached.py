"""An agent's copies of services, for lookups that may be answered from a cache.

The first lookup of a service that allows it (`Lookup.max_age`) goes to a server, and begins a
subscription beside it. From then on the agent has a copy that follows the servers, and answers by
itself while the copy is known to be current enough. When no server answers it goes on answering,
however old the copy is by then: the answer says so (`Reply.cached`, `Reply.age`), and who asks
decides what it is worth.

A copy that nobody asks for is given up after a while, and if there are too many, the one that was
asked for least lately.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, Final

import trio
from attrs import define, evolve

from catalog.errors import Unavailable
from catalog.model import View
from catalog.requests import Lookup, Reply, Request
from catalog.subscriptions import Subscription

__all__ = ["Cached"]

COPIES_MAX: Final = 512
IDLE_SECONDS: Final = 600.0
"""After so long without a question a copy is given up."""


@define
class Copy:
    """A service as the agent has it."""

    subscription: Subscription
    used: float
    scope: trio.CancelScope


class Cached:
    """The copies of an agent."""

    def __init__(
        self,
        ask: Callable[[Request[Any]], Awaitable[Any]],
        nursery: trio.Nursery,
        random: Random,
        *,
        copies_max: int = COPIES_MAX,
    ) -> None:
        self._ask = ask
        self._nursery = nursery
        self._random = random
        self._copies_max = copies_max
        self._copies: dict[str, Copy] = {}
        """By name; the one that was asked for most lately is the last."""

    async def lookup(self, request: Lookup) -> Reply[View]:
        """Answer a lookup from a copy, or else by asking.

        Raises:
            Unavailable: no server answers, and there is no copy.

        """
        assert request.max_age is not None, "others are not for a cache"
        if request.near or request.node_meta or request.after is not None:
            return await self._uncached(request)
        mine = self._copy(request.name)
        if mine.known and (mine.age <= request.max_age or not mine.connected):
            await trio.lowlevel.checkpoint()
            return _answer(mine, request)
        try:
            return await self._uncached(request)
        except Unavailable:
            if not mine.known:
                raise
            return _answer(mine, request)

    async def _uncached(self, request: Lookup) -> Reply[View]:
        reply: Reply[View] = await self._ask(evolve(request, max_age=None))
        return reply

    def _copy(self, name: str) -> Subscription:
        now = trio.current_time()
        copy = self._copies.pop(name, None)
        while self._copies:
            oldest, idle = next(iter(self._copies.items()))
            if now - idle.used < IDLE_SECONDS and len(self._copies) < self._copies_max:
                break
            idle.scope.cancel()
            del self._copies[oldest]
        if copy is None:
            copy = Copy(Subscription(name, self._ask, random=self._random), now, trio.CancelScope())
            self._nursery.start_soon(self._follow, copy)
        copy.used = now
        self._copies[name] = copy
        return copy.subscription

    async def _follow(self, copy: Copy) -> None:
        with copy.scope:
            await copy.subscription.run()


def _answer(copy: Subscription, request: Lookup) -> Reply[View]:
    view = copy.lookup(healthy=request.healthy, tag=request.tag)
    return Reply(view, view.index, copy.age, known_leader=copy.connected, cached=True)
