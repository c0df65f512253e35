"""What lasts for as long as a block does: a subscription, a registration, a lock, leadership.

    async with catalog.registered(Service("web", port=8080)):
        async with catalog.lock("jobs/nightly") as held:
            await storage.write(data, fence=held.token.lock_index)

However the block ends, cancelled or not, what it had is let go of, within some seconds. What is
lost before cancels the block, and raises `SessionLost`; see `catalog.locks`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from random import Random
from typing import ClassVar, TypeVar

import trio

from catalog.beside import beside
from catalog.errors import Indeterminate, NotRegistered, Unavailable
from catalog.kv import Behaviour
from catalog.locks import Held, LiveSession, draft, open_session
from catalog.model import Service
from catalog.requests import Consistency, Deregister, Get, Register, Request
from catalog.subscriptions import KeySubscription, Subscription

__all__ = ["Blocks"]

T = TypeVar("T")

FAREWELL_SECONDS = 2.0
"""How long leaving `registered` may take; then the agent goes on by itself."""
SESSION_SECONDS = 15.0
"""A session's TTL, and its lock-delay, if nothing else is said."""


class Blocks(ABC):
    """The part of a `Catalog` that opens blocks."""

    _nursery: trio.Nursery
    """Where the tasks run that belong to blocks."""
    _random: Random
    OUTLIVED: ClassVar[bool] = True
    """Whether this process and the agent may end one without the other: if so, what is registered
    survives the agent; if not, this process registers it again itself."""

    @abstractmethod
    async def ask(self, request: Request[T]) -> T:
        """Have a request answered."""

    @asynccontextmanager
    async def subscribe(self, name: str) -> AsyncIterator[Subscription]:
        """Follow a service: first all of its instances, then each change.

        async with catalog.subscribe("web") as web:
            async for news in web:  # a View, then Changes
                print(web.view.select(healthy=True))

        The subscription looks for another server by itself when it loses contact, and goes on
        where it stopped. Until it has, `web.view` still answers, and `web.age` says how old it is.
        """
        one = Subscription(name, self.ask, random=self._random)
        async with beside(self._nursery, one.run):
            yield one

    @asynccontextmanager
    async def subscribe_keys(self, prefix: str = "") -> AsyncIterator[KeySubscription]:
        """Follow the keys under a prefix: first all of them, then each change.

        async with catalog.subscribe_keys("config/") as config:
            async for news in config:  # a tuple of KeyValues, then KeyChanges
                print(config.view)

        It goes on where it stopped, as a subscription to a service does. A key that changed more
        than once since the last answer is told once.
        """
        one = KeySubscription(prefix, self.ask, random=self._random)
        async with beside(self._nursery, one.run):
            yield one

    @asynccontextmanager
    async def registered(self, service: Service) -> AsyncIterator[int]:
        """Have a service registered for as long as the block lasts.

        Leaving takes two seconds at the most. If the agent cannot be reached at all then, the
        service stays: a TTL check with `deregister_critical_after` removes it.
        """
        try:
            index = await self.ask(Register(service, keep=self.OUTLIVED))
        except ValueError:
            raise  # it was refused, and nothing changed
        except BaseException:
            await self._withdraw(service.id)  # the agent may have it, and would keep it
            raise
        try:
            yield index
        finally:
            await self._withdraw(service.id)

    async def _withdraw(self, service_id: str) -> None:
        with (
            trio.move_on_after(FAREWELL_SECONDS, shield=True),
            # Then somebody else has removed it, or the agent will in a moment.
            suppress(NotRegistered, Unavailable, Indeterminate),
        ):
            await self.ask(Deregister(service_id))

    def session(
        self,
        name: str = "",
        *,
        ttl: float = SESSION_SECONDS,
        lock_delay: float = SESSION_SECONDS,
        behaviour: Behaviour = Behaviour.RELEASE,
        service_checks: Sequence[str] = (),
    ) -> AbstractAsyncContextManager[LiveSession]:
        """Have a session for as long as the block lasts; it is renewed meanwhile.

        Args:
            name: for people.
            ttl: seconds without a renewal after which it may end; it does before twice as many.
            lock_delay: for so many seconds nobody acquires what it held when it was lost.
            behaviour: what becomes of the keys that it holds at its end.
            service_checks: ids of checks on the agent's node; it ends when one turns critical.

        Raises:
            SessionLost: it ended before the block did, which was cancelled.
            Refused: a check that it should stand on is unknown or critical.

        """
        wanted = draft(
            name, ttl, lock_delay=lock_delay, behaviour=behaviour, service_checks=service_checks
        )
        return open_session(self, wanted, self._nursery)

    @asynccontextmanager
    async def lock(
        self,
        key: str,
        value: bytes = b"",
        *,
        ttl: float = SESSION_SECONDS,
        lock_delay: float = SESSION_SECONDS,
    ) -> AsyncIterator[Held]:
        """Hold a key by a session of its own; wait until nobody else does.

        async with catalog.lock("jobs/nightly") as held:
            await storage.write(data, fence=held.token.lock_index)

        There is no limit on the wait: use trio's. To hold several keys at once, open one `session`
        and use its `lock`.

        Raises:
            SessionLost: the lock was lost before the block ended, which was cancelled.

        """
        async with (
            self.session(f"lock {key}", ttl=ttl, lock_delay=lock_delay) as session,
            session.lock(key, value) as held,
        ):
            yield held

    @asynccontextmanager
    async def semaphore(
        self,
        prefix: str,
        limit: int,
        value: bytes = b"",
        *,
        ttl: float = SESSION_SECONDS,
        lock_delay: float = SESSION_SECONDS,
    ) -> AsyncIterator[Held]:
        """Hold one of the keys `prefix/0` to `prefix/limit-1`: at most so many are in at a time.

        All who use one prefix must name the same limit. As for `lock`, with a token for each key.
        """
        async with (
            self.session(f"semaphore {prefix}", ttl=ttl, lock_delay=lock_delay) as session,
            session.slot(prefix, limit, value) as held,
        ):
            yield held

    @asynccontextmanager
    async def elected(
        self,
        name: str,
        value: bytes | None = None,
        *,
        ttl: float = SESSION_SECONDS,
        lock_delay: float = SESSION_SECONDS,
    ) -> AsyncIterator[Held]:
        """Wait to be elected, and lead for as long as the block lasts; `name` is a key.

        `value` tells the others who leads (see `leader`); by default it is the agent's name. As for
        `lock`: `SessionLost` is the end of leading.
        """
        async with self.session(f"election {name}", ttl=ttl, lock_delay=lock_delay) as session:
            who = session.session.node.encode() if value is None else value
            async with session.lock(name, who) as held:
                yield held

    async def leader(
        self, name: str, *, consistency: Consistency = Consistency.DEFAULT
    ) -> bytes | None:
        """Return what the leader of an election wrote, or `None` if nobody leads."""
        found = (await self.ask(Get(name, consistency=consistency))).value
        return found.value if found is not None and found.session else None
