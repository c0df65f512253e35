"""Three servers and their clients: founding, forwarding, losing a leader, leaving."""

from __future__ import annotations

import logging

import pytest
import trio
from attrs import evolve

from catalog import (
    Change,
    Consistency,
    NoLeader,
    NoServers,
    Service,
    StartError,
    Status,
    View,
    connect,
)
from catalog.requests import Lookup

PATIENCE = 40.0


async def leader_of(servers):
    """Return the name of the leader."""
    with trio.fail_after(PATIENCE):
        return await next(iter(servers.values())).wait_leader()


async def test_all_servers_and_clients_show_the_same_catalog(agents, eventually):
    """Whoever is asked to write passes it on; whoever is asked to read has everything."""
    servers = await agents.start_three()
    client = await agents.start("c1", join=[servers["s2"].address])
    for name, agent in {**servers, "c1": client}.items():
        await agent.register(Service("web", port=80, tags=[name]))

    found = [await agent.lookup("web") for agent in (*servers.values(), client)]
    assert ["c1", "s1", "s2", "s3"] == [one.node.name for one in found[0].instances]
    assert [found[0]] * 4 == found
    assert ("c1", "s1", "s2", "s3") == (await client.services())["web"]

    async def has_all_servers() -> bool:
        there = await client.lookup("consul")
        return list(servers) == [one.node.name for one in there.instances]

    await eventually(has_all_servers)

    async def has_met_all() -> bool:
        nodes = await client.nodes()
        return 4 == sum(
            one.health is not None and one.health.status is Status.PASSING for one in nodes
        )

    await eventually(has_met_all)
    info = await servers["s1"].info()
    assert {name: server.address for name, server in servers.items()} == info["peers"]
    assert await leader_of(servers) == await client.wait_leader()


async def test_a_lost_leader_is_replaced_and_nothing_is_lost(agents, eventually):
    """Writes go on, a subscription resumes without a gap, the node turns critical, and back."""
    servers = await agents.start_three()
    lost = await leader_of(servers)
    client = await agents.start("c1", join=[server.address for server in servers.values()])
    await servers[lost].register(Service("web", "first"))
    async with client.subscribe("web") as web:
        first = await anext(web)
        await agents.crash(lost)
        survivors = {name: server for name, server in servers.items() if name != lost}
        with trio.fail_after(PATIENCE):
            index = await client.put("key", b"after the crash")
            assert lost != await leader_of(survivors)
            for number in range(3):
                await client.register(Service("web", f"later-{number}"))
            news: list[View | Change] = [first]
            healthy: list[str] = []
            while healthy != ["later-0", "later-1", "later-2"]:
                news.append(await anext(web))
                healthy = [one.service.id for one in web.view.select(healthy=True).instances]
        changes = [one for one in news[1:] if isinstance(one, Change)]

        assert isinstance(first, View)
        assert ["first"] == [one.service.id for one in first.instances]
        assert len(news) - 1 == len(changes)
        assert sorted(changes, key=lambda one: one.index) == changes
        assert web.connected

        address = await client.info()
        servers[lost] = await agents.start_server(lost, join=[address["address"]])
        with trio.fail_after(PATIENCE):
            await servers[lost].wait_leader()
        found = await servers[lost].get("key")
        assert found is not None
        assert (b"after the crash", index) == (found.value, found.modify_index)

        async def is_back() -> bool:
            node = {one.node.name: one for one in await client.nodes()}[lost]
            return node.health is not None and node.health.status is Status.PASSING

        await eventually(is_back)


async def test_the_services_of_a_dead_client_leave_the_healthy_ones(agents, eventually):
    """Gossip finds out, the leader writes it down, subscribers see it."""
    servers = await agents.start_three()
    client = await agents.start("c1", join=[servers["s1"].address])
    await client.register(Service("web", "dead"))
    await servers["s1"].register(Service("web", "alive"))
    async with servers["s3"].subscribe("web") as web:
        await anext(web)
        await agents.crash("c1")

        async def is_gone() -> bool:
            return ["alive"] == [one.service.id for one in web.view.select(healthy=True).instances]

        await eventually(is_gone)
        assert 2 == len(web.view.instances)


async def test_who_leaves_takes_its_services_along(agents, eventually):
    """The node is gone from the catalog, and was never called failed; a leader hands over."""
    servers = await agents.start_three()
    leaver = await leader_of(servers)
    others = [server for name, server in servers.items() if name != leaver]
    await servers[leaver].register(Service("web"))
    with trio.fail_after(PATIENCE):
        await servers[leaver].leave()
    await agents.crash(leaver)

    async def is_gone() -> bool:
        return leaver not in [one.node.name for one in await others[0].nodes()]

    await eventually(is_gone)
    assert () == (await others[0].lookup("web", healthy=False)).instances
    assert {"left", "alive"} == {one.health.value for one in await others[1].members()}


async def test_without_a_majority_reads_go_stale_and_writes_fail(agents, eventually):
    """A lone server says so, keeps answering stale questions, and registers later."""
    servers = await agents.start_three(hold=0.5)
    await servers["s1"].put("key", b"old")

    async def is_there() -> bool:
        return await servers["s1"].get("key", consistency=Consistency.STALE) is not None

    await eventually(is_there)
    await agents.crash("s2")
    await agents.crash("s3")

    async def has_no_leader() -> bool:
        return (await servers["s1"].info())["leader"] is None

    await eventually(has_no_leader)
    with pytest.raises(NoLeader, match="nothing was written"):
        await servers["s1"].put("key", b"new")
    with pytest.raises(NoLeader):
        await servers["s1"].get("key")
    with pytest.raises(NoLeader):
        await servers["s1"].register(Service("web"))
    stale = await servers["s1"].get("key", consistency=Consistency.STALE)
    assert stale is not None
    assert b"old" == stale.value

    await agents.start_server("s2", join=[servers["s1"].address])

    async def is_registered() -> bool:
        try:
            return bool((await servers["s1"].lookup("web")).instances)
        except NoLeader:
            return False

    await eventually(is_registered)


async def test_servers_that_expect_different_numbers_found_nothing(agents, eventually, caplog):
    """They say what to do, and take no requests."""
    caplog.set_level(logging.ERROR, logger="catalog")
    first = await agents.start_server("s1", bootstrap_expect=4)
    for name in ("s2", "s3"):
        await agents.start_server(name, bootstrap_expect=4, join=[first.address])
    odd = await agents.start_server("s4", bootstrap_expect=3, join=[first.address], hold=0.1)

    async def is_said() -> bool:
        return "start all of them with the same bootstrap_expect" in caplog.text

    await eventually(is_said)
    with pytest.raises(NoLeader, match="s4 expects 3 servers, but s1 expects 4"):
        await odd.put("key", b"value")
    assert "expects 4" in (await odd.info())["state"]


async def test_other_clusters_are_refused(agents):
    """By name, when joining and when connecting."""
    first = await agents.start("s1", server=True, bootstrap_expect=1)
    with pytest.raises(StartError, match="see that its cluster is 'other'"):
        async with agents.open("c1", cluster="other", join=[first.address]):
            pass
    with pytest.raises(NoServers, match="belongs to cluster 'default'"):
        async with connect(first.address, cluster="other"):
            pass


async def test_a_client_goes_on_elsewhere_when_its_agent_dies(agents, eventually):
    """Questions and subscriptions find another agent; what concerns the dead one fails."""
    servers = await agents.start_three()
    lost = next(name for name in servers if name != "s1")
    async with connect(servers[lost].address, hold=3) as client, client.subscribe("web") as web:
        await anext(web)

        async def has_learned() -> bool:
            return len(client._servers) == 3

        await eventually(has_learned)
        await agents.crash(lost)
        await servers["s1"].register(Service("web"))
        with trio.fail_after(PATIENCE):
            change = await anext(web)
            found = await client.lookup("web")

        assert isinstance(change, Change)
        assert web.view.instances == found.instances
        with pytest.raises(NoServers, match=servers[lost].address):
            await client.members()


async def test_thousands_of_blocked_queries_fit_behind_one_client(agents, eventually):
    """All go to a server by one connection; none is refused, and one change answers all."""
    count = 2000
    server = await agents.start_server("s1", bootstrap_expect=1)
    await leader_of({"s1": server})
    client = await agents.start("c1", join=[server.address])
    question = Lookup("web")
    before = (await client.ask(question)).index
    found = []

    async def wait() -> None:
        reply = await client.ask(evolve(question, after=before, wait=600.0))
        found.append([one.service.port for one in reply.value.instances])

    async def all_wait() -> bool:
        there: int = server._serving.waiting
        return count == there

    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(wait)
            await eventually(all_wait)
            assert [] == found
            await server.register(Service("web", port=80))

    assert [[80]] * count == found
    assert 0 == server._serving.waiting
