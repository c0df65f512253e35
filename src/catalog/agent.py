"""Being written: the signatures are settled, the bodies follow."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar

from catalog.api import Catalog
from catalog.config import AgentConfig
from catalog.requests import Request
from catalog.subscriptions import Subscription

T = TypeVar("T")


class Agent(Catalog):
    """A running agent; made by `open_catalog`."""

    @property
    def name(self) -> str:
        """The name of the agent, and of its node."""
        raise NotImplementedError

    @property
    def address(self) -> str:
        """`host:port`, where other agents and clients reach this one."""
        raise NotImplementedError

    async def ask(self, request: Request[T]) -> T:
        """See `Catalog.ask`."""
        raise NotImplementedError

    def subscribe(self, name: str) -> AbstractAsyncContextManager[Subscription]:
        """See `Catalog.subscribe`."""
        raise NotImplementedError

    async def wait_leader(self) -> str:
        """Wait until a leader answers; return its name. There is no timeout here: use trio's."""
        raise NotImplementedError

    async def leave(self) -> None:
        """Leave for good: deregister what is registered here, hand over leadership, say farewell.

        Without this the end of the agent looks like a crash to the others: its node turns
        critical, and everything stays in the catalog until it comes back.
        """
        raise NotImplementedError


@asynccontextmanager
async def open_catalog(config: AgentConfig) -> AsyncIterator[Agent]:
    """Run an agent for as long as the block lasts.

    Raises:
        StartError: it cannot run like this: the port is taken, the directory belongs to another
            agent or cluster, nobody answers at any address of `join`.

    """
    raise NotImplementedError
    yield Agent()
