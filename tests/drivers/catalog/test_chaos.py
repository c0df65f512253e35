"""Three server processes killed and paused under load: what clients saw has an explanation."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections import Counter
from math import inf
from pathlib import Path
from random import Random

import pytest
import trio
from attrs import define, field

from catalog import connect
from catalog.api import Catalog
from catalog.demo.processes import Child, Household
from catalog.errors import CatalogError, Refused, Unavailable
from catalog.model import KeyValue
from quorum.simulation.linearizability import Operation, unexplained

NAMES = ("s1", "s2", "s3")
CLIENTS = 4
SECONDS = 8.0
"""Of troubles."""
KEY_LIFE = 40
"""Appends to a list before the next one takes its place, so that histories stay short."""
PATIENCE = 60.0


@define
class Load:
    """Clients that append to lists by comparing indexes, and what they saw."""

    random: Random
    stopped: bool = False
    number: int = 0
    history: list[Operation] = field(factory=list)
    counts: Counter[str] = field(factory=Counter)

    async def client(self, address: str) -> None:
        """Append and read at one server, whatever becomes of it."""
        while not self.stopped:
            try:
                async with connect(address, hold=2.0) as catalog:
                    while not self.stopped:
                        await self.once(catalog)
                        await trio.sleep(0.005)
            except CatalogError:
                self.counts["failed"] += 1
                await trio.sleep(0.05)

    async def once(self, catalog: Catalog) -> None:
        """Read a list, and mostly append to what was read."""
        key = f"list/{self.number // KEY_LIFE}"
        begun = trio.current_time()
        entry = await catalog.get(key)
        seen = values_of(entry)
        self.history.append(Operation(key, begun, trio.current_time(), None, seen))
        self.counts["read"] += 1
        if self.random.random() < 0.7:
            await self.append(catalog, key, entry)

    async def append(self, catalog: Catalog, key: str, entry: KeyValue | None) -> None:
        """Append a number that nobody else appends."""
        self.number += 1
        number, begun = self.number, trio.current_time()
        values = (*values_of(entry), number)
        index = 0 if entry is None else entry.modify_index
        try:
            await catalog.put(key, json.dumps(values).encode(), cas=index)
        except (Refused, Unavailable):
            self.counts["refused"] += 1  # so it says: it never happened
        except CatalogError:
            self.counts["unknown"] += 1
            self.history.append(Operation(key, begun, inf, number, None))
        else:
            self.counts["written"] += 1
            self.history.append(Operation(key, begun, trio.current_time(), number, values))


def values_of(entry: KeyValue | None) -> tuple[int, ...]:
    """The list that a key holds."""
    return () if entry is None else tuple(json.loads(entry.value))


@define
class Servers:
    """Three server processes on fixed ports."""

    household: Household
    ports: tuple[int, ...]
    children: dict[str, Child] = field(factory=dict)

    def address(self, name: str) -> str:
        """Where a server listens."""
        return f"127.0.0.1:{self.ports[NAMES.index(name)]}"

    def start(self, name: str) -> None:
        """Start a server, with the data that it has."""
        arguments = ["--server", "--bootstrap-expect", "3", "--name", name]
        arguments += ["--bind", self.address(name), "--data-dir"]
        arguments += [str(self.household.directory / name)]
        for other in NAMES:
            arguments += ["--join", self.address(other)] if other != name else []
        self.children[name] = self.household.start(name, "catalog", "agent", *arguments)

    async def torment(self, random: Random, counts: Counter[str]) -> None:
        """Kill and pause one after the other, never more than one at a time."""
        end = trio.current_time() + SECONDS
        while trio.current_time() < end:
            await trio.sleep(random.uniform(0.5, 1.5))
            name = random.choice(NAMES)
            if random.random() < 0.5:
                counts["kills"] += 1
                self.children[name].kill()
                await trio.sleep(random.uniform(0.0, 1.0))
                self.start(name)
            else:
                counts["pauses"] += 1
                os.kill(self.children[name].process.pid, signal.SIGSTOP)
                await trio.sleep(random.uniform(0.5, 2.0))
                os.kill(self.children[name].process.pid, signal.SIGCONT)


@pytest.fixture
def servers(tmp_path: Path):
    """Not started; they end with the test."""
    sockets = [socket.socket() for _ in NAMES]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = tuple(one.getsockname()[1] for one in sockets)
    for one in sockets:
        one.close()
    household = Household.open(tmp_path / "servers")
    yield Servers(household, ports)
    household.close()


async def first_answer(address: str) -> None:
    """Wait until a server answers linearizable reads."""
    while True:
        try:
            async with connect(address, hold=2.0) as catalog:
                await catalog.get("first")
                return
        except CatalogError:
            await trio.sleep(0.1)


async def test_what_clients_see_while_servers_are_killed_and_paused_is_linearizable(
    servers, run_seed
):
    """Some order explains every answer; in the end all servers answer the same."""
    random = Random(run_seed)
    load = Load(random)
    with trio.fail_after(PATIENCE):
        for name in NAMES:
            servers.start(name)
        for name in NAMES:
            await first_answer(servers.address(name))
        async with trio.open_nursery() as nursery:
            for number in range(CLIENTS):
                nursery.start_soon(load.client, servers.address(NAMES[number % len(NAMES)]))
            await servers.torment(random, load.counts)
            load.stopped = True
        found = []
        for name in NAMES:
            await first_answer(servers.address(name))
            async with connect(servers.address(name), hold=7.0) as catalog:
                found.append(await catalog.items("list/"))

    assert found[0] == found[1] == found[2]
    assert unexplained(load.history) is None
    assert load.counts["kills"] + load.counts["pauses"] >= 3
    assert load.counts["written"] >= 50
    assert load.counts["read"] >= 50
