"""A damaged server's place is taken by a new one, with everything that the others have."""

from __future__ import annotations

import pytest
import trio

from quorum import CorruptJournal, JournalStorage, Members
from quorum.replace import main


async def test_a_damaged_server_is_replaced_and_nothing_is_lost(real_cluster, tmp_path):
    """From the error, by what it tells to run, to a cluster of three that survives another loss."""
    cluster = real_cluster

    def storage(name):
        # A new server lives where the damaged one did; its name is its own.
        place = "ann" if name == "dan" else name
        founding = cluster.members if name in cluster.members.voters else None
        return JournalStorage(tmp_path / place, node=name, cluster="c", members=founding)

    cluster.make_storage = storage
    with trio.fail_after(20):
        await cluster.start()
        leader = await cluster.leader()
        if leader.id == "ann":
            await leader.transfer_leadership("bob")
        leader = await cluster.leader(among=("bob", "cem"))
        await leader.propose_many([b"%d" % number for number in range(20)])
        await cluster.agree()
        await cluster.stop("ann")
        segment = min((tmp_path / "ann").glob("journal-*"))
        data = bytearray(segment.read_bytes())
        data[300] ^= 1
        segment.write_bytes(data)
        before = segment.read_bytes()

        with pytest.raises(CorruptJournal, match=r"python -m quorum\.replace"):
            await storage("ann").load()
        assert before == segment.read_bytes()
        assert main([str(tmp_path / "ann"), "--yes"]) == 0
        await cluster.start("dan")
        with pytest.raises(ValueError, match="nothing was changed"):
            await leader.replace_member("dan", "ann")
        await leader.replace_member("ann", "dan", "nowhere:1")
        wanted = Members(voters=("bob", "cem", "dan"), addresses=(("dan", "nowhere:1"),))
        while leader.statistics().members != wanted:  # noqa: ASYNC110
            await trio.sleep(0.01)
        assert 21 == await leader.propose(b"new")
        assert 21 == len(await cluster.agree())
        await cluster.stop(leader.id)
        leader = await cluster.leader()
        assert 22 == await leader.propose(b"newer")
