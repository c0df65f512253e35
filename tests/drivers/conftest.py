"""A cluster in one process, for tests of quorum's driver: start, stop, cut, heal."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
import trio
from attrs import define, field

from quorum import (
    CommandMachine,
    Config,
    Entry,
    Link,
    Members,
    MemoryNetwork,
    MemoryStorage,
    Server,
    Storage,
    open_server,
)

NAMES = ("ann", "bob", "cem")


class Journal(CommandMachine):
    """A machine that remembers its commands, and refuses those that begin with `no`."""

    def __init__(self) -> None:
        self.commands: list[bytes] = []

    def command(self, entry: Entry) -> int:
        """Append the command; return how many there are."""
        if entry.payload.startswith(b"no"):
            raise ValueError(entry.payload.decode())
        self.commands.append(entry.payload)
        return len(self.commands)

    def snapshot(self) -> bytes:
        """All commands, a line each."""
        return b"\n".join(self.commands)

    def restore(self, snapshot: bytes) -> None:
        """The inverse of `snapshot`."""
        self.commands = snapshot.split(b"\n") if snapshot else []


@define
class Cluster:
    """Servers that can be started and stopped one by one."""

    nursery: trio.Nursery
    config: Config = field(factory=Config)
    network: MemoryNetwork = field(factory=MemoryNetwork)
    members: Members = field(factory=lambda: Members(voters=NAMES))
    make_machine: Callable[[], Journal] = Journal
    make_link: Callable[[str], Link] | None = None
    make_storage: Callable[[str], Storage] | None = None
    servers: dict[str, Server] = field(factory=dict)
    machines: dict[str, Journal] = field(factory=dict)
    storages: dict[str, Storage] = field(factory=dict)
    links: dict[str, Link] = field(factory=dict)
    failures: dict[str, Exception] = field(factory=dict)
    _scopes: dict[str, trio.CancelScope] = field(factory=dict)
    _ended: dict[str, trio.Event] = field(factory=dict)

    async def start(self, *names: str, members: Members | None = None) -> None:
        """Start these servers, or all; a server that ran before finds what it stored."""
        for name in names or NAMES:
            self._prepare(name, self.members if members is None else members)
            self.servers[name] = await self.nursery.start(self._serve, name)

    def _prepare(self, name: str, members: Members) -> None:
        self.machines[name] = self.make_machine()
        if self.make_storage is not None:
            self.storages[name] = self.make_storage(name)
        elif name not in self.storages:
            self.storages[name] = MemoryStorage(members=members)
        if self.make_link is not None:
            self.links[name] = self.make_link(name)
        else:
            self.links[name] = self.network.link(name)

    async def _serve(self, name: str, *, task_status: trio.TaskStatus[Server]) -> None:
        self._ended[name] = trio.Event()
        try:
            with trio.CancelScope() as self._scopes[name]:
                async with open_server(
                    name,
                    self.machines[name],
                    storage=self.storages[name],
                    links=self.links[name],
                    config=self.config,
                    random=Random(name),
                ) as server:
                    task_status.started(server)
                    await trio.sleep_forever()
        except Exception as error:  # noqa: BLE001 - tests look at it
            self.failures[name] = error
        finally:
            self.servers.pop(name, None)
            self._ended[name].set()

    async def stop(self, name: str) -> None:
        """Stop a server; all that is left of it is its storage."""
        self._scopes[name].cancel()
        await self.wait_ended(name)

    async def wait_ended(self, name: str) -> None:
        """Wait until a server has ended by itself or was stopped."""
        await self._ended[name].wait()

    async def leader(self, *, among: tuple[str, ...] = ()) -> Server:
        """Wait until one of these servers, or of all that run, leads and has applied its no-op."""
        while True:
            for name in among or tuple(self.servers):
                server = self.servers[name]
                if server.is_leader and server.applied_index == server.statistics().last_index:
                    return server
            await trio.sleep(0.01)

    def followers(self, leader: Server) -> list[Server]:
        """All running servers but this one."""
        return [server for server in self.servers.values() if server is not leader]

    async def agree(self) -> list[bytes]:
        """Wait until all servers have applied the same; return the commands."""
        while len({server.applied_index for server in self.servers.values()}) > 1:  # noqa: ASYNC110
            await trio.sleep(0.01)
        first, *rest = (self.machines[name].commands for name in self.servers)
        assert all(first == other for other in rest)
        return first


@pytest.fixture
def machine() -> Journal:
    """A machine for a server without a cluster."""
    return Journal()


@pytest.fixture
async def cluster(nursery) -> Cluster:
    """A cluster, nothing of which is started yet. Its tests ask for `autojump_clock`, too."""
    return Cluster(nursery)


@pytest.fixture
async def real_cluster(nursery) -> Cluster:
    """A cluster on the real clock, for sockets and disks; impatient, so that tests are short."""
    return Cluster(nursery, Config(heartbeat=0.02, election_timeout=0.15, disk_grace=2.0))
