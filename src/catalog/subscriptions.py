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
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Generic, Self, TypeVar

import trio

from catalog.cache import Cache, KeyCache
from catalog.errors import CatalogError, OutOfStep
from catalog.kv import KeyChange, KeyValue
from catalog.limits import INTERVAL_SECONDS_MIN
from catalog.model import Change, Delta, View
from catalog.requests import Follow, FollowKeys, KeyNews, News

__all__ = ["CHANGES_WAITING_MAX", "KeySubscription", "Subscription"]

V = TypeVar("V")
"""What a reader begins with."""
C = TypeVar("C")
"""What it then gets, one by one."""
N = TypeVar("N", News, KeyNews)
"""What the servers send."""

log = logging.getLogger("catalog")

CHANGES_WAITING_MAX = 1024
"""Changes kept for a reader that is busy; more, and it gets a view instead."""
SIGN_OF_LIFE_SECONDS = 5.0
"""Without news the server says so after this time: `age` stays below it while all is well."""
RETRY_SECONDS = (0.1, 2.0)
"""First and longest pause after a failure; doubled each time, and a random part is left out."""


class Following(ABC, Generic[V, C, N]):
    """An asynchronous iterator: a view, then each change in order; see its two kinds."""

    def __init__(
        self,
        cache: Cache | KeyCache,
        *,
        random: Random,
        sign_of_life: float,
        waiting_max: int,
    ) -> None:
        self.connected = False
        """Whether the last question was answered."""
        self._random = random
        self._sign_of_life = sign_of_life
        self._waiting_max = waiting_max
        self._copy = cache
        self._epoch: str | None = None
        """Which log the copy's index belongs to; `None`: nothing has been heard yet."""
        self._changes: deque[C] = deque()
        self._anew = False
        """Whether the reader gets a view next."""
        self._bell = trio.Event()
        self._closed = False

    @property
    @abstractmethod
    def view(self) -> V:
        """All there is as last known; empty before the first answer. Never goes back in time."""

    @abstractmethod
    async def _next(self, after: int | None) -> N:
        """Ask for what is new after an index."""

    @abstractmethod
    def _absorb(self, news: N, *, now: float) -> list[C] | None:
        """Put news into the copy; return the changes, or `None`: begin with a new view."""

    @property
    def _wait(self) -> float:
        """For how long a question may wait for news: who has lost contact wants a sign at once."""
        return self._sign_of_life if self.connected else INTERVAL_SECONDS_MIN

    @property
    def known(self) -> bool:
        """Whether `view` is more than an empty beginning."""
        return self._epoch is not None

    @property
    def age(self) -> float:
        """Seconds since `view` was last known to be current; `inf` before the first answer."""
        return self._copy.age(now=trio.current_time())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> V | C:
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
                    after = None if self._epoch is None else self._copy.index
                    asked = trio.current_time()
                    self._take(await self._next(after), asked=asked)
                except CatalogError as error:
                    if self.connected:
                        log.info("%s: contact lost: %s", self, error)
                    self.connected = False
                    await trio.sleep(pause * self._random.uniform(0.5, 1.0))
                    pause = min(2 * pause, longest)
                else:
                    self.connected = True
                    pause = RETRY_SECONDS[0]

    def _take(self, news: N, *, asked: float) -> None:
        first = self._epoch is None
        if not first and news.epoch != self._epoch:
            self._copy.reset()
            self._epoch = None
            raise OutOfStep("the cluster was founded anew; asking for all there is")
        # On its way the answer grew older, or this process stood still: how much of the time
        # since the question that was is known, and all of it is taken for the answer's.
        answered = min(asked + news.held, trio.current_time())
        changes = self._absorb(news, now=max(answered - news.age, self._copy.contact))
        self._epoch = news.epoch
        if first or changes is None:
            self._start_anew()
        else:
            self._hand_out(changes)

    def _hand_out(self, changes: list[C]) -> None:
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


class Subscription(Following[View, Change, News]):
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
        self._ask = ask
        self._cache = cache = Cache(name)
        super().__init__(cache, random=random, sign_of_life=sign_of_life, waiting_max=waiting_max)

    def __str__(self) -> str:
        return f"subscription to {self.name}"

    @property
    def view(self) -> View:
        """All instances as last known; empty before the first answer. Never goes back in time."""
        return self._cache.lookup(healthy=False)

    def lookup(self, *, healthy: bool = True, tag: str | None = None) -> View:
        """Return the part of `view` that is healthy, or that has a tag; costs next to nothing."""
        return self._cache.lookup(healthy=healthy, tag=tag)

    async def _next(self, after: int | None) -> News:
        return await self._ask(Follow(self.name, after, self._wait))

    def _absorb(self, news: News, *, now: float) -> list[Change] | None:
        known = self._cache.index
        changed = self._cache.apply(news.update, now=now)
        match news.update:
            case View(index=index):
                # What came and went again meanwhile is not told, and its reader must know.
                return None if changed or index > known else []
            case Delta(changes=changes):
                return [change for change in changes if change.index > known]


class KeySubscription(Following[tuple[KeyValue, ...], KeyChange, KeyNews]):
    """An asynchronous iterator over the keys under a prefix: all of them, then each change.

    Each key that changed is told once, as it is by now; values that it had in between are left out.
    All keys instead of a change means: start from these.
    """

    def __init__(
        self,
        prefix: str,
        ask: Callable[[FollowKeys], Awaitable[KeyNews]],
        *,
        random: Random,
        sign_of_life: float = SIGN_OF_LIFE_SECONDS,
        waiting_max: int = CHANGES_WAITING_MAX,
    ) -> None:
        self.prefix = prefix
        self._ask = ask
        self._cache = cache = KeyCache(prefix)
        super().__init__(cache, random=random, sign_of_life=sign_of_life, waiting_max=waiting_max)

    def __str__(self) -> str:
        return f"subscription to keys under {self.prefix!r}"

    @property
    def view(self) -> tuple[KeyValue, ...]:
        """The keys as last known, sorted; none before the first answer. Never goes back in time."""
        return self._cache.items()

    async def _next(self, after: int | None) -> KeyNews:
        return await self._ask(FollowKeys(self.prefix, after, self._wait))

    def _absorb(self, news: KeyNews, *, now: float) -> list[KeyChange] | None:
        return self._cache.apply(news.update, now=now)


F = TypeVar("F", Subscription, KeySubscription)
