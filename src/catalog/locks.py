"""Sessions kept alive, and what stands on them: locks, semaphores, elections.

A session (`catalog.kv.Session`) is renewed for as long as its block lasts. The servers end it no
sooner than its TTL after the last renewal, and at the latest after twice that time. So the owner
counts from the moment at which it *asked* for the last renewal that was granted: when a TTL has
passed since, it cannot be sure any more, and must stop (Chubby's session lease, Burrows 2006,
section 2.8, seen from the client). Then the block is cancelled, and `SessionLost` raised.

Locks are keys that a session holds:

* a lock is one key;
* a semaphore of n is n keys under a prefix, and whoever holds any of them is in;
* a leader is who holds the key of an election, and what it wrote there says who that is.

Nobody can stop a holder that has been paused without noticing. That is what the fencing token is
for: it grows with every holder, and whoever guards the resource refuses what is lower than it has
seen.

Waiting costs the servers one open question, and nothing while nothing happens. Everybody who waits
wakes when the key is released, and one of them gets it; there is no queue.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import trio
from attrs import evolve

from catalog.answers import Applied, Refusal
from catalog.beside import beside
from catalog.commands import (
    Acquire,
    CreateSession,
    DestroySession,
    ExpectHolder,
    PutKey,
    Release,
    Transaction,
)
from catalog.errors import CatalogError, Indeterminate, Refused, SessionLost, Unavailable
from catalog.kv import FencingToken, KeyValue, Session
from catalog.requests import Consistency, Get, Info, Items, Read, RenewSession, Write

if TYPE_CHECKING:
    from random import Random

    from catalog.blocks import Blocks

__all__ = ["Held", "LiveSession", "open_session"]

log = logging.getLogger("catalog")

RENEW_SHARE: Final = 1 / 3
"""Of its TTL, after which a session is renewed: two renewals may fail."""
RETRY_SHARE: Final = 1 / 20
"""Of its TTL, after which a renewal that failed is tried again."""
FAREWELL_SECONDS: Final = 2.0
"""How long letting go may take: each of a key and of a session. If it fails, the TTL ends both."""
SETTLE_SECONDS: Final = 5.0
"""For so long a session is tried whose node is not in the catalog yet: its agent may start."""
WAIT_SECONDS: Final = 60.0
"""For so long a change of a key is waited for before the question is asked again."""
PAUSE_SECONDS: Final = (0.05, 2.0)
"""First and longest pause after a failure or during a lock-delay; a random part is left out."""
SLOTS_MAX: Final = 1024
"""Of a semaphore."""

NOT_YET: Final = (Refusal.UNKNOWN_NODE, Refusal.UNKNOWN_CHECK, Refusal.CHECK_CRITICAL)
"""What passes when an agent starts."""


class Tenure:
    """What somebody has until it is lost."""

    def __init__(self) -> None:
        self._scope = trio.CancelScope()
        self._lost = ""
        self._over = False

    @property
    def lost(self) -> str:
        """Why it was lost; empty: it was not."""
        return self._lost

    def lose(self, why: str) -> None:
        """Cancel the block, unless it is over."""
        if not self._over and not self._lost:
            self._lost = why
            self._scope.cancel()

    @contextmanager
    def _lasting(self) -> Iterator[None]:
        """Run a block, and cancel it with the loss."""
        try:
            with self._scope:
                yield
        finally:
            self._over = True
        if self._lost:
            raise SessionLost(self._lost)


class Pause:
    """Growing pauses between attempts."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._seconds, self._longest = PAUSE_SECONDS

    async def wait(self) -> None:
        """Wait, and the next time longer."""
        await trio.sleep(self._seconds * self._random.uniform(0.5, 1.0))
        self._seconds = min(2 * self._seconds, self._longest)


class LiveSession(Tenure):
    """A session that is renewed for as long as its block lasts; made by `Catalog.session`."""

    def __init__(self, catalog: Blocks, session: Session, *, ttl: float) -> None:
        super().__init__()
        self.session = session
        self._catalog = catalog
        self._ttl = ttl
        self._certain = 0.0
        """Until then the servers cannot have let it expire."""

    @property
    def id(self) -> str:
        """The session's id, for `Acquire` and `Release`."""
        return self.session.id

    @asynccontextmanager
    async def lock(self, key: str, value: bytes = b"") -> AsyncIterator[Held]:
        """Hold a key; wait until it is free. See `Catalog.lock`."""
        held = Held(self._catalog, self, value)
        async with held._holding([key], Get(key)):  # noqa: SLF001 - made for each other
            yield held

    @asynccontextmanager
    async def slot(self, prefix: str, limit: int, value: bytes = b"") -> AsyncIterator[Held]:
        """Hold one of so many keys under a prefix. See `Catalog.semaphore`."""
        if not 0 < limit <= SLOTS_MAX:
            raise ValueError(f"a semaphore has 1 to {SLOTS_MAX} slots, not {limit}")
        keys = [f"{prefix}/{number}" for number in range(limit)]
        held = Held(self._catalog, self, value)
        async with held._holding(keys, Items(f"{prefix}/")):  # noqa: SLF001 - as above
            yield held

    async def create(self) -> None:
        """Have it made.

        Raises:
            Refused: the node, or a check that it should stand on, is unknown or critical.

        """
        pause = Pause(self._catalog._random)  # noqa: SLF001 - as above
        give_up = trio.current_time() + SETTLE_SECONDS
        repeated = False
        while True:
            self._certain = trio.current_time() + self._ttl
            try:
                applied = await self._catalog.ask(Write(CreateSession(self.session)))
            except Indeterminate:
                if repeated:
                    raise
                repeated = True
                continue
            if applied.ok or (repeated and applied.refusal is Refusal.ID_TAKEN):
                return
            if applied.refusal not in NOT_YET or trio.current_time() >= give_up:
                raise Refused(applied)
            await pause.wait()

    async def keep(self) -> None:
        """Renew it, until it is lost."""
        try:
            while (now := trio.current_time()) < self._certain:
                try:
                    with trio.move_on_at(self._certain):
                        found = await self._catalog.ask(RenewSession(self.id))
                        if found is None:
                            self.lose(f"session {self.id} has ended at the servers")
                            return
                        self._certain = now + self._ttl
                    due = now + self._ttl * RENEW_SHARE
                except CatalogError as error:
                    log.info("session %s was not renewed: %s", self.id, error)
                    due = trio.current_time() + self._ttl * RETRY_SHARE
                await trio.sleep_until(min(due, self._certain))
            self.lose(f"session {self.id} could not be renewed for {self._ttl:g} s")
        except trio.Cancelled:
            self.lose(f"session {self.id} is not renewed any more: its connection has ended")
            raise

    async def end(self) -> None:
        """End it; what fails is done by its TTL."""
        with trio.move_on_after(FAREWELL_SECONDS, shield=True):
            try:
                await self._catalog.ask(Write(DestroySession(self.id)))
            except CatalogError as error:
                log.info("session %s ends with its TTL: %s", self.id, error)


@asynccontextmanager
async def open_session(
    catalog: Blocks, wanted: Session, nursery: trio.Nursery
) -> AsyncIterator[LiveSession]:
    """Have a session for as long as the block lasts.

    Args:
        catalog: whom to ask.
        wanted: what it should be; its node becomes that of the agent that is asked, see `draft`.
        nursery: in which it is renewed.

    """
    assert wanted.ttl is not None, "without a TTL it would outlive its owner"
    info = await catalog.ask(Info())
    live = LiveSession(catalog, evolve(wanted, node=info.name), ttl=wanted.ttl)
    try:
        await live.create()
        async with beside(nursery, live.keep):
            with live._lasting():  # noqa: SLF001 - this is its other half
                yield live
    finally:
        if not live.lost:
            await live.end()


class Held(Tenure):
    """A key that a session of ours holds."""

    def __init__(self, catalog: Blocks, session: LiveSession, value: bytes) -> None:
        super().__init__()
        self.key = ""
        self.session = session
        self.value = value
        """What was written there last."""
        self._catalog = catalog
        self._token: FencingToken | None = None
        self._index = 0

    @property
    def token(self) -> FencingToken:
        """What to show to whoever guards a resource; it grows with each holder of the key."""
        assert self._token is not None, "it is handed out once it is held"
        return self._token

    @property
    def lost(self) -> str:
        """Why it was lost, or its session was; empty: neither."""
        return self._lost or self.session.lost

    async def write(self, value: bytes) -> int:
        """Change the key's value; return the index of the entry.

        Raises:
            SessionLost: somebody else may hold it by now; it is unchanged.

        """
        steps = (ExpectHolder(self.key, self.session.id), PutKey(self.key, value))
        applied = await self._catalog.ask(Write(Transaction(steps)))
        if not applied.ok:
            self.lose(f"key {self.key!r} is not held any more: {applied.detail}")
            raise SessionLost(self.lost)
        self.value = value
        return applied.index

    @asynccontextmanager
    async def _holding(self, keys: Sequence[str], watched: Read[Any]) -> AsyncIterator[None]:
        """Hold one of these keys for as long as the block lasts."""
        try:
            await self._obtain(keys, watched)
            async with beside(self._catalog._nursery, self._watch):  # noqa: SLF001 - a friend
                with self._lasting():
                    yield
        finally:
            if self.key and not self.lost:
                await self._release()

    async def _obtain(self, keys: Sequence[str], watched: Read[Any]) -> None:
        """Wait until one of the keys is ours."""
        random = self._catalog._random  # noqa: SLF001 - a friend
        pause, reply = Pause(random), await self._catalog.ask(watched)
        while True:
            there = reply.value if isinstance(reply.value, tuple) else (reply.value,)
            taken = {one.key for one in there if one is not None and one.session}
            free = [key for key in keys if key not in taken]
            random.shuffle(free)
            news: Read[Any] = evolve(watched, after=reply.index, wait=WAIT_SECONDS)
            try:
                for key in free:
                    self.key = key  # to be let go of, whatever becomes of the question
                    applied = await self._acquire(key, self.value)
                    if applied.ok:
                        (entry,) = applied.values
                        assert isinstance(entry, KeyValue), "acquiring makes a key"
                        self._token, self._index = entry.token, applied.index
                        return
                    if applied.refusal is Refusal.LOCK_DELAYED:
                        news = watched
                    elif applied.refusal is not Refusal.LOCKED:
                        raise Refused(applied)
                self.key = ""
                if news is watched:
                    await pause.wait()
                reply = await self._catalog.ask(news)
            except (Unavailable, Indeterminate) as error:
                log.info("a lock is still waited for: %s", error)
                await pause.wait()

    async def _acquire(self, key: str, value: bytes) -> Applied:
        applied = await self._catalog.ask(Write(Acquire(key, value, self.session.id)))
        if applied.refusal is Refusal.UNKNOWN_SESSION:
            self.session.lose(f"session {self.session.id} has ended at the servers")
            raise SessionLost(self.session.lost)
        return applied

    async def _watch(self) -> None:
        """Notice when the key is not ours any more: somebody deleted it."""
        while True:
            read = Get(
                self.key, after=self._index, wait=WAIT_SECONDS, consistency=Consistency.STALE
            )
            try:
                reply = await self._catalog.ask(read)
            except CatalogError:
                await trio.sleep(PAUSE_SECONDS[1])
                continue
            if reply.index > self._index:
                self._index = reply.index
                if reply.value is None or reply.value.token != self.token:
                    self.lose(f"key {self.key!r} was taken away from session {self.session.id}")
                    return

    async def _release(self) -> None:
        with trio.move_on_after(FAREWELL_SECONDS, shield=True):
            try:
                await self._catalog.ask(Write(Release(self.key, self.value, self.session.id)))
            except CatalogError as error:
                log.info("key %s is released with its session: %s", self.key, error)


def draft(name: str, ttl: float, **settings: Any) -> Session:
    """Return a session to be opened; its node is that of the agent that is asked."""
    return Session(str(uuid4()), "?", name, ttl=ttl, **settings)
