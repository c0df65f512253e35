"""A user's end of a connection to an agent that runs elsewhere.

What concerns the agent itself (registrations, heartbeats, members, info) goes to that agent and
nowhere else. All the rest any agent can answer; so when ours does not, the servers that it told of
are asked instead, and subscriptions go on there.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Final, TypeVar

import trio

from catalog.api import Catalog
from catalog.config import Address, parse_address
from catalog.errors import CatalogError
from catalog.forward import Remote
from catalog.model import Role
from catalog.requests import (
    MemberHealth,
    Members,
    Request,
)
from catalog.rpc import Connections, open_connections
from catalog.trust import Trust

__all__ = ["Client", "connect"]

log = logging.getLogger("catalog")

T = TypeVar("T")

HOLD_SECONDS: Final = 7.0
LEARN_SECONDS: Final = 10.0
"""Between two questions for the servers there are."""


class Client(Catalog):
    """A connection to an agent in another process; made by `connect`."""

    def __init__(
        self, connections: Connections, home: Address, nursery: trio.Nursery, *, hold: float
    ) -> None:
        self._random = Random()
        self._nursery = nursery
        self._servers: list[Address] = []
        self._home = Remote(connections, lambda: [home], hold=hold, random=self._random)
        self._anyone = Remote(
            connections,
            lambda: [home, *(one for one in self._servers if one != home)],
            hold=hold,
            random=self._random,
            first=home,
        )

    async def ask(self, request: Request[T]) -> T:
        """See `Catalog.ask`."""
        answer: T = await (self._home if request.LOCAL else self._anyone).ask(request)
        return answer

    async def learn(self) -> None:
        """Learn which servers there are, for ever."""
        while True:
            try:
                members = await self._anyone.ask(Members())
            except CatalogError as error:
                log.info("the servers cannot be asked for: %s", error)
            else:
                self._servers = [
                    parse_address(member.address)
                    for member in members
                    if member.role is Role.SERVER and member.health is MemberHealth.ALIVE
                ]
            await trio.sleep(LEARN_SECONDS)


@asynccontextmanager
async def connect(
    address: str,
    *,
    cluster: str | None = None,
    hold: float = HOLD_SECONDS,
    trust: Trust | None = None,
) -> AsyncIterator[Client]:
    """Talk to the agent at `address` for as long as the block lasts.

    Args:
        address: `host:port` of any agent.
        cluster: refuse an agent of another cluster; `None`: take whichever is there.
        hold: for how many seconds a request is tried while no agent can be reached.
        trust: what to show and check by TLS, if the agents use it.

    Raises:
        ConfigError: `address` is not `host:port`.
        NoServers: nobody answers there, or not an agent of `cluster`.

    """
    home = parse_address(address)
    failure: Exception | None = None
    async with open_connections(cluster=cluster or "", name="", trust=trust) as connections:
        await connections.check(home)
        async with trio.open_nursery() as nursery:
            client = Client(connections, home, nursery, hold=hold)
            nursery.start_soon(client.learn)
            try:
                yield client
            except Exception as error:  # noqa: BLE001 - raised below, without the nursery's group
                failure = error
            finally:
                nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
