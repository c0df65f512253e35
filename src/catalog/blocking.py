"""The catalog for code that does not use trio: the same methods, each returns when it is done.

    with catalog.blocking.connect("127.0.0.1:8300") as registry:
        registry.put("greeting", b"hello")
        with registry.registered(Service("web", port=8080)):
            with registry.lock("jobs/nightly") as held:
                work(held.token)
                held.check()

One thread runs trio, with one connection (`catalog.connect`), for all threads that use it. What
lasts for a block lasts there: sessions are renewed and subscriptions follow while the caller does
something else.

Nobody can cancel a thread. So a block goes on when its lock is lost: `held.lost` says so, and
`held.check()` raises `SessionLost`, as the end of the block does.
Waiting has no limit unless it is given one (`timeout`, in seconds).
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager, suppress
from functools import update_wrapper
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

import trio

from catalog import client
from catalog.api import Catalog
from catalog.blocks import SESSION_SECONDS
from catalog.errors import SessionLost
from catalog.kv import Behaviour, FencingToken, KeyChange, KeyValue
from catalog.locks import Held, LiveSession, Tenure
from catalog.model import Change, Service, View
from catalog.portal import END_SECONDS, Portal
from catalog.requests import Request
from catalog.subscriptions import Following
from catalog.trust import Trust

__all__ = [
    "BlockingCatalog",
    "BlockingHeld",
    "BlockingSession",
    "BlockingSubscription",
    "connect",
]

P = ParamSpec("P")
T = TypeVar("T")
V = TypeVar("V")
C = TypeVar("C")


class BlockingSubscription(Generic[V, C]):
    """An iterator over what a subscription tells; see `Subscription` and `KeySubscription`."""

    def __init__(self, portal: Portal, following: Following[V, C, Any]) -> None:
        self._portal = portal
        self._following = following

    @property
    def view(self) -> V:
        """All there is as last known; follows the servers while the block lasts."""
        return self._portal.run(_soon(lambda: self._following.view))

    @property
    def age(self) -> float:
        """Seconds since `view` was last known to be current; `inf` before the first answer."""
        return self._portal.run(_soon(lambda: self._following.age))

    @property
    def connected(self) -> bool:
        """Whether the last question was answered."""
        return self._following.connected

    def __iter__(self) -> Iterator[V | C]:
        return self

    def __next__(self) -> V | C:
        return self.next()

    def next(self, timeout: float | None = None) -> V | C:
        """Return what is next.

        Raises:
            TimeoutError: nothing came for `timeout` seconds.
            StopIteration: the subscription has ended.

        """
        try:
            return self._portal.run(self._following.__anext__, timeout=timeout)
        except StopAsyncIteration:
            raise StopIteration from None


def _soon(look: Callable[[], T]) -> Callable[[], Awaitable[T]]:
    async def task() -> T:
        await trio.lowlevel.checkpoint()
        return look()

    return task


class BlockingTenure:
    """What may be lost before its block ends."""

    def __init__(self, portal: Portal, tenure: Tenure) -> None:
        self._portal = portal
        self._tenure = tenure

    @property
    def lost(self) -> str:
        """Why it was lost; empty: it was not."""
        return self._tenure.lost

    def check(self) -> None:
        """Raise `SessionLost` if it was lost: before each step that needs it."""
        if self._tenure.lost:
            raise SessionLost(self._tenure.lost)


class BlockingHeld(BlockingTenure):
    """A key that is held; see `Held`."""

    def __init__(self, portal: Portal, held: Held) -> None:
        super().__init__(portal, held)
        self._held = held

    @property
    def key(self) -> str:
        """Which key it is."""
        return self._held.key

    @property
    def token(self) -> FencingToken:
        """See `Held.token`."""
        return self._held.token

    def write(self, value: bytes) -> int:
        """See `Held.write`."""
        return self._portal.run(lambda: self._held.write(value))


class BlockingSession(BlockingTenure):
    """A session that is renewed; see `LiveSession`."""

    def __init__(self, portal: Portal, live: LiveSession) -> None:
        super().__init__(portal, live)
        self._live = live

    @property
    def id(self) -> str:
        """See `LiveSession.id`."""
        return self._live.id

    @contextmanager
    def lock(
        self, key: str, value: bytes = b"", *, timeout: float | None = None
    ) -> Iterator[BlockingHeld]:
        """See `LiveSession.lock`; `TimeoutError` if it is not had within `timeout` seconds."""
        with self._portal.block(self._live.lock(key, value), timeout=timeout) as held:
            yield BlockingHeld(self._portal, held)


def _method(
    method: Callable[Concatenate[Catalog, P], Awaitable[T]],
) -> Callable[Concatenate[BlockingCatalog, P], T]:
    """Return a method of `Catalog` as one that blocks."""

    def call(self: BlockingCatalog, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.portal.run(lambda: method(self.catalog, *args, **kwargs))

    update_wrapper(call, method)
    return call


class BlockingCatalog:
    """The methods of `Catalog`, for any thread; made by `connect`.

    They raise what those raise; and `NoServers` once the connection has ended.
    """

    def __init__(self, portal: Portal, catalog: Catalog) -> None:
        self.portal = portal
        self.catalog = catalog
        """Only for the thread that runs trio."""

    def ask(self, request: Request[T]) -> T:
        """See `Catalog.ask`."""
        return self.portal.run(lambda: self.catalog.ask(request))

    register = _method(Catalog.register)
    deregister = _method(Catalog.deregister)
    drain = _method(Catalog.drain)
    maintain = _method(Catalog.maintain)
    register_check = _method(Catalog.register_check)
    deregister_check = _method(Catalog.deregister_check)
    heartbeat = _method(Catalog.heartbeat)
    lookup = _method(Catalog.lookup)
    wait_change = _method(Catalog.wait_change)
    services = _method(Catalog.services)
    nodes = _method(Catalog.nodes)
    get = _method(Catalog.get)
    keys = _method(Catalog.keys)
    items = _method(Catalog.items)
    put = _method(Catalog.put)
    delete = _method(Catalog.delete)
    transact = _method(Catalog.transact)
    sessions = _method(Catalog.sessions)
    leader = _method(Catalog.leader)
    members = _method(Catalog.members)
    info = _method(Catalog.info)

    def registered(self, service: Service) -> AbstractContextManager[int]:
        """See `Catalog.registered`."""
        return self.portal.block(self.catalog.registered(service))

    @contextmanager
    def session(
        self,
        name: str = "",
        *,
        ttl: float = SESSION_SECONDS,
        lock_delay: float = SESSION_SECONDS,
        behaviour: Behaviour = Behaviour.RELEASE,
        service_checks: Sequence[str] = (),
    ) -> Iterator[BlockingSession]:
        """See `Catalog.session`."""
        manager = self.catalog.session(
            name,
            ttl=ttl,
            lock_delay=lock_delay,
            behaviour=behaviour,
            service_checks=service_checks,
        )
        with self.portal.block(manager) as live:
            yield BlockingSession(self.portal, live)

    def lock(
        self,
        key: str,
        value: bytes = b"",
        *,
        ttl: float = SESSION_SECONDS,
        lock_delay: float = SESSION_SECONDS,
        timeout: float | None = None,
    ) -> AbstractContextManager[BlockingHeld]:
        """See `Catalog.lock`; `TimeoutError` if it is not had within `timeout` seconds."""
        return self._held(self.catalog.lock(key, value, ttl=ttl, lock_delay=lock_delay), timeout)

    def semaphore(
        self,
        prefix: str,
        limit: int,
        value: bytes = b"",
        *,
        ttl: float = SESSION_SECONDS,
        lock_delay: float = SESSION_SECONDS,
        timeout: float | None = None,
    ) -> AbstractContextManager[BlockingHeld]:
        """See `Catalog.semaphore`; `timeout` as for `lock`."""
        manager = self.catalog.semaphore(prefix, limit, value, ttl=ttl, lock_delay=lock_delay)
        return self._held(manager, timeout)

    def elected(
        self,
        name: str,
        value: bytes | None = None,
        *,
        ttl: float = SESSION_SECONDS,
        lock_delay: float = SESSION_SECONDS,
        timeout: float | None = None,
    ) -> AbstractContextManager[BlockingHeld]:
        """See `Catalog.elected`; `timeout` as for `lock`."""
        return self._held(
            self.catalog.elected(name, value, ttl=ttl, lock_delay=lock_delay), timeout
        )

    @contextmanager
    def _held(
        self, manager: AbstractAsyncContextManager[Held], timeout: float | None
    ) -> Iterator[BlockingHeld]:
        with self.portal.block(manager, timeout=timeout) as held:
            yield BlockingHeld(self.portal, held)

    @contextmanager
    def subscribe(self, name: str) -> Iterator[BlockingSubscription[View, Change]]:
        """See `Catalog.subscribe`."""
        with self.portal.block(self.catalog.subscribe(name)) as one:
            yield BlockingSubscription(self.portal, one)

    @contextmanager
    def subscribe_keys(
        self, prefix: str = ""
    ) -> Iterator[BlockingSubscription[tuple[KeyValue, ...], KeyChange]]:
        """See `Catalog.subscribe_keys`."""
        with self.portal.block(self.catalog.subscribe_keys(prefix)) as one:
            yield BlockingSubscription(self.portal, one)


@contextmanager
def connect(
    address: str,
    *,
    cluster: str | None = None,
    hold: float = client.HOLD_SECONDS,
    trust: Trust | None = None,
) -> Iterator[BlockingCatalog]:
    """Talk to the agent at `address` for as long as the block lasts; see `catalog.connect`.

    What other threads have open at the end of the block is let go of, and they get `NoServers`.
    """
    life = trio.CancelScope()
    began: Future[trio.lowlevel.TrioToken] = Future()
    opened: Future[BlockingCatalog] = Future()

    async def live() -> None:
        token = trio.lowlevel.current_trio_token()
        began.set_result(token)
        async with client.connect(address, cluster=cluster, hold=hold, trust=trust) as catalog:
            with life:
                async with trio.open_nursery() as nursery:
                    opened.set_result(BlockingCatalog(Portal(token, nursery), catalog))
                    await trio.sleep_forever()

    def run() -> None:
        try:
            trio.run(live)
        except BaseException as error:  # noqa: BLE001 - it is raised where somebody waits
            if not opened.done():
                opened.set_exception(error)

    thread = threading.Thread(target=run, name=f"catalog {address}", daemon=True)
    thread.start()
    token = began.result()
    try:
        yield opened.result()
    finally:
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(life.cancel)
        thread.join(END_SECONDS)
