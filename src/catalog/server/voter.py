"""A server's share in consensus: founding the cluster if need be, then Raft, while it runs.

The steps of founding are decided in `catalog.server.bootstrap`; here each is made durable,
then told by gossip, in this order.
"""

from __future__ import annotations

import logging

import trio
from attrs import evolve

import quorum
import rumor
from catalog.config import AgentConfig, format_address
from catalog.errors import AgentFailed, StartError
from catalog.forward import Local
from catalog.node.roster import Roster
from catalog.rpc.door import Doorway
from catalog.server.bootstrap import Waits, advance
from catalog.server.home import Home, presence_of
from catalog.server.reconciler import Reconciler
from catalog.server.replica import Replica
from catalog.server.watch import WatchedRegistry

__all__ = ["Voter"]

log = logging.getLogger("catalog")


class Voter:
    """What makes an agent a server; `route.replica` is there once it takes part."""

    def __init__(
        self,
        config: AgentConfig,
        home: Home,
        route: Local,
        *,
        doorway: Doorway,
        gossip: rumor.Agent,
        roster: Roster,
    ) -> None:
        self.state = "starting"
        """For people: what it does, or waits for."""
        self._config = config
        self._home = home
        self._route = route
        self._doorway = doorway
        self._gossip = gossip
        self._roster = roster
        self._started = False

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Found the cluster, then take part; started as soon as requests may come.

        Raises:
            StartError: Raft cannot begin with what is on the disk.
            AgentFailed: the server had to stop.

        """
        while (waits := await self._found()) is not None:
            if waits.text != self.state:
                log.log(logging.ERROR if waits.problem else logging.INFO, "%s", waits.text)
            self.state = self._route.problem = waits.text
            self._start(task_status)
            await self._roster.wait_change()
        try:
            await self._take_part(task_status)
        except (quorum.QuorumError, OSError) as error:
            raise (AgentFailed if self._route.replica else StartError)(str(error)) from error

    async def hand_over(self) -> None:
        """Give leadership, if it is ours, to the voter that has most of the log."""
        replica = self._route.replica
        if replica is None or not replica.server.is_leader:
            return
        match = replica.server.statistics().match
        heirs = [(index, name) for name, index in match if name in self._roster.servers]
        if heirs:
            try:
                await replica.server.transfer_leadership(max(heirs)[1])
            except quorum.QuorumError as error:
                log.info("%s could not hand over leadership: %s", self._config.name, error)

    async def check(self) -> None:
        """Raise `AgentFailed` if the server has ended."""
        if self._route.replica is not None:
            try:
                await self._route.replica.server.wait_role_change()
            except quorum.QuorumError as error:
                raise AgentFailed(str(error)) from error

    async def _found(self) -> Waits | None:
        """Take the steps of founding that can be taken; return what must be waited for."""
        config, home = self._config, self._home
        while True:
            servers = [
                known
                for known in self._roster.known.values()
                if known.server and known.alive and known.presence.datacenter == config.datacenter
            ]
            founding, waits = advance(home.founding, config.bootstrap_expect, servers)
            if founding == home.founding:
                return waits
            await home.remember(founding)
            await self._gossip.set_meta(presence_of(config, home).to_meta())
            log.info(
                "%s: founders %s %s",
                config.name,
                ", ".join(founder.name for founder in founding.founders),
                "are agreed" if founding.agreed else "are the set to found with",
            )

    async def _take_part(self, task_status: trio.TaskStatus[None]) -> None:
        config, founding = self._config, self._home.founding
        registry = WatchedRegistry()
        links = quorum.TcpLinks(
            config.name, founding.cluster_id, listener=self._doorway, config=config.raft
        )
        async with quorum.open_server(
            config.name,
            registry,
            storage=self._home.open_storage(),
            links=links,
            config=config.raft,
        ) as server:
            replica = Replica(server, registry, founding.digest)
            reconciler = Reconciler(replica, self._roster, interval=config.reconcile_interval)
            self._doorway.closed = False
            self._route.replica = replica
            self.state = "running"
            self._start(task_status)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(replica.run)
                nursery.start_soon(reconciler.run)
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
