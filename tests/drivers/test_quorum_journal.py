"""Tests of the driver on a real disk: a cluster whose servers keep journals."""

from __future__ import annotations

import pytest
import trio
from attrs import evolve

from quorum import JournalStorage, StorageError, open_server


@pytest.mark.parametrize("sync_inline", [True, False, None])
async def test_servers_come_back_from_their_journals(real_cluster, tmp_path, sync_inline):
    """Stop all, start all: what was acknowledged is there, from log and from snapshots."""
    cluster = real_cluster
    cluster.config = evolve(cluster.config, snapshot_entries=20, tail_entries=5)
    cluster.make_storage = lambda name: JournalStorage(
        tmp_path / name,
        node=name,
        cluster="test",
        members=cluster.members,
        sync_inline=sync_inline,
    )
    expected = []
    with trio.fail_after(30):
        for life in range(3):
            await cluster.start()
            leader = await cluster.leader()
            for number in range(15):
                command = b"%d of life %d" % (number, life)
                await leader.propose(command)
                expected.append(command)
            assert expected == await cluster.agree()
            for name in tuple(cluster.servers):
                await cluster.stop(name)


async def test_a_directory_in_use_stops_the_second_server_only(real_cluster, machine, tmp_path):
    """Its error comes out of `open_server`; the first server goes on."""
    cluster = real_cluster
    cluster.make_storage = lambda _: JournalStorage(
        tmp_path, node="ann", cluster="test", members=cluster.members
    )
    await cluster.start("ann")
    links, storage = cluster.network.link("bob"), cluster.make_storage("ann")
    with pytest.raises(StorageError, match="in use"):
        async with open_server("ann", machine, storage=storage, links=links):
            pytest.fail("the server was opened")
    assert {"ann"} == set(cluster.servers)
