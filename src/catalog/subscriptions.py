"""A subscriber's end: the first view, then every change, across reconnects.

The subscription asks one question at a time, "what is new after index i?", and puts the answer into
its cache (`catalog.cache`) before it asks the next.
So the server keeps nothing about it, never has more than one answer on its way to it, and a slow
subscriber costs nobody memory: what happened meanwhile comes as one answer.
Whom it asks does not matter, since the index says where to go on; so a lost server is replaced by
another, without a gap.

The reader may be slower still.
Changes wait for it up to a limit; beyond that they are dropped, and the reader gets a whole view
instead, as at the beginning.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from random import Random
from typing import Self

import trio

from catalog.cache import Cache
from catalog.errors import CatalogError, OutOfStep
from catalog.model import Change, Delta, View
from catalog.requests import Follow, News

__all__ = ["CHANGES_WAITING_MAX", "Subscription", "running"]

log = logging.getLogger("catalog")

CHANGES_WAITING_MAX = 1024
"""Changes kept for a reader that is busy; more, and it gets a view instead."""
SIGN_OF_LIFE_SECONDS = 5.0
"""Without news the server says so after this time: `age` stays below it while all is well."""
RETRY_SECONDS = (0.1, 2.0)
"""First and longest pause after a failure; doubled each time, and a random part is left out."""


class Subscription:
    """An asynchronous iterator over one service: a `View`, then each `Change` in order.

    Another `View` instead of changes means: start from this one (the reader was too slow, or the
    server had forgotten the changes since). Views and changes speak of all instances, the unhealthy
    ones too; `view.select(healthy=True)` has those to call.
    """

    def __init__(
        self,
        name: str,
        ask: Callable[[Follow], Awaitable[News]],
        *,
        random: Random,
        sign_of_life: float = SIGN_OF_LIFE_SECONDS,
        waiting_max: int = CHANGES_WAITING_MAX,
    ) -> None:
        self.name = name
        self.connected = False
        """Whether the last question was answered."""
        self._ask = ask
        self._random = random
        self._sign_of_life = sign_of_life
        self._waiting_max = waiting_max
        self._cache = Cache(name)
        self._epoch: str | None = None
        """Which log the cache's index belongs to; `None`: nothing has been heard yet."""
        self._changes: deque[Change] = deque()
        self._anew = False
        """Whether the reader gets a view next."""
        self._bell = trio.Event()
        self._closed = False

    @property
    def view(self) -> View:
        """All instances as last known; empty before the first answer. Never goes back in time."""
        return self._cache.lookup(healthy=False)

    @property
    def age(self) -> float:
        """Seconds since `view` was last known to be current; `inf` before the first answer."""
        return self._cache.age(now=trio.current_time())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> View | Change:
        """Wait for what is next; raise `StopAsyncIteration` once the subscription has ended."""
        await trio.lowlevel.checkpoint()
        while True:
            if self._anew:
                self._anew = False
                return self.view
            if self._changes:
                return self._changes.popleft()
            if self._closed:
                raise StopAsyncIteration
            self._bell = trio.Event()
            await self._bell.wait()

    async def run(self) -> None:
        """Ask for ever; run by whoever made the subscription."""
        pause, longest = RETRY_SECONDS
        with self._closing():
            while True:
                try:
                    after = None if self._epoch is None else self._cache.index
                    self._take(await self._ask(Follow(self.name, after, self._sign_of_life)))
                except CatalogError as error:
                    if self.connected:
                        log.info("subscription to %s: contact lost: %s", self.name, error)
                    self.connected = False
                    await trio.sleep(pause * self._random.uniform(0.5, 1.0))
                    pause = min(2 * pause, longest)
                else:
                    self.connected = True
                    pause = RETRY_SECONDS[0]

    def _take(self, news: News) -> None:
        first, known = self._epoch is None, self._cache.index
        if not first and news.epoch != self._epoch:
            self._cache.reset()
            self._epoch = None
            raise OutOfStep("the cluster was founded anew; asking for all there is")
        now = max(trio.current_time() - news.age, self._cache.contact)
        changed = self._cache.apply(news.update, now=now)
        self._epoch = news.epoch
        match news.update:
            case View():
                if changed or first:
                    self._start_anew()
            case Delta(changes=changes):
                self._hand_out([change for change in changes if change.index > known])

    def _hand_out(self, changes: list[Change]) -> None:
        if self._anew or not changes:
            return  # the view that comes next has them already
        if len(self._changes) + len(changes) > self._waiting_max:
            self._start_anew()
        else:
            self._changes.extend(changes)
            self._bell.set()

    def _start_anew(self) -> None:
        self._changes.clear()
        self._anew = True
        self._bell.set()

    @contextmanager
    def _closing(self) -> Iterator[None]:
        try:
            yield
        finally:
            self.connected = False
            self._closed = True
            self._bell.set()


@asynccontextmanager
async def running(one: Subscription, nursery: trio.Nursery) -> AsyncIterator[Subscription]:
    """Run a subscription in the background for as long as the block lasts."""
    scope = trio.CancelScope()

    async def run() -> None:
        with scope:
            await one.run()

    nursery.start_soon(run)
    try:
        yield one
    finally:
        scope.cancel()
