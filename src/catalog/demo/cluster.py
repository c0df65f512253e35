"""The agents of the demo: real `catalog agent` processes on loopback, and how they are doing."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket

import trio
from attrs import define, field

import catalog
from catalog.demo.processes import Child, ChildDied, Household
from catalog.demo.scene import Scene, ServerState
from catalog.exits import NO_START, sole
from catalog.requests import AgentInfo, Info

__all__ = ["AgentProcess", "Cluster", "free_port"]

HOST = "127.0.0.1"
LOOK_SECONDS = 0.2
"""How often each server is asked how it is doing."""
ANSWER_SECONDS = 2.0
STARTS_MAX = 3
"""A port that was free may be taken by the time the agent binds it; then all starts anew."""
LISTEN_LOOK_SECONDS = 0.05
PORTS = range(20_000, 30_000)
"""Below the ports that systems give to outgoing connections, lest one of those is quicker."""


def free_port() -> int:
    """Return a port that is free at this moment, for TCP and for UDP."""
    while True:
        port = secrets.choice(PORTS)
        with (
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        ):
            try:
                stream.bind((HOST, port))
                datagrams.bind((HOST, port))
            except OSError:
                continue
            return port


@define(eq=False)
class AgentProcess:
    """One agent: what it is told, and the process that runs it."""

    name: str
    address: str
    arguments: tuple[str, ...]
    child: Child | None = None

    @property
    def alive(self) -> bool:
        """Whether it should answer."""
        return self.child is not None and not self.child.killed

    def kill(self) -> None:
        """End it with SIGKILL."""
        assert self.child is not None
        self.child.kill()


@define(eq=False)
class Cluster:
    """The servers and the client agent."""

    household: Household
    scene: Scene
    size: int
    name: str = field(factory=lambda: f"demo-{os.getpid()}")
    servers: dict[str, AgentProcess] = field(factory=dict)
    edge: AgentProcess = field(init=False)
    """The client agent."""
    _noted: trio.Event = field(factory=trio.Event)
    """Set, and replaced, when a server has given account of itself."""

    async def start(self) -> None:
        """Start all agents; with other ports once more if somebody was faster with one of them.

        Raises:
            ChildDied: an agent ended by itself.

        """
        for attempt in range(1, STARTS_MAX + 1):
            self._plan()
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self.household.watch)
                    first, *others = self.servers.values()
                    self.launch(first)
                    await self._wait_listening(first)
                    for agent in (*others, self.edge):
                        self.launch(agent)
                    for agent in (*others, self.edge):
                        await self._wait_listening(agent)
                    nursery.cancel_scope.cancel()
            except* ChildDied as group:
                death = sole(group)
                assert isinstance(death, ChildDied)
                if death.child.process.returncode != NO_START or attempt == STARTS_MAX:
                    raise
                for child in self.household.children:
                    child.kill()
            else:
                return

    async def _wait_listening(self, agent: AgentProcess) -> None:
        """Wait until an agent answers; whoever else may listen there is of another cluster."""
        while True:
            try:
                async with catalog.connect(agent.address, cluster=self.name):
                    return
            except (catalog.CatalogError, OSError):
                await trio.sleep(LISTEN_LOOK_SECONDS)

    def launch(self, agent: AgentProcess) -> None:
        """Start the process of an agent, again after a kill."""
        agent.child = self.household.start(agent.name, "catalog", *agent.arguments)
        if agent.name in self.servers:
            self.scene.servers[agent.name] = ServerState(agent.name, agent.address)

    def kill(self, agent: AgentProcess) -> None:
        """End an agent with SIGKILL."""
        agent.kill()
        if agent.name in self.scene.servers:
            self.scene.servers[agent.name].role = "killed"

    def addresses(self) -> list[str]:
        """Return where to reach the agents that should be alive."""
        return [one.address for one in (*self.servers.values(), self.edge) if one.alive]

    def leader(self) -> AgentProcess | None:
        """Return who leads by its own account, in the newest term; `None`: nobody does."""
        states = [one for one in self.scene.servers.values() if one.role == "leader"]
        newest = max(states, key=lambda one: one.term, default=None)
        return None if newest is None else self.servers[newest.name]

    async def wait_leader(self) -> AgentProcess:
        """Wait until a server leads, and the others of those alive know of it."""
        while True:
            leader = self.leader()
            roles = [one.role for one in self.scene.servers.values() if one.role != "killed"]
            if leader is not None and roles.count("follower") == len(roles) - 1:
                return leader
            await self._noted.wait()

    async def wait_edge(self) -> None:
        """Wait until the client agent answers, and knows all servers."""
        while True:
            with contextlib.suppress(catalog.CatalogError, OSError):
                async with catalog.connect(self.edge.address) as client:
                    if len(await client.members()) > self.size:
                        return
            await trio.sleep(LOOK_SECONDS)

    async def wait_applied(self, agent: AgentProcess, index: int) -> None:
        """Wait until a server has applied the entry at an index."""
        while self.scene.servers[agent.name].applied < index:
            await self._noted.wait()

    async def observe(self, agent: AgentProcess) -> None:
        """Keep the scene's account of a server up to date, for ever."""
        while True:
            try:
                async with catalog.connect(agent.address) as client:
                    while True:
                        with trio.fail_after(ANSWER_SECONDS):
                            self._note(agent, await client.ask(Info()))
                        await trio.sleep(LOOK_SECONDS)
            except (catalog.CatalogError, OSError, trio.TooSlowError):
                await trio.sleep(LOOK_SECONDS)

    def _note(self, agent: AgentProcess, info: AgentInfo) -> None:
        state = self.scene.servers[agent.name]
        if agent.alive:
            state.role = info.role or "starting"
            state.term = info.term or 0
            state.commit = info.commit_index or 0
            state.applied = info.applied_index or 0
        self._noted.set()
        self._noted = trio.Event()

    def _plan(self) -> None:
        names = [*(f"s{number}" for number in range(1, self.size + 1)), "edge"]
        joins: list[str] = []  # each joins those before it; later they remember each other
        self.scene.servers.clear()
        for name in names:
            address = f"{HOST}:{free_port()}"
            arguments = ["agent", "--name", name, "--bind", address, *joins]
            arguments += ["--cluster", self.name]
            joins += ["--join", address]
            if name == "edge":
                self.edge = AgentProcess(name, address, tuple(arguments))
                continue
            directory = self.household.directory / name
            arguments += ["--server", "--bootstrap-expect", str(self.size)]
            arguments += ["--data-dir", str(directory)]
            self.servers[name] = AgentProcess(name, address, tuple(arguments))
