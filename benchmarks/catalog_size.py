"""What a registry of many instances takes: memory, a snapshot, its restoration, a look-up."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from random import Random

import trio
from benchmarks.catalog_cluster import Registry
from benchmarks.catalog_http import quantiles

import catalog
from catalog import Client, Consistency, Node, Service, Status, TtlCheck
from catalog.answers import Applied
from catalog.cache import Cache
from catalog.commands import Command, Operation, RegisterNode, RegisterService, batches
from catalog.model import CheckState, Instance, View
from catalog.requests import Info, Write
from catalog.snapshots import restore, save

PER_NODE = 100
PER_SERVICE = 10
WRITERS = 16
"""Writes under way at a time while the registry is filled."""
CATCH_UP_SECONDS_MAX = 120.0


def nodes(count: int) -> Iterator[Operation]:
    """The nodes of so many instances."""
    for node in range(-(-count // PER_NODE)):
        address = f"10.{node // 62500}.{node // 250 % 250}.{node % 250 + 1}"
        yield RegisterNode(Node(f"node-{node}", address))


def instances(count: int) -> Iterator[Operation]:
    """So many instances, with a check each: a hundred on a node, ten of a service."""
    services = max(1, count // PER_SERVICE)
    for number in range(count):
        yield RegisterService(
            f"node-{number // PER_NODE}",
            Service(
                f"service-{number % services}",
                id=f"service-{number % services}-{number}",
                port=1024 + number % 60000,
                tags=("v1", "eu" if number % 2 else "us"),
                meta={"version": f"1.{number % 7}"},
                checks=(TtlCheck(30.0, status=Status.PASSING),),
            ),
        )


async def fill(address: str, commands: Iterable[Command]) -> None:
    """Write all of these, some at a time."""
    send, receive = trio.open_memory_channel[Command](0)

    async def write(client: Client, commands: trio.MemoryReceiveChannel[Command]) -> None:
        async for command in commands:
            applied: Applied = await client.ask(Write(command))
            assert applied.ok, applied.detail

    async with catalog.connect(address) as client, trio.open_nursery() as nursery:
        for _ in range(WRITERS):
            nursery.start_soon(write, client, receive)
        async with send:
            for command in commands:
                await send.send(command)


async def caught_up(registry: Registry) -> None:
    """Wait until all servers have applied what the leader has."""
    with trio.fail_after(CATCH_UP_SECONDS_MAX):
        async with catalog.connect(registry.leader.address) as client:
            index = (await client.ask(Info())).applied_index or 0
        for server in registry.servers:
            async with catalog.connect(server.address) as client:
                while ((await client.ask(Info())).applied_index or 0) < index:  # noqa: ASYNC110
                    await trio.sleep(0.05)


async def lookups(address: str, services: int, runs: int) -> list[float]:
    """Milliseconds that a linearizable health query for one service takes, chosen by chance."""
    random, taken = Random(1), []
    async with catalog.connect(address) as client:
        for _ in range(runs):
            name = f"service-{random.randrange(services)}"
            begun = time.perf_counter()
            found = await client.lookup(name)
            taken.append((time.perf_counter() - begun) * 1e3)
            assert found.instances
    return taken


async def missing(address: str, count: int) -> int:
    """How many services are not there, and how many instances of every tenth of them."""
    services = max(1, count // PER_SERVICE)
    stale = Consistency.STALE
    async with catalog.connect(address) as client:
        names = await client.services(consistency=stale)
        gone = sum(f"service-{number}" not in names for number in range(services))
        for number in range(0, services, 10):
            found = await client.lookup(f"service-{number}", healthy=False, consistency=stale)
            gone += count // services - len(found.instances)
    return gone


async def measure(registry: Registry, count: int, *, runs: int) -> dict[str, float]:
    """Fill the registry, save it, restore it, restart a server; and look things up."""
    services = max(1, count // PER_SERVICE)
    begun = time.perf_counter()
    for operations in (nodes(count), instances(count)):
        await fill(registry.leader.address, batches(operations))
    await caught_up(registry)
    result = {"fill_seconds": time.perf_counter() - begun}
    result["megabytes"] = max(server.memory() for server in registry.servers)
    reader = registry.clients[0].address
    taken = quantiles(await lookups(reader, services, runs))
    result |= {"lookup_p50": taken["p50"], "lookup_p99": taken["p99"]}
    await registry.cluster.leader.tell(
        cmd="load", what="lookup", name="service-0", c=1, warm=0.1, secs=0.5
    )
    inside = await registry.cluster.leader.hear("result")
    result |= {"inside_p50": inside["p50_ms"], "inside_p99": inside["p99_ms"]}
    async with catalog.connect(registry.leader.address) as client:
        begun = time.perf_counter()
        data = b"".join([piece async for piece in save(client)])
        result |= {"save_seconds": time.perf_counter() - begun, "snapshot_mb": len(data) / 1e6}
        begun = time.perf_counter()
        await restore(client, data)
        result["restore_seconds"] = time.perf_counter() - begun
    await caught_up(registry)
    follower = registry.followers[0]
    follower.node.process.kill()
    await follower.node.process.wait()
    begun = time.perf_counter()
    await registry.cluster.restart(follower.node)
    await caught_up(registry)
    result["restart_seconds"] = time.perf_counter() - begun
    result["missing"] = await missing(follower.address, count)
    result["megabytes_after"] = max(server.memory() for server in registry.servers)
    result["megabytes_peak"] = max(server.memory("VmHWM") for server in registry.servers)
    return result


def cached(size: int, runs: int) -> float:
    """Microseconds that a look-up in a subscriber's copy takes, of a service of this size."""
    cache = Cache("web")
    nodes = [Node(f"node-{number}", f"10.0.0.{number + 1}") for number in range(size)]
    checks = (CheckState("c", Status.PASSING),)
    found = tuple(
        Instance(node, Service("web", port=8080), checks[0], checks, 1, 1) for node in nodes
    )
    cache.apply(View(1, "web", found), now=0.0)
    begun = time.perf_counter()
    for _ in range(runs):
        view = cache.lookup(healthy=True)
    taken = (time.perf_counter() - begun) / runs * 1e6
    assert len(view.instances) == size
    return taken
