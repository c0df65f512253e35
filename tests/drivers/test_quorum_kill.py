"""Three real processes, killed with SIGKILL in a loop under load: nothing acknowledged is lost.

Each server is this file run as a program: a journal on disk, TCP on loopback, and JSON lines on its
standard input and output for the clients. Who is killed, and when, comes from the run's seed; what
the processes make of it does not, so a failure names the seed but may need more than one run.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import trio
from attrs import define, field

from quorum import (
    Config,
    JournalStorage,
    Members,
    NotLeader,
    Overloaded,
    QuorumError,
    Server,
    Superseded,
    TcpLinks,
    open_server,
)
from quorum.simulation.linearizability import Operation, unexplained
from quorum.simulation.machines import Lists

NAMES = ("a", "b", "c")
CONFIG = Config(
    heartbeat=0.03,
    election_timeout=0.3,
    disk_grace=5.0,
    snapshot_entries=150,
    tail_entries=20,
)
SECONDS = 9.0
APPENDS_MIN = 50
CLIENTS = 4
KEY_LIFE = 30
"""Appends to one list before clients move on to the next."""


# The server's side


async def serve(name: str, directory: str, addresses: dict[str, str]) -> None:
    """Run a server until standard input ends."""
    machine = Lists()
    host, _, port = addresses[name].rpartition(":")
    others = {peer: address for peer, address in addresses.items() if peer != name}
    links = TcpLinks(name, "kill", listen=(host, int(port)), addresses=others, config=CONFIG)
    storage = JournalStorage(directory, node=name, cluster="kill", members=Members(voters=NAMES))
    async with (
        open_server(name, machine, storage=storage, links=links, config=CONFIG) as server,
        trio.open_nursery() as nursery,
    ):
        async for line in lines(trio.lowlevel.FdStream(os.dup(0))):
            nursery.start_soon(obey, server, machine, json.loads(line))
        nursery.cancel_scope.cancel()


async def obey(server: Server, machine: Lists, request: dict[str, Any]) -> None:
    """Append to a list or read one, and answer in a line."""
    key, value = request["key"], request["value"]
    answer: dict[str, Any] = {"id": request["id"]}
    try:
        if value is None:
            await server.read_barrier()
            answer["seen"] = machine.read(key)
        else:
            answer["seen"] = await server.propose(f"{key} {value}".encode())
    except (NotLeader, Overloaded, Superseded) as error:
        answer["never"] = type(error).__name__
    except QuorumError as error:
        answer["unknown"] = type(error).__name__
    answer["leader"] = server.leader
    os.write(1, json.dumps(answer).encode() + b"\n")


async def lines(stream: trio.abc.ReceiveStream) -> Any:
    """Whole lines of a stream, until it ends."""
    rest = b""
    async for chunk in stream:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line


# The clients' side


@define(eq=False)
class Node:
    """A process that can be killed and started again."""

    name: str
    command: list[str]
    process: trio.Process | None = None
    waiting: dict[int, tuple[trio.Event, dict[str, Any]]] = field(factory=dict)
    kills: int = 0
    sending: trio.Lock = field(factory=trio.Lock)

    async def start(self, nursery: trio.Nursery) -> None:
        """Start the process on what its directory has."""
        self.process = await trio.lowlevel.open_process(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        nursery.start_soon(self.listen, self.process)

    async def listen(self, process: trio.Process) -> None:
        """Hand answers to whoever waits; when the process ends, tell all others."""
        assert process.stdout is not None
        async with process.stdout:
            async for line in lines(process.stdout):
                answer = json.loads(line)
                event, slot = self.waiting.pop(answer["id"], (trio.Event(), {}))
                slot.update(answer)
                event.set()
        for event, _ in self.waiting.values():
            event.set()
        self.waiting.clear()

    async def kill(self) -> None:
        """SIGKILL, as a power cut is for the process."""
        assert self.process is not None
        assert self.process.returncode is None, f"{self.name} ended by itself"
        self.process.kill()
        self.kills += 1
        with trio.CancelScope(shield=True):
            assert -signal.SIGKILL == await self.process.wait()
        assert self.process.stdin is not None
        await self.process.stdin.aclose()

    async def ask(self, number: int, key: str, value: int | None) -> dict[str, Any]:
        """Put a request; an empty answer means that nobody knows."""
        process = self.process
        if process is None or process.returncode is not None:
            return {"never": "down"}
        event, slot = self.waiting[number] = trio.Event(), {}
        request = json.dumps({"id": number, "key": key, "value": value})
        assert process.stdin is not None
        try:
            async with self.sending:
                await process.stdin.send_all(request.encode() + b"\n")
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return slot  # part of it may have arrived
        with trio.move_on_after(1.5):
            await event.wait()
        self.waiting.pop(number, None)
        return slot


@define
class Run:
    """Clients, a killer, and what the clients saw."""

    nodes: dict[str, Node]
    random: Random
    history: list[Operation] = field(factory=list)
    counts: Counter[str] = field(factory=Counter)
    leader: str = NAMES[0]
    number: int = 0
    appends: int = 0
    stop: bool = False

    async def client(self) -> None:
        """One request after the other, mostly to who is said to lead."""
        while not self.stop:
            name = self.leader if self.random.random() < 0.8 else self.random.choice(NAMES)
            append = self.random.random() < 0.6
            await self.call(name, f"k{self.appends // KEY_LIFE}", append=append)
            await trio.sleep(0.005)

    async def call(self, name: str, key: str, *, append: bool) -> dict[str, Any]:
        """One operation, into the history if anybody could have noticed it."""
        self.number += 1
        self.appends += append
        value = self.number if append else None
        invoked = trio.current_time()
        answer = await self.nodes[name].ask(self.number, key, value)
        self.leader = answer.get("leader") or self.random.choice(NAMES)
        returned = trio.current_time()
        if "seen" in answer:
            seen = tuple(answer["seen"])
            self.history.append(Operation(key, invoked, returned, value, seen))
            self.counts["append" if append else "read"] += 1
        elif append and "never" not in answer:
            self.history.append(Operation(key, invoked, float("inf"), value, None))
            self.counts["unknown"] += 1
        return answer

    async def killer(self, nursery: trio.Nursery) -> None:
        """Kill one after the other, sometimes all at once; start them again.

        For some seconds, and on a slow machine until there is something to check.
        """
        end = trio.current_time() + SECONDS
        while trio.current_time() < end or self.counts["append"] < APPENDS_MIN:
            await trio.sleep(self.random.uniform(0.3, 0.9))
            among = NAMES if self.random.random() < 0.15 else (self.random.choice(NAMES),)
            for name in among:
                await self.nodes[name].kill()
            await trio.sleep(self.random.choice((0, 0, 0.2, 0.6)))
            for name in among:
                await self.nodes[name].start(nursery)

    async def final(self, name: str, key: str) -> list[int]:
        """What this server says that a list is, after all."""
        while True:
            answer = await self.call(name, key, append=False)
            if "seen" in answer:
                seen: list[int] = answer["seen"]
                return seen
            await trio.sleep(0.05)


def free_addresses(random: Random) -> dict[str, str]:
    """Ports below those that the system gives to outgoing connections."""
    addresses: dict[str, str] = {}
    while len(addresses) < len(NAMES):
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        addresses[NAMES[len(addresses)]] = f"127.0.0.1:{port}"
    return addresses


async def play(directory: Path, random: Random) -> tuple[Run, dict[str, list[list[int]]]]:
    """Load and kills, then everybody's last word on every list."""
    addresses = json.dumps(free_addresses(Random()))
    nodes = {}
    for name in NAMES:
        home = directory / name
        home.mkdir()
        nodes[name] = Node(name, [sys.executable, __file__, name, str(home), addresses])
    run = Run(nodes, random)
    async with trio.open_nursery() as nursery:
        try:
            for node in nodes.values():
                await node.start(nursery)
            async with trio.open_nursery() as clients:
                for _ in range(CLIENTS):
                    clients.start_soon(run.client)
                await run.killer(nursery)
                run.stop = True
            keys = sorted({operation.key for operation in run.history})
            finals = {key: [await run.final(name, key) for name in NAMES] for key in keys}
        finally:
            for node in nodes.values():
                if node.process is not None and node.process.returncode is None:
                    await node.kill()
    return run, finals


async def test_nothing_acknowledged_is_lost_when_processes_are_killed(tmp_path, run_seed):
    """Every acknowledged append is there, everybody agrees, and some order explains all answers."""
    with trio.fail_after(120):
        run, finals = await play(tmp_path, Random(run_seed))

    told = [each for each in run.history if each.value is not None and each.seen is not None]
    lost = [each for each in told if each.value not in finals[each.key][0]]
    assert [] == lost
    assert all(first == other for first, *others in finals.values() for other in others)
    assert unexplained(run.history) is None
    assert sum(node.kills for node in run.nodes.values()) >= 5 + len(NAMES)
    assert run.counts["read"] >= 20


if __name__ == "__main__":
    trio.run(serve, sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
