"""An agent on the simulated network: what `catalog.agent` puts together, less sockets and files.

Everything that decides is the shipped code: Raft with its driver, gossip with its driver, the
replica, the leader's duties, the keeper of registrations, the routes, subscriptions. Left out are
the founding (all three servers know each other from the start), the door, TLS, and checks that the
agent runs itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from random import Random
from typing import Any, Protocol, TypeVar

import trio
from attrs import define, field

import quorum
import rumor
from catalog.answers import Applied
from catalog.api import Catalog
from catalog.config import AgentConfig
from catalog.errors import CatalogError
from catalog.forward import Local, Remote
from catalog.model import Role
from catalog.node.keeper import Keeper, LocalRequest
from catalog.node.presence import Presence
from catalog.node.roster import Roster
from catalog.registry import Registry
from catalog.registry.tables import Tables
from catalog.requests import Request
from catalog.server.bootstrap import Founder, Founding
from catalog.server.duties import Duties
from catalog.server.expiry import Expiry
from catalog.server.pilot import Pilot
from catalog.server.places import Places
from catalog.server.reconciler import Reconciler
from catalog.server.replica import Replica
from catalog.server.restoring import RestorableRegistry
from catalog.simulation.loops import Process
from catalog.simulation.network import Connections, Link, Network, Port, address_of
from quorum.events import Recovered
from quorum.machine import SnapshotData
from quorum.messages import Entries, SnapshotMark
from quorum.storage.memory import MemoryStorage
from quorum.trio.link import Receiver

__all__ = ["SERVERS", "Site", "Watcher", "founding_of"]

T = TypeVar("T")

SERVERS = ("s1", "s2", "s3")
CLUSTER = "simulated"


class Watcher(Protocol):
    """Who looks at the machines of servers."""

    failure: AssertionError | None
    """The first promise that was found broken."""

    def applied(
        self, name: str, entries: Entries, answers: Sequence[Applied], registry: Registry
    ) -> None:
        """Take in what a server applied, with its answers."""

    def restored(self) -> None:
        """A snapshot was put in the place of some server's machine."""


class Disk(MemoryStorage):
    """A disk that outlives its server's processes; what is written is durable at once."""

    async def load(self) -> Recovered:
        """See `Storage.load`."""
        await trio.lowlevel.checkpoint()
        return await super().load()

    async def save_snapshot(self, mark: SnapshotMark, data: SnapshotData) -> None:
        """See `Storage.save_snapshot`."""
        await super().save_snapshot(mark, data if isinstance(data, bytes) else b"".join(data))


class WatchedMachine(RestorableRegistry):
    """A registry whose every step is looked at."""

    def __init__(self, name: str, watch: Watcher) -> None:
        super().__init__()
        self._name, self._watch = name, watch

    def apply(self, entries: Entries) -> Sequence[Applied]:
        """See `Registry.apply`."""
        answers = super().apply(entries)
        try:
            self._watch.applied(self._name, entries, answers, self)
        except AssertionError as error:  # a machine must not raise: the world does, a moment later
            self._watch.failure = self._watch.failure or error
        return answers

    def _put_in_place(self, tables: Tables, applied: int, clock: int) -> None:
        super()._put_in_place(tables, applied, clock)
        self._watch.restored()


def founding_of(name: str) -> Founding:
    """Return what a server remembers of its founding."""
    founders = [Founder(one, f"nonce-{one}") for one in SERVERS]
    return Founding(founders[SERVERS.index(name)], CLUSTER, tuple(founders), agreed=True)


@define(eq=False)
class Site:
    """A machine, and the agent that runs on it."""

    name: str
    network: Network
    config: AgentConfig
    watch: Watcher
    process: Process | None = None
    agent: Agent | None = None
    receiver: Receiver | None = None
    handler: Callable[[Request[Any], bool], Awaitable[Any]] | None = None
    port: Port | None = None
    frozen_until: float = 0.0
    """In the world's time."""
    lives: int = 0
    disk: Disk = field(factory=lambda: Disk(members=quorum.Members(voters=SERVERS)))
    scripts: list[Callable[[Agent], Awaitable[None]]] = field(factory=list)
    """What runs beside the agent, in its process: its users."""

    @property
    def is_server(self) -> bool:
        """Whether it takes part in consensus."""
        return self.name in SERVERS

    async def main(self, _process: Process) -> None:
        """Run the agent until it is killed, or has left."""
        random = Random(self.network.random.getrandbits(64))
        async with AsyncExitStack() as stack:
            port = Port(self.network, self)
            gossip = await stack.enter_async_context(
                rumor.open_agent(
                    self.name,
                    bind=port.address,
                    meta=self._presence().to_meta(),
                    seeds=[address_of(name) for name in SERVERS],
                    config=self.config.gossip,
                    cluster=CLUSTER,
                    open_port=port.opened,
                    random=Random(random.getrandbits(64)),
                )
            )
            nursery = await stack.enter_async_context(trio.open_nursery())
            agent = Agent(self, gossip, nursery, random)
            await agent.start()
            self.agent = agent
            self.handler = agent.answer
            for script in self.scripts:
                nursery.start_soon(script, agent)
            await agent.left.wait()
            nursery.cancel_scope.cancel()

    def _presence(self) -> Presence:
        if not self.is_server:
            return Presence(Role.CLIENT, "dc1")
        founding = founding_of(self.name)
        return Presence(
            Role.SERVER,
            "dc1",
            expect=len(SERVERS),
            nonce=founding.me.nonce,
            digest=founding.digest,
            agreed=True,
        )


class Agent(Catalog):
    """The agent of one life."""

    def __init__(
        self, site: Site, gossip: rumor.Agent, nursery: trio.Nursery, random: Random
    ) -> None:
        self.left = trio.Event()
        self.leaving = False
        self._random = self.random = random
        self.site = site
        self._gossip = gossip
        self._nursery = nursery
        self._roster = roster = Roster(gossip)
        connections: Any = Connections(site.network, site.name)
        hold = site.config.hold
        self._route: Local | Remote
        if site.is_server:
            self._route = Local(connections, lambda: roster.servers, hold=hold, random=random)
        else:
            self._route = Remote(
                connections, lambda: list(roster.servers.values()), hold=hold, random=random
            )
        self.keeper = Keeper(
            roster.me.to_node(), self.ask, interval=site.config.sync_interval, random=random
        )

    @property
    def name(self) -> str:
        """The name of the agent, and of its node."""
        return self.site.name

    @property
    def nursery(self) -> trio.Nursery:
        """Where its users may start tasks."""
        return self._nursery

    @property
    def duties(self) -> Duties | None:
        """What it does as a server."""
        return self._route.duties if isinstance(self._route, Local) else None

    @property
    def roster(self) -> Roster:
        """Whom it knows."""
        return self._roster

    async def ask(self, request: Request[T]) -> T:
        """See `Catalog.ask`."""
        answer: T = await self.answer(request, False)
        return answer

    async def answer(self, request: Request[Any], direct: bool) -> Any:  # noqa: FBT001 - a handler
        """Answer a request, as `catalog.agent` does."""
        if isinstance(request, LocalRequest):
            return await self.keeper.answer(request)
        return await self._route.ask(request, direct=direct)

    async def leave(self) -> None:
        """Deregister what is here, and say farewell."""
        self.leaving = True
        with trio.move_on_after(5.0), suppress(CatalogError):
            await self.keeper.clear()
        await self._gossip.leave()
        self.left.set()

    async def start(self) -> None:
        """Start everything."""
        self._roster.read()
        self._nursery.start_soon(self._roster.run)
        if isinstance(self._route, Local):
            await self._nursery.start(self._take_part, self._route)
        self._nursery.start_soon(self.keeper.run)

    async def _take_part(self, route: Local, *, task_status: trio.TaskStatus[None]) -> None:
        site, config = self.site, self.site.config
        registry = WatchedMachine(site.name, site.watch)
        async with quorum.open_server(
            site.name,
            registry,
            storage=site.disk,
            links=Link(site.network, site),
            config=config.raft,
            random=Random(self.random.getrandbits(64)),
        ) as server:
            founding = founding_of(site.name)
            replica = Replica(server, registry, founding.digest)
            pilot = Pilot(server, self._roster, founding, rules=config.autopilot, datacenter="dc1")
            expiry, places = Expiry(replica), Places(server, interval=5.0)
            reconciler = Reconciler(replica, self._roster, interval=config.reconcile_interval)
            route.duties = Duties(replica, pilot, expiry, places)
            task_status.started()
            async with trio.open_nursery() as nursery:
                for part in (replica.run, reconciler.run, pilot.run, expiry.run, places.run):
                    nursery.start_soon(part)
