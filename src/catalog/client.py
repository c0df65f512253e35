"""Being written: the signatures are settled, the bodies follow."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar

from catalog.api import Catalog
from catalog.requests import Request
from catalog.subscriptions import Subscription

T = TypeVar("T")


class Client(Catalog):
    """A connection to an agent in another process; made by `connect`."""

    async def ask(self, request: Request[T]) -> T:
        """See `Catalog.ask`."""
        raise NotImplementedError

    def subscribe(self, name: str) -> AbstractAsyncContextManager[Subscription]:
        """See `Catalog.subscribe`."""
        raise NotImplementedError


@asynccontextmanager
async def connect(address: str, *, cluster: str | None = None) -> AsyncIterator[Client]:
    """Talk to the agent at `address` for as long as the block lasts.

    Raises:
        ConfigError: `address` is not `host:port`.
        NoServers: nobody answers there, or not an agent of `cluster`.

    """
    raise NotImplementedError
    yield Client()
