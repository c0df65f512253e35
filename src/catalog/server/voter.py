"""A server's share in consensus: founding the cluster or being let in, then Raft, while it runs.

The steps that lead there are decided in `catalog.server.bootstrap`; here each is made durable, then
told by gossip, in this order.
"""

from __future__ import annotations

import logging
from collections import deque
from contextlib import suppress
from itertools import cycle
from math import inf
from typing import Final

import trio
from attrs import evolve

import quorum
import rumor
from catalog.config import AgentConfig, format_address
from catalog.errors import AgentFailed, CatalogError, StartError
from catalog.forward import Local
from catalog.node.roster import Roster
from catalog.operations import Join, Peers
from catalog.rpc import Connections
from catalog.rpc.door import Doorway
from catalog.server.bootstrap import Founding, Waits, advance
from catalog.server.duties import Duties
from catalog.server.expiry import Expiry
from catalog.server.home import Home, presence_of
from catalog.server.memory import keep_giving_back
from catalog.server.pilot import Pilot
from catalog.server.places import Places
from catalog.server.protection import Guard
from catalog.server.reconciler import Reconciler
from catalog.server.replica import Replica
from catalog.server.restoring import RestorableRegistry
from catalog.trust import Trust

__all__ = ["Voter"]

log = logging.getLogger("catalog")

KNOCK_SECONDS: Final = 2.0
"""Between two attempts to be let in."""
LOOK_SECONDS, LOOK_SECONDS_MAX = 0.05, 2.0
"""Between two questions whether we are removed, and for the answer to one."""
SAID_MAX: Final = 8
"""What was said of late is not said again."""
ANSWER_SECONDS_MAX: Final = 15.0
"""How long one server may take to let us in: it may have to wait for a leader first."""


class Voter:
    """What makes an agent a server; `route.duties` are there once it takes part."""

    def __init__(
        self,
        config: AgentConfig,
        home: Home,
        route: Local,
        *,
        connections: Connections,
        doorway: Doorway,
        gossip: rumor.Agent,
        roster: Roster,
        trust: Trust | None,
    ) -> None:
        self.state = "starting"
        """For people: what it does, or waits for."""
        self._config = config
        self._home = home
        self._route = route
        self._connections = connections
        self._doorway = doorway
        self._gossip = gossip
        self._roster = roster
        self._trust = trust
        self._started = False
        self._said: deque[str] = deque(maxlen=SAID_MAX)

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Found the cluster, then take part; started as soon as requests may come.

        Raises:
            StartError: Raft cannot begin with what is on the disk.
            AgentFailed: the server had to stop.

        """
        while (waits := await self._found()) is not None:
            self._say(waits.text, logging.ERROR if waits.problem else logging.INFO)
            self._start(task_status)
            if await self._knock(waits.doors):
                continue
            with trio.move_on_after(KNOCK_SECONDS if waits.doors else inf):
                await self._roster.wait_change()
        try:
            await self._take_part(task_status)
        except (quorum.QuorumError, OSError) as error:
            raise (AgentFailed if self._route.duties else StartError)(str(error)) from error

    async def hand_over(self) -> None:
        """Give leadership, if it is ours, to the voter that has most of the log."""
        duties = self._route.duties
        if duties is not None and duties.replica.server.is_leader and duties.pilot.heir():
            try:
                await duties.pilot.transfer(None)
            except (quorum.QuorumError, CatalogError) as error:
                log.info("%s could not hand over leadership: %s", self._config.name, error)

    async def wait_removed(self) -> None:
        """Wait until the others have removed this server, which has left them; the last one stays.

        Until then its vote may be needed.
        """
        others = [
            address for name, address in self._roster.servers.items() if name != self._config.name
        ]
        if self._route.duties is None:
            return
        for address in cycle(others):  # a server that is removed may never hear of it itself
            with suppress(CatalogError):
                peers = await self._connections.call(address, Peers(), patience=LOOK_SECONDS_MAX)
                if self._config.name not in [peer.name for peer in peers.peers]:
                    return
            await trio.sleep(LOOK_SECONDS)

    async def check(self) -> None:
        """Raise `AgentFailed` if the server has ended."""
        if self._route.duties is not None:
            try:
                await self._route.duties.replica.server.wait_role_change()
            except quorum.QuorumError as error:
                raise AgentFailed(str(error)) from error

    async def _found(self) -> Waits | None:
        """Take the steps of founding that can be taken; return what must be waited for."""
        config, home = self._config, self._home
        while True:
            servers = [
                known
                for known in self._roster.known.values()
                if known.server and known.presence.datacenter == config.datacenter
            ]
            founding, waits = advance(home.founding, config.bootstrap_expect, servers)
            if founding == home.founding:
                return waits
            await self._remember(founding)
            log.info(
                "%s: founders %s %s",
                config.name,
                ", ".join(founder.name for founder in founding.founders),
                "are agreed" if founding.agreed else "are the set to found with",
            )

    async def _knock(self, doors: tuple[str, ...]) -> bool:
        """Ask one server after the other to be let in; return whether one did."""
        for name in doors:
            known = self._roster.known.get(name)
            if known is None:
                continue
            request = Join(self._config.name, known.presence.digest)
            try:
                admission = await self._connections.call(
                    known.address, request, patience=ANSWER_SECONDS_MAX
                )
            except (CatalogError, ValueError) as error:
                self._say(f"{name} does not let {self._config.name} in yet: {error}", logging.INFO)
            else:
                await self._remember(evolve(self._home.founding, admission=admission, agreed=True))
                log.info("%s: %s let us in", self._config.name, name)
                return True
        return False

    def _say(self, text: str, level: int) -> None:
        """Tell what is waited for: to users at once, in the log once."""
        self.state = self._route.problem = text
        if text not in self._said:
            self._said.append(text)
            log.log(level, "%s", text)

    async def _remember(self, founding: Founding) -> None:
        await self._home.remember(founding)
        await self._gossip.set_meta(presence_of(self._config, self._home).to_meta())

    async def _take_part(self, task_status: trio.TaskStatus[None]) -> None:
        config, founding = self._config, self._home.founding
        if self._trust is None and not config.loopback:
            log.warning(
                "%s: no TLS: whoever reaches its port can speak as a server or a user", config.name
            )
        registry = RestorableRegistry()
        links = quorum.TcpLinks(
            config.name,
            founding.cluster_id,
            listener=self._doorway,
            config=config.raft,
            tls=None if self._trust is None else self._trust.for_consensus,
        )
        async with quorum.open_server(
            config.name,
            registry,
            storage=self._home.open_storage(),
            links=links,
            config=config.raft,
        ) as server:
            replica = Replica(server, registry, founding.digest)
            pilot = Pilot(
                server, self._roster, founding, rules=config.autopilot, datacenter=config.datacenter
            )
            guard = None
            if config.eviction_share is not None:
                guard = Guard(config.eviction_share, config.eviction_window)
            reconciler = Reconciler(
                replica, self._roster, interval=config.reconcile_interval, guard=guard
            )
            expiry = Expiry(replica)
            places = Places(server, interval=config.coordinate_interval / 3)
            self._doorway.closed = False
            self._route.duties = Duties(replica, pilot, expiry, places)
            self.state = "running"
            self._start(task_status)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(replica.run)
                nursery.start_soon(reconciler.run)
                nursery.start_soon(pilot.run)
                nursery.start_soon(expiry.run)
                nursery.start_soon(places.run)
                nursery.start_soon(keep_giving_back)
                nursery.start_soon(self._follow_servers, links)

    async def _follow_servers(self, links: quorum.TcpLinks) -> None:
        """Tell Raft where the servers are, and remember it for the next start."""
        home = self._home
        while True:
            others = {
                name: format_address(address)
                for name, address in self._roster.servers.items()
                if name != self._config.name
            }
            for name, address in others.items():
                links.learn(name, address)
            seeds = tuple(sorted(others.values()))
            if seeds and seeds != home.founding.seeds:
                await home.remember(evolve(home.founding, seeds=seeds))
                continue  # it took a while
            await self._roster.wait_change()

    def _start(self, task_status: trio.TaskStatus[None]) -> None:
        if not self._started:
            self._started = True
            task_status.started()
