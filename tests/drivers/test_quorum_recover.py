"""quorum.recover on a cluster that has lost two of its three disks."""

from __future__ import annotations

import shutil

import trio

from quorum import JournalStorage, Members
from quorum.recover import main


async def test_one_of_three_goes_on_and_is_joined_by_new_servers(real_cluster, tmp_path):
    """Nothing that the survivor had is lost, and new servers receive it."""
    cluster = real_cluster
    members = cluster.members

    def storage(name):
        initial = members if name in members.voters else Members()
        return JournalStorage(tmp_path / name, node=name, cluster="c", members=initial, sync=False)

    cluster.make_storage = storage
    with trio.fail_after(20):
        await cluster.start()
        leader = await cluster.leader()
        await leader.propose_many([b"%d" % number for number in range(20)])
        expected = await cluster.agree()
        survivor = cluster.followers(leader)[0].id
        for name in tuple(cluster.servers):
            await cluster.stop(name)
        for name in members.voters:
            if name != survivor:
                shutil.rmtree(tmp_path / name)

        assert main([str(tmp_path / survivor), "--members", survivor, "--yes"]) == 0
        await cluster.start(survivor)
        leader = await cluster.leader()
        assert expected == cluster.machines[survivor].commands
        assert (survivor,) == leader.statistics().members.voters

        await cluster.start("dan", "eve", members=Members())
        await leader.change_members(Members(voters=(survivor, "dan", "eve")))
        await leader.propose(b"new")
        assert [*expected, b"new"] == await cluster.agree()
        await cluster.stop(survivor)
        successor = await cluster.leader()
        assert 22 == await successor.propose(b"newer")
