"""The registry under measurement: three durable servers and two client agents, all on loopback."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from attrs import frozen
from benchmarks.cluster import Cluster, Node, Program, free_ports, open_cluster, run_node

import catalog

PROGRAM = Program("catalog", (sys.executable, "-m", "benchmarks.catalog_node"))


@frozen
class Agent:
    """An agent's process, and where it is reached."""

    node: Node
    address: str
    http: int

    def memory(self, what: str = "VmRSS") -> float:
        """Megabytes: `VmRSS`, what it has now; `VmHWM`, the most that it had."""
        status = Path(f"/proc/{self.node.process.pid}/status").read_text().splitlines()
        (line,) = (line for line in status if line.startswith(f"{what}:"))
        return int(line.split()[1]) * 1024 / 1e6


@frozen
class Registry:
    """Servers with a leader, and clients that have joined them."""

    cluster: Cluster
    servers: list[Agent]
    clients: list[Agent]

    @property
    def leader(self) -> Agent:
        """The server that led at last sight."""
        return next(one for one in self.servers if one.node is self.cluster.leader)

    @property
    def followers(self) -> list[Agent]:
        """The others."""
        return [one for one in self.servers if one.node is not self.cluster.leader]

    def cpu(self) -> float:
        """Seconds of processor time that the servers have used."""
        return sum(one.node.cpu() for one in self.servers)


@asynccontextmanager
async def open_registry(*, clients: int = 2) -> AsyncIterator[Registry]:
    """Start everything anew; on exit it is killed and cleared away."""
    http = free_ports(3 + clients)
    ports = ",".join(map(str, http))
    async with open_cluster(PROGRAM, options=["--http", ports]) as cluster:
        peers = cluster.nodes[0].argv[cluster.nodes[0].argv.index("--peers") + 1]
        servers = [
            Agent(node, address, port)
            for node, address, port in zip(cluster.nodes, peers.split(","), http[:3], strict=True)
        ]
        others = []
        async with trio.open_nursery() as nursery:
            with tempfile.TemporaryDirectory(prefix="catalog-benchmark-") as directory:
                for number, port in enumerate(free_ports(clients), start=3):
                    address = f"127.0.0.1:{port}"
                    argv = [*PROGRAM.argv, "--id", str(number), "--peers", peers]
                    argv += ["--dir", directory, "--http", ports, "--client", address]
                    node = Node(await nursery.start(run_node, argv), argv)
                    await node.hear("ready")
                    others.append(Agent(node, address, http[number]))
                await settle(others)
                yield Registry(cluster, servers, others)
                nursery.cancel_scope.cancel()


async def settle(agents: list[Agent]) -> None:
    """Wait until each of these agents knows the servers, and its node is in the catalog."""
    with trio.fail_after(30.0):
        for agent in agents:
            async with catalog.connect(agent.address) as client:
                name = (await client.info())["name"]
                while name not in {one.node.name for one in await client.nodes()}:  # noqa: ASYNC110
                    await trio.sleep(0.05)
