"""Servers that come, are lost, come back without a disk, or leave: the cluster follows."""

from __future__ import annotations

import pytest
import trio

from catalog import Agent, Unavailable
from catalog.housekeeping import ForceLeave
from catalog.operations import Health, Join, Peers, RemovePeer, TransferLeadership
from catalog.requests import Nodes
from catalog.server.autopilot import Rules

PATIENCE = 40.0
RULES = Rules(interval=0.1, stable_seconds=0.3, contact_seconds_max=2.0)


async def voters_of(agent: Agent) -> list[str]:
    """Return the names of the voters, as an agent says."""
    report = await agent.ask(Peers())
    return [peer.name for peer in report.peers if peer.voter]


async def test_a_fourth_server_becomes_a_voter_and_takes_the_place_of_a_dead_one(
    agents, eventually
):
    """Three founded the cluster and three remain, whoever fails; nothing written is lost."""
    servers = await agents.start_three(autopilot=RULES)
    await servers["s1"].put("key", b"before")
    fourth = await agents.start_server("s4", join=[servers["s1"].address], autopilot=RULES)

    async def votes() -> bool:
        return ["s1", "s2", "s3", "s4"] == await voters_of(fourth)

    await eventually(votes)
    assert b"before" == (await fourth.get("key")).value
    await agents.crash("s3")

    async def is_removed() -> bool:
        return ["s1", "s2", "s4"] == await voters_of(fourth)

    await eventually(is_removed)
    await agents.crash("s2")
    await servers["s1"].put("key", b"two of three")

    async def is_seen_as_lost() -> bool:
        report = await fourth.ask(Health())
        lost = [one.name for one in report.servers if one.standing == "lost" and one.voter]
        return ["s2"] == lost and (False, 0) == (report.healthy, report.failure_tolerance)

    await eventually(is_seen_as_lost)
    assert ["s1", "s2", "s4"] == await voters_of(fourth)  # never below the number that founded it


async def test_a_server_that_was_let_in_restarts_from_its_disk(agents, eventually):
    """What let it in is forgotten neither by it nor by the others."""
    first = await agents.start_server("s1", bootstrap_expect=1, autopilot=RULES)
    settings = {"join": [first.address], "autopilot": RULES}
    await agents.start_server("s2", **settings)

    async def votes() -> bool:
        return ["s1", "s2"] == await voters_of(first)

    await eventually(votes)
    await agents.crash("s2")
    again = await agents.start_server("s2", **settings)
    with trio.fail_after(PATIENCE):
        await again.put("key", b"both are needed")
    assert ["s1", "s2"] == await voters_of(again)


async def test_a_server_without_its_disk_is_removed_then_let_in_anew(agents, eventually):
    """Under its old name: what it had promised counts for nothing, and it votes again later."""
    servers = await agents.start_three(autopilot=RULES)
    leader = await servers["s1"].wait_leader()
    lost = next(name for name in servers if name != leader)
    rest = next(server for name, server in servers.items() if name != lost)
    await rest.put("key", b"value")
    await agents.crash(lost)
    again = await agents.start(
        lost, server=True, bootstrap_expect=3, join=[rest.address], autopilot=RULES
    )

    async def is_let_in() -> bool:
        return bool((await again.info())["state"] == "running")

    await eventually(is_let_in)

    async def votes() -> bool:
        return ["s1", "s2", "s3"] == await voters_of(rest)

    await eventually(votes)
    found = await again.get("key")
    assert found is not None
    assert b"value" == found.value


async def test_a_leader_that_leaves_hands_over_and_is_removed(agents, eventually):
    """Its successor leads before it is gone, and says so; come back, it votes again."""
    servers = await agents.start_three(autopilot=RULES)
    leader = await servers["s1"].wait_leader()
    rest = next(server for name, server in servers.items() if name != leader)
    with trio.fail_after(PATIENCE):
        await servers[leader].leave()
    assert sorted(set(servers) - {leader}) == await voters_of(rest)
    await agents.crash(leader)
    await rest.put("key", b"value")
    again = await agents.start_server(leader, join=[rest.address], autopilot=RULES)

    async def votes() -> bool:
        return ["s1", "s2", "s3"] == await voters_of(rest)

    await eventually(votes)
    found = await again.get("key")
    assert found is not None
    assert b"value" == found.value


async def test_leadership_is_transferred_and_peers_are_removed_by_request(agents, eventually):
    """At any agent; what makes no sense is refused with the names there are."""
    servers = await agents.start_three(autopilot=RULES)
    client = await agents.start("c1", join=[servers["s2"].address])
    leader = await client.wait_leader()
    to = next(name for name in servers if name != leader)
    assert to == await client.ask(TransferLeadership(to))

    async def leads() -> bool:
        report = await client.ask(Peers())
        return [to] == [peer.name for peer in report.peers if peer.leader]

    await eventually(leads)
    with pytest.raises(ValueError, match="there are: s1, s2, s3"):
        await client.ask(TransferLeadership("c1"))
    with pytest.raises(ValueError, match="there are: s1, s2, s3"):
        await client.ask(RemovePeer("c1"))
    await agents.crash(leader)
    await client.ask(RemovePeer(leader))
    assert leader not in await voters_of(client)
    assert await client.ask(TransferLeadership()) not in (to, leader)


async def test_a_failed_server_is_made_to_leave(agents, eventually):
    """Its vote and its node go, though two remain of three; the living are not made to leave."""
    servers = await agents.start_three(autopilot=RULES)
    client = await agents.start("c1", join=[servers["s1"].address])
    with pytest.raises(ValueError, match="'s3' has not failed, as c1 sees it; nothing changed"):
        await client.ask(ForceLeave("s3"))
    await agents.crash("s3")

    async def has_left() -> bool:
        try:
            await client.ask(ForceLeave("s3"))
        except ValueError:  # gossip has not noticed yet
            return False
        return True

    await eventually(has_left)

    async def is_gone() -> bool:
        nodes = (await client.ask(Nodes())).value
        return ["s1", "s2"] == await voters_of(client) and ["c1", "s1", "s2"] == sorted(
            view.node.name for view in nodes
        )

    await eventually(is_gone)


async def test_a_voters_name_is_not_given_away(agents):
    """While its owner lives or may come back, a newcomer of that name has to wait."""
    servers = await agents.start_three(autopilot=RULES)
    digest = (await servers["s1"].info())["epoch"]
    with pytest.raises(Unavailable, match="a voter is called 's2'"):
        await servers["s1"].ask(Join("s2", digest))
    with pytest.raises(ValueError, match="this is"):
        await servers["s1"].ask(Join("s9", "another"))
