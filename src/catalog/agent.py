"""An agent: gossip, a share in consensus if it is a server, and the door to all of it.

What an agent is made of, by floors:

    rpc      the door (one port; sorts connections), connections between agents, requests on them
    node     every agent: what is registered here, its checks, whom gossip shows
    server   a server besides: founding, consensus, its replica, gossip into catalog
    forward  how requests reach a server

Here they are put together, started, and stopped.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from random import Random
from typing import Any, Final, TypeVar
from uuid import uuid4

import trio
from attrs import evolve, frozen

import quorum
import rumor
from catalog.api import Catalog
from catalog.config import AgentConfig, format_address, parse_address
from catalog.errors import CatalogError, StartError, Unavailable
from catalog.events import Events, FireEvent
from catalog.exits import sole
from catalog.forward import Local, Remote
from catalog.housekeeping import ChangeKeys, ForceLeave, JoinOthers, Leave, Metrics, Reload
from catalog.model import Role
from catalog.node.cached import Cached
from catalog.node.checks import Checker
from catalog.node.happenings import Happenings
from catalog.node.keeper import Keeper, LocalRequest
from catalog.node.keyring import load_keyring
from catalog.node.keys import change_keys
from catalog.node.meeting import meet, resolve
from catalog.node.place import Place
from catalog.node.record import Record, open_record
from catalog.node.roster import Roster
from catalog.requests import (
    AgentInfo,
    AskedNode,
    Info,
    Lookup,
    Members,
    Request,
)
from catalog.rpc import Connections, open_connections
from catalog.rpc.door import Door, open_door
from catalog.rpc.frames import MAGIC
from catalog.rpc.serving import Serving
from catalog.server.home import Home, open_home, presence_of
from catalog.server.replica import Replica
from catalog.server.voter import Voter
from catalog.trust import Trust
from quorum.trio.links import MAGIC as QUORUM_MAGIC
from rumor.wire import MAGIC as RUMOR_MAGIC

__all__ = ["Agent", "AgentStatistics", "open_catalog"]

log = logging.getLogger("catalog")

T = TypeVar("T")

LEAVE_SECONDS_MAX: Final = 5.0
"""How long each step of leaving may take."""


@frozen
class AgentStatistics:
    """An agent at work, in numbers."""

    gossip: rumor.AgentStatistics
    services: int
    """Registered on this node."""
    connections: int
    """From agents and users to this one, for requests."""
    replica_age: float | None
    """Seconds since a server's replica was known to have everything; `None`: there is none."""


class Agent(Catalog):
    """A running agent; made by `open_catalog`."""

    OUTLIVED = False

    def __init__(
        self,
        config: AgentConfig,
        door: Door,
        gossip: rumor.Agent,
        *,
        connections: Connections,
        home: Home | None,
        record: Record | None,
        trust: Trust | None,
        nursery: trio.Nursery,
    ) -> None:
        random = Random()
        self.left = trio.Event()
        """Set once the agent has left; whoever runs it may then end it."""
        self.reloader: Callable[[], Awaitable[tuple[str, ...]]] | None = None
        """Reads the settings again; whoever runs the agent may set it. See `Reload`."""
        self._config = config
        self._door = door
        self._gossip = gossip
        self._trust = trust
        self._nursery = nursery
        self._random = random
        self._roster = roster = Roster(gossip)
        hold = config.hold
        self._route: Local | Remote
        self._voter: Voter | None = None
        if home is not None:
            self._route = Local(connections, lambda: roster.servers, hold=hold, random=random)
            self._voter = Voter(
                config,
                home,
                self._route,
                connections=connections,
                doorway=door.doorway(QUORUM_MAGIC),
                gossip=gossip,
                roster=roster,
                trust=trust,
            )
        else:
            self._route = Remote(
                connections, lambda: list(roster.servers.values()), hold=hold, random=random
            )
        self._keeper = Keeper(
            roster.me.to_node(),
            self.ask,
            interval=config.sync_interval,
            random=random,
            record=record,
            agents=lambda: sum(one.alive for one in roster.known.values()),
        )

        self._serving = Serving(
            self._answer,
            cluster=config.cluster,
            name=config.name,
            trust=trust,
            per_host_max=config.connections_per_host_max,
        )
        self._cached = Cached(self.ask, nursery, random)
        self._happenings = Happenings(gossip, lambda: self._keeper.local.services, uuid4)
        self._place = Place(gossip, self.ask, interval=config.coordinate_interval, random=random)

    # What users do.

    @property
    def name(self) -> str:
        """The name of the agent, and of its node."""
        return self._config.name

    @property
    def address(self) -> str:
        """`host:port`, where other agents and clients reach this one."""
        return format_address(self._gossip.address)

    async def ask(self, request: Request[T]) -> T:
        """See `Catalog.ask`."""
        answer: T = await self._answer(request, direct=False)
        return answer

    async def wait_leader(self) -> str:
        """Wait until a leader answers; return its name. There is no timeout here: use trio's."""
        while True:
            try:
                await self.ask(AskedNode(self.name))
                info = await self._route.ask(Info()) if self._voter is None else self._info()
            except Unavailable:
                continue
            if info.leader is not None:
                leader: str = info.leader
                return leader

    async def leave(self) -> None:
        """Leave for good: deregister what is registered here, hand over leadership, say farewell.

        Without this the end of the agent looks like a crash to the others: its node turns
        critical, and everything stays in the catalog until it comes back. A server that leaves
        hands over leadership and is removed from the voters; it may return with its data.
        """
        try:
            with trio.move_on_after(LEAVE_SECONDS_MAX):
                await self._keeper.clear()
        except CatalogError as error:
            log.warning("%s leaves with services registered: %s", self.name, error)
        await self.hand_over()
        await self._gossip.leave()
        if self._voter is not None:
            with trio.move_on_after(LEAVE_SECONDS_MAX):
                await self._voter.wait_removed()
        self.left.set()

    async def hand_over(self) -> None:
        """Have another server lead, if this one does: before it stops for a while."""
        if self._voter is not None:
            with trio.move_on_after(LEAVE_SECONDS_MAX):
                await self._voter.hand_over()

    def renew_certificates(self) -> None:
        """Read the files of TLS again, for the connections to come.

        Raises:
            ConfigError: they do not fit; the old ones hold.

        """
        if self._trust is not None:
            self._trust.renew()

    @property
    def server(self) -> quorum.Server | None:
        """This agent's part in consensus, once it takes part."""
        return None if self._replica is None else self._replica.server

    def statistics(self) -> AgentStatistics:
        """Return numbers for people and for monitoring."""
        return AgentStatistics(
            self._gossip.statistics(),
            len(self._keeper.local.services),
            self._serving.connections,
            None if self._replica is None else self._replica.age,
        )

    async def check(self) -> None:
        """Raise `AgentFailed` if the agent is about to stop, and so to blame for other errors."""
        if self._voter is not None:
            await self._voter.check()

    async def _join_others(self, addresses: Sequence[str]) -> int:
        try:
            return await self._gossip.join([await resolve(address) for address in addresses])
        except (rumor.JoinFailed, StartError) as error:
            raise Unavailable(str(error)) from error

    async def _force_leave(self, name: str) -> None:
        try:
            await self._gossip.dismiss(name)
        except rumor.AgentClosed as error:
            raise Unavailable(str(error)) from error

    # Answering.

    async def _answer(self, request: Request[Any], direct: bool) -> Any:  # noqa: FBT001 - a Handler
        if isinstance(request, LocalRequest):
            return await self._keeper.answer(request)
        match request:
            case FireEvent():
                return await self._happenings.fire(request)
            case Events():
                return await self._happenings.list(request)
            case ChangeKeys():
                return await change_keys(self._gossip, request)
            case JoinOthers(addresses):
                return await self._join_others(addresses)
            case Reload():
                if self.reloader is None:
                    raise ValueError("this agent has no configuration file that it could reload")
                return await self.reloader()
            case Metrics():
                return _exposition(self)
            case ForceLeave(name):
                await self._force_leave(name)
            case Leave():
                self._nursery.start_soon(self.leave)
            case Lookup(max_age=float()):
                return await self._cached.lookup(request)
            case Members():
                return tuple(known.to_member() for known in self._roster.known.values())
            case Info():
                return self._info()
            case _:
                return await self._route.ask(request, direct=direct)
        return None

    def _info(self) -> AgentInfo:
        known = self._roster.known
        info = AgentInfo(
            name=self.name,
            agent=Role.SERVER if self._voter else Role.CLIENT,
            address=self.address,
            datacenter=self._config.datacenter,
            cluster=self._config.cluster,
            version=_version(),
            services=len(self._keeper.local.services),
            members=sum(one.alive for one in known.values()),
            state=self._state,
        )
        replica = self._replica
        if replica is None:
            return info
        statistics = replica.server.statistics()
        return evolve(
            info,
            epoch=replica.epoch,
            role=statistics.role.value,
            term=statistics.term,
            leader=statistics.leader,
            commit_index=statistics.commit,
            applied_index=replica.registry.applied,
            last_index=statistics.last_index,
            snapshot_index=statistics.snapshot_index,
            peers={
                name: format_address(known[name].address) if name in known else ""
                for name in statistics.members.everyone
            },
        )

    @property
    def _state(self) -> str:
        if self._voter is not None:
            return self._voter.state
        return "running" if self._roster.servers else "no server is known"

    @property
    def _replica(self) -> Replica | None:
        duties = self._route.duties if isinstance(self._route, Local) else None
        return None if duties is None else duties.replica

    # Running.

    async def start(self) -> None:
        """Start everything; return when the agent can be used."""
        nursery = self._nursery
        self._roster.read()
        nursery.start_soon(self._roster.run)
        nursery.start_soon(self._happenings.run)
        nursery.start_soon(self._serving.run, self._door.doorway(MAGIC))
        if self._voter is not None:
            await nursery.start(self._voter.run)
        nursery.start_soon(self._keeper.run)
        nursery.start_soon(self._place.run)
        scripts = self._config.enable_script_checks
        nursery.start_soon(Checker(self._keeper, random=self._random, scripts=scripts).run)
        nursery.start_soon(self._keeper.follow, self._roster)


@asynccontextmanager
async def open_catalog(config: AgentConfig) -> AsyncIterator[Agent]:
    """Run an agent for as long as the block lasts.

    A server of a cluster that is still to be founded is ready before that: requests wait for it,
    for `config.hold` seconds. Use `Agent.wait_leader`.

    Raises:
        StartError: it cannot run like this: the port is taken, the directory belongs to another
            agent or cluster, nobody answers at any address of `join`.
        AgentFailed: it had to stop; the block was cancelled.

    """
    failure: Exception | None = None
    async with AsyncExitStack() as stack:
        trust = config.trust()
        record = open_record(config)
        home = await stack.enter_async_context(open_home(config)) if config.server else None
        magics = (MAGIC, QUORUM_MAGIC, RUMOR_MAGIC)
        door = await stack.enter_async_context(open_door(parse_address(config.bind), magics))
        door.doorway(QUORUM_MAGIC).closed = True
        gossip = await stack.enter_async_context(_open_gossip(config, door, home))
        connections = await stack.enter_async_context(
            open_connections(cluster=config.cluster, name=config.name, trust=trust)
        )
        try:
            async with trio.open_nursery() as nursery:
                agent = Agent(
                    config,
                    door,
                    gossip,
                    connections=connections,
                    home=home,
                    record=record,
                    trust=trust,
                    nursery=nursery,
                )
                # Whoever we join asks back at our door.
                nursery.start_soon(door.run)
                await meet(config, gossip, None if home is None else home.founding)
                await agent.start()
                try:
                    yield agent
                except Exception as error:  # noqa: BLE001 - raised below, without the group
                    failure = error
                    await agent.check()
                finally:
                    nursery.cancel_scope.cancel()
        except ExceptionGroup as group:
            raise sole(group) from failure
    if failure is not None:
        raise failure


@asynccontextmanager
async def _open_gossip(
    config: AgentConfig, door: Door, home: Home | None
) -> AsyncIterator[rumor.Agent]:
    host, port = door.address if config.advertise is None else parse_address(config.advertise)
    try:
        async with rumor.open_agent(
            config.name,
            bind=door.address,
            advertise=(host, port or door.address[1]),
            meta=presence_of(config, home).to_meta(),
            config=config.gossip,
            cluster=config.cluster,
            keyring=load_keyring(config),
            listener=door.doorway(RUMOR_MAGIC),
        ) as gossip:
            yield gossip
    except (rumor.ConfigError, rumor.MetaTooLarge) as error:
        raise StartError(str(error)) from error


def _exposition(agent: Agent) -> str:
    try:
        from catalog.metrics import exposition  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise ValueError("metrics need the extra: pip install 'quorumkit[metrics]'") from error
    return exposition(agent)


def _version() -> str:
    try:
        return version("quorumkit")
    except PackageNotFoundError:
        return "unknown"
