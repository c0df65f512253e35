"""Tests of rolling upgrades: servers get a newer machine one by one, then all switch at once."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from quorum import (
    ChangeRefused,
    CommandMachine,
    Entry,
    MachineFailed,
    MachineTooOld,
    Members,
    MemoryNetwork,
    MemoryStorage,
    NotLeader,
    Sessions,
    open_server,
)


@pytest.fixture
def release(machine):
    """Makes machines of a release: from version 2 on a command counts twice."""

    class Release(type(machine)):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.rules = 1

        def upgrade(self, version: int) -> None:
            self.rules = version

        def command(self, entry: Entry) -> Any:
            for _ in range(self.rules):
                result = super().command(entry)
            return result

    def make(number: int) -> type:
        return type(f"Release{number}", (Release,), {"version": number})

    return make


async def test_three_servers_are_upgraded_one_by_one(autojump_clock, cluster, release):
    """Without a pause in service, and without two servers that disagree at any moment."""
    cluster.config = evolve(cluster.config, snapshot_entries=8, tail_entries=0)
    cluster.make_machine = release(1)
    await cluster.start()
    leader = await cluster.leader()
    await leader.propose(b"a")
    with pytest.raises(ChangeRefused, match="does not understand this version"):
        await leader.upgrade(2)
    cluster.make_machine = release(2)
    for name in ("ann", "bob", "cem"):
        await cluster.stop(name)
        await (await cluster.leader()).propose(b"while %s is away" % name.encode())
        await cluster.start(name)
    leader = await cluster.leader()
    assert 5 == await leader.propose(b"b")
    await leader.read_barrier()
    await leader.upgrade(2)
    assert 2 == leader.statistics().version
    assert 7 == await leader.propose(b"c")
    with pytest.raises(NotLeader):
        await cluster.followers(leader)[0].upgrade(2)
    with pytest.raises(ValueError, match="must be 1 to"):
        await leader.upgrade(0)
    expected = await cluster.agree()
    assert [b"b", b"c", b"c"] == expected[-3:]
    for number in range(10):
        await leader.propose(b"%d" % number)
    assert {2} == {server.statistics().version for server in cluster.servers.values()}
    for name in tuple(cluster.servers):
        await cluster.stop(name)
    await cluster.start()
    await cluster.leader()
    assert 27 == len(await cluster.agree())
    assert {2} == {machine.rules for machine in cluster.machines.values()}


async def test_a_server_that_is_too_old_stops_at_the_switch(autojump_clock, cluster, release):
    """It applies nothing by wrong rules, says what to do, and comes back with the new release."""
    cluster.make_machine = release(2)
    await cluster.start()
    leader = await cluster.leader()
    old = cluster.followers(leader)[0].id
    await leader.propose(b"a")
    await leader.read_barrier()
    await cluster.stop(old)
    await leader.upgrade(2)
    assert 3 == await leader.propose(b"b")
    cluster.make_machine = release(1)
    await cluster.start(old)
    await cluster.wait_ended(old)
    error = cluster.failures.pop(old)
    assert MachineTooOld is type(error)
    assert "goes by version 2 of the machine's commands, the machine here understands" in str(error)
    assert [b"a"] == cluster.machines[old].commands
    cluster.make_machine = release(2)
    await cluster.start(old)
    assert [b"a", b"b", b"b"] == await cluster.agree()


async def test_a_server_that_is_too_old_for_its_snapshot_does_not_start(
    autojump_clock, cluster, release
):
    """Its own, or the one that it is given when it joins."""
    cluster.config = evolve(cluster.config, snapshot_entries=5, tail_entries=0)
    cluster.make_machine = release(2)
    await cluster.start()
    leader = await cluster.leader()
    await leader.propose(b"a")
    await leader.read_barrier()
    await leader.upgrade(2)
    await leader.propose_many([b"b"] * 10)
    await cluster.agree()
    name = cluster.followers(leader)[0].id
    await cluster.stop(name)
    links, storage = cluster.network.link(name), cluster.storages[name]
    with pytest.raises(MachineTooOld, match="nothing was applied by wrong rules"):
        async with open_server(name, release(1)(), storage=storage, links=links):
            pytest.fail("the server was opened")
    cluster.make_machine = release(1)
    await cluster.start("dan", members=Members())
    members = leader.statistics().members
    await leader.change_members(evolve(members, learners=("dan",)))
    await cluster.wait_ended("dan")
    assert MachineTooOld is type(cluster.failures.pop("dan"))


class Broken(CommandMachine):
    """Cannot go on to version 2."""

    version = 2

    def upgrade(self, version: int) -> None:
        """Works for the beginning only."""
        if version > 1:
            raise KeyError("broken")

    def command(self, entry: Entry) -> None:
        """Do nothing."""

    def snapshot(self) -> bytes:
        """Hold nothing."""
        return b""

    def restore(self, snapshot: bytes) -> None:
        """Take over nothing."""


@pytest.mark.parametrize("wrap", [lambda machine: machine, Sessions])
async def test_a_machine_that_cannot_switch_stops_its_server(autojump_clock, wrap):
    """Also one with sessions around it, which say the same version as the machine inside."""
    storage = MemoryStorage(members=Members(voters=("ann",)))
    links = MemoryNetwork().link("ann")
    with pytest.raises(MachineFailed, match="going on to version 2"):  # noqa: PT012 - the block is the point
        async with open_server("ann", wrap(Broken()), storage=storage, links=links) as server:
            await server.wait_leader()
            with pytest.raises(ChangeRefused):
                await server.upgrade(3)
            await server.upgrade(2)
