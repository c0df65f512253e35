"""Who waits for news of the registry, and how soon they have it.

All times are of one clock, in the process that asks; agents are asked over their sockets, and the
one that is written to is never the one that is waited at.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack

import trio
from attrs import evolve
from benchmarks.catalog_cluster import Agent, Registry
from benchmarks.catalog_http import Browser, Request

import catalog
from catalog import Client, Service
from catalog.requests import Get, Lookup, Read

PAUSE_SECONDS = 0.02
"""Between two changes: at low load, whoever waits is waiting again."""
CALLS_PER_CONNECTION = 500
"""As many users would: none has more than this."""
WEB = Service("web", port=8080, tags=("blue",))


async def registrations(registry: Registry, runs: int) -> list[float]:
    """Milliseconds from a registration at one agent to a health query at another that shows it."""
    one, other = registry.clients
    taken = []
    async with catalog.connect(one.address) as writer, catalog.connect(other.address) as reader:
        for number in range(runs):
            service = Service("seen", id=f"seen-{number}", port=1 + number)
            begun = time.perf_counter()
            await writer.register(service)
            while service.id not in {i.service.id for i in (await reader.lookup("seen")).instances}:
                pass
            taken.append((time.perf_counter() - begun) * 1e3)
            await writer.deregister(service.id)
    return taken


async def wakes_of_keys(registry: Registry, runs: int) -> list[float]:
    """Milliseconds from a write at one agent to the answer of a blocked query at another."""
    one, other = registry.clients
    async with catalog.connect(one.address) as writer, catalog.connect(other.address) as reader:
        index = await writer.put("wake", b"first")

        async def change() -> None:
            await writer.put("wake", b"%d" % index)  # what is the same wakes nobody

        async def wait() -> None:
            nonlocal index
            index = (await reader.ask(Get("wake", after=index, wait=60.0))).index

        return [await woken(change, wait) for _ in range(runs)]


async def wakes_by_http(registry: Registry, runs: int) -> list[float]:
    """Likewise, by Consul's API at both ends."""
    one, other = (Browser(each.http) for each in registry.clients)
    first = await one.ask(Request("PUT", "/v1/kv/wake", b"first"))
    assert first.status == 200
    index = (await other.ask(Request("GET", "/v1/kv/wake"))).headers["x-consul-index"]

    async def change() -> None:
        assert (await one.ask(Request("PUT", "/v1/kv/wake", index.encode()))).status == 200

    async def wait() -> None:
        nonlocal index
        answer = await other.ask(Request("GET", f"/v1/kv/wake?index={index}&wait=60s"))
        assert answer.status == 200
        index = answer.headers["x-consul-index"]

    taken = [await woken(change, wait) for _ in range(runs)]
    await one.close()
    await other.close()
    return taken


async def wakes_of_services(registry: Registry, runs: int) -> list[float]:
    """Milliseconds from a change at a service's agent to a blocked health query at another."""
    one, other = registry.clients
    async with catalog.connect(one.address) as writer, catalog.connect(other.address) as reader:
        await writer.register(WEB)
        index, port = (await reader.lookup("web")).index, WEB.port

        async def change() -> None:
            nonlocal port
            port += 1
            await writer.register(evolve(WEB, port=port))

        async def wait() -> None:
            nonlocal index
            index = (await reader.ask(Lookup("web", after=index, wait=60.0))).index

        taken = [await woken(change, wait) for _ in range(runs)]
        await writer.deregister(WEB.id)
    return taken


async def woken(
    change: Callable[[], Awaitable[None]], wait: Callable[[], Awaitable[None]]
) -> float:
    """Milliseconds from the beginning of a change to the end of a wait that began before it."""
    ended = 0.0

    async def waiting() -> None:
        nonlocal ended
        await wait()
        ended = time.perf_counter()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(waiting)
        await trio.sleep(PAUSE_SECONDS)
        assert not ended, "it waits for the change"
        begun = time.perf_counter()
        await change()
    return (ended - begun) * 1e3


async def sleepers(
    registry: Registry, count: int, *, writes: int, seconds: float
) -> dict[str, float]:
    """What it costs that many queries wait at one server for what does not change.

    Processor time of the three servers for the same writes and for the same rest, before those who
    wait have come and while they are there; and how many of them were woken.
    """
    host = registry.followers[0]
    async with AsyncExitStack() as stack:
        writer = await stack.enter_async_context(catalog.connect(registry.clients[0].address))
        await stir(writer, writes)
        before = await costs(registry, writer, writes=writes, seconds=seconds)
        memory = host.memory()
        nursery = await stack.enter_async_context(trio.open_nursery())
        woken = asleep = 0

        async def sleep(client: Client, number: int) -> None:
            nonlocal woken, asleep
            read: Read[object] = Get(f"idle/{number}") if number % 2 else Lookup(f"idle-{number}")
            reply = await client.ask(read)
            asleep += 1
            await client.ask(evolve(read, after=reply.index, wait=600.0))
            woken += 1

        for start in range(0, count, CALLS_PER_CONNECTION):
            client = await stack.enter_async_context(catalog.connect(host.address))
            for number in range(start, min(count, start + CALLS_PER_CONNECTION)):
                nursery.start_soon(sleep, client, number)
            while asleep < min(count, start + CALLS_PER_CONNECTION):  # noqa: ASYNC110
                await trio.sleep(0.01)
        await trio.sleep(1.0)
        after = await costs(registry, writer, writes=writes, seconds=seconds)
        memory = host.memory() - memory
        result = {"asleep": asleep, "woken": woken, "kilobytes": memory * 1e3 / count}
        nursery.cancel_scope.cancel()
    return result | {
        "rest_before": before[0],
        "rest_after": after[0],
        "write_before": before[1],
        "write_after": after[1],
    }


async def costs(
    registry: Registry, writer: Client, *, writes: int, seconds: float
) -> tuple[float, float]:
    """The servers' processor time: a share of one processor at rest, and milliseconds a write."""
    begun = registry.cpu()
    await trio.sleep(seconds)
    rest = (registry.cpu() - begun) / seconds
    began, begun = time.perf_counter(), registry.cpu()
    await stir(writer, writes)
    spent = registry.cpu() - begun - rest * (time.perf_counter() - began)
    return rest, spent * 1e3 / writes


async def stir(writer: Client, writes: int) -> None:
    """Write what nobody waits for, one write after the other."""
    for number in range(writes):
        await writer.put(f"busy/{number % 100}", os.urandom(16))


async def crowd(registry: Registry, count: int, runs: int) -> list[float]:
    """Seconds from a change of a service until each of so many subscribers has it, at worst."""
    taken = []
    async with AsyncExitStack() as stack:
        writer = await stack.enter_async_context(catalog.connect(registry.clients[0].address))
        await writer.register(WEB)
        nursery = await stack.enter_async_context(trio.open_nursery())
        seen: dict[int, int] = {}
        ports = [WEB.port + run for run in range(runs + 1)]

        async def subscribe(client: Client, number: int) -> None:
            async with client.subscribe("web") as web:
                async for _ in web:
                    for one in web.view.instances:
                        seen[number] = one.service.port

        for clients in await connections(registry.servers, count, stack):
            for number, client in clients:
                nursery.start_soon(subscribe, client, number)
        with trio.fail_after(60.0):
            for port in ports:
                begun = time.perf_counter()
                await writer.register(evolve(WEB, port=port))
                while len(seen) < count or any(one != port for one in seen.values()):  # noqa: ASYNC110
                    await trio.sleep(0.005)
                taken.append(time.perf_counter() - begun)
                await trio.sleep(0.1)
        await writer.deregister(WEB.id)
        nursery.cancel_scope.cancel()
    return taken[1:]  # in the first they are still coming


async def connections(
    servers: Sequence[Agent], count: int, stack: AsyncExitStack
) -> list[list[tuple[int, Client]]]:
    """Spread so many callers over the servers; give each server's, with their connections."""
    shares: list[list[tuple[int, Client]]] = []
    for place, server in enumerate(servers):
        numbers = range(place, count, len(servers))
        share: list[tuple[int, Client]] = []
        for start in range(0, len(numbers), CALLS_PER_CONNECTION):
            client = await stack.enter_async_context(catalog.connect(server.address))
            share += [(number, client) for number in numbers[start : start + CALLS_PER_CONNECTION]]
        shares.append(share)
    return shares
