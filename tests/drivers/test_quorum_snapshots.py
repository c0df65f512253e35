"""Tests of snapshots in the driver: taken in chunks while the log goes on, and when they fail."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import evolve

from quorum import (
    CommandMachine,
    Config,
    Entry,
    JournalStorage,
    MachineFailed,
    Members,
    MemoryNetwork,
    MemoryStorage,
    Sessions,
    Storage,
    open_server,
)
from quorum.testing import FaultyDisk

ALONE = Members(voters=("ann",))
CONFIG = Config(heartbeat=0.02, election_timeout=0.15, snapshot_entries=20, tail_entries=0)


class Chunked(CommandMachine):
    """Remembers commands; its snapshots come a command at a time, when `gate` lets them."""

    def __init__(self) -> None:
        self.commands: tuple[bytes, ...] = ()
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Event()
        self.restored_in: list[str] = []
        self.lines: Callable[[tuple[bytes, ...]], Iterator[bytes]] = self._lines

    def command(self, entry: Entry) -> int:
        """Append; what a snapshot under way refers to stays as it is."""
        self.commands = (*self.commands, entry.payload)
        return len(self.commands)

    def snapshot(self) -> Iterator[bytes]:
        """A line for each command."""
        return self.lines(self.commands)

    def _lines(self, commands: tuple[bytes, ...]) -> Iterator[bytes]:
        for command in commands:
            self.begun.set()
            self.gate.wait()
            yield command + b"\n"

    def restore(self, snapshot: bytes) -> None:
        """Not used: see `restore_chunks`."""
        raise AssertionError("the machine would rather have chunks")

    def restore_chunks(self, chunks: Iterator[bytes]) -> Callable[[], None]:
        """The inverse of `snapshot`."""
        commands = tuple(b"".join(chunks).splitlines())
        self.restored_in.append(threading.current_thread().name)

        def put_in_place() -> None:
            self.commands = commands
            self.restored_in.append(threading.current_thread().name)

        return put_in_place


def opened(machine, storage: Storage, config: Config = CONFIG):
    links = MemoryNetwork().link("ann")
    return open_server("ann", machine, storage=storage, links=links, config=config)


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(10):
        while not condition():  # noqa: ASYNC110 - a thread sets it
            await trio.sleep(0.005)


@pytest.fixture(params=["memory", "journal"])
def make_storage(request, tmp_path) -> Callable[[], Storage]:
    """Storages over the same place."""
    memory = MemoryStorage(members=ALONE)
    if request.param == "memory":
        return lambda: memory
    return lambda: JournalStorage(tmp_path, node="ann", cluster="test", members=ALONE)


@pytest.mark.parametrize("sessions", [False, True])
async def test_writes_are_acknowledged_while_a_slow_snapshot_is_under_way(make_storage, sessions):
    """It has what was applied before it began; what came meanwhile is still in the log."""
    machine = Chunked()
    async with opened(Sessions(machine) if sessions else machine, make_storage()) as server:
        await server.wait_leader()
        machine.gate.clear()
        for number in range(19):
            await server.propose(b"%d" % number)
        await until(machine.begun.is_set)
        with trio.fail_after(10):
            for number in range(19, 60):
                await server.propose(b"%d" % number)
        assert 0 == server.statistics().snapshot_index
        machine.gate.set()
        await until(lambda: server.statistics().snapshot_index == 20)
        assert 21 == server.statistics().first_index
        await until(lambda: server.counters().snapshots_taken >= 1)
    again = Chunked()
    async with opened(Sessions(again) if sessions else again, make_storage()) as server:
        await until(lambda: server.applied_index > 61)
    assert tuple(b"%d" % number for number in range(60)) == again.commands
    in_thread, in_loop = again.restored_in
    assert in_thread != threading.current_thread().name == in_loop


async def test_a_server_that_stops_does_not_wait_for_its_snapshot(make_storage):
    """No more than for the chunk that is being made."""
    machine = Chunked()
    made = 0

    def endless(_: tuple[bytes, ...]) -> Iterator[bytes]:
        nonlocal made
        while True:
            made += 1
            machine.begun.set()
            yield b"x"

    machine.lines = endless
    with trio.fail_after(10):
        async with opened(machine, make_storage()) as server:
            await server.wait_leader()
            await server.propose_many([b"x"] * 30)
            await until(machine.begun.is_set)
    storage = make_storage()
    assert 0 == (await storage.load()).mark.index
    await storage.close()


def breaks(commands: tuple[bytes, ...]) -> Iterator[bytes]:
    """Half a snapshot."""
    yield commands[0]
    raise KeyError("broken")


def mixes(commands: tuple[bytes, ...]) -> Iterator[Any]:
    """A chunk that is none."""
    yield commands[0]
    yield commands[0].decode()


def nothing(_: tuple[bytes, ...]) -> Any:
    """What a forgotten `return` gives."""


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [(breaks, "KeyError"), (mixes, "a chunk is bytes, not str"), (nothing, "not iterable")],
)
async def test_a_snapshot_that_breaks_in_the_middle_stops_the_server(
    make_storage, lines, complaint
):
    """As one does that breaks at once; the log still has everything."""
    machine = Chunked()
    machine.lines = lines
    with pytest.raises(MachineFailed, match=complaint):  # noqa: PT012 - the block is the point
        async with opened(machine, make_storage()) as server:
            await server.wait_leader()
            await server.propose_many([b"x"] * 30)
            await trio.sleep_forever()
    again = Chunked()
    async with opened(again, make_storage(), evolve(CONFIG, snapshot_entries=1000)) as server:
        await until(lambda: server.applied_index > 31)
    assert (b"x",) * 30 == again.commands


async def test_a_full_disk_in_the_middle_of_a_snapshot_stops_nothing(autojump_clock, caplog):
    """The older snapshot and the log remain, it is said, and tried again when there is room."""
    disk, full = FaultyDisk(), False

    def before(name: str, _: int) -> None:
        if full and name == "write" and any(".new" in each for each in disk.names(Path("/j"))):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    disk.before = before
    storage = JournalStorage(
        Path("/j"), node="ann", cluster="test", members=ALONE, disk=disk, sync_inline=True
    )
    machine = Chunked()
    async with opened(machine, storage) as server:
        await server.wait_leader()
        await server.propose_many([b"x"] * 30)
        await trio.sleep(1)
        before_it = server.statistics().snapshot_index
        assert before_it > 0
        full = True
        for number in range(60):
            assert 31 + number == await server.propose(b"y")
        assert before_it == server.statistics().snapshot_index
        assert 1 == server.counters().snapshots_not_saved
        assert "no space is left" in caplog.text
        full = False
        await trio.sleep(11)
        await server.propose(b"z")
        await trio.sleep(1)
        assert server.statistics().last_index == server.statistics().snapshot_index
        assert 0 == sum(".new" in name for name in disk.names(Path("/j")))
