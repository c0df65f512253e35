"""Locks, drained services, copies and what survives, in a real cluster."""

from __future__ import annotations

import pytest
import trio

from catalog import NoServers, Refused, Service, SessionLost, connect
from catalog.answers import Refusal

PATIENCE = 40.0


async def leader_of(servers):
    """Return the name of the leader."""
    with trio.fail_after(PATIENCE):
        return await next(iter(servers.values())).wait_leader()


async def test_a_lock_of_a_killed_agent_is_handed_over_after_its_delay(agents, nursery, eventually):
    """Gossip ends the session, the delay is kept, the token grows, the holder is told."""
    servers = await agents.start_three()
    client = await agents.start("c1", join=[servers["s1"].address])
    outcomes, holds = [], trio.Event()

    async def hold() -> None:
        try:
            async with client.lock("job", lock_delay=3.0, ttl=100.0) as held:
                outcomes.append(held.token)
                holds.set()
                await trio.sleep_forever()
        except SessionLost as error:
            outcomes.append(str(error))

    async def has_ended() -> bool:
        return not await servers["s2"].sessions()

    with trio.fail_after(PATIENCE):
        nursery.start_soon(hold)
        await holds.wait()
        await agents.crash("c1")
        await eventually(has_ended)  # by gossip, long before the TTL
        async with servers["s2"].session() as session:
            with pytest.raises(Refused) as early:
                await servers["s2"].acquire("job", session.id)
            async with session.lock("job") as held:
                second = held.token

    assert Refusal.LOCK_DELAYED is early.value.applied.refusal
    assert second.lock_index == outcomes[0].lock_index + 1
    assert "its connection has ended" in outcomes[1]


async def test_a_lock_outlives_the_leader(agents, nursery):
    """The servers change, its holder and token do not; the delay of an ended one is kept."""
    servers = await agents.start_three()
    lost = await leader_of(servers)
    others = [server for name, server in servers.items() if name != lost]
    with trio.fail_after(PATIENCE):
        async with others[0].lock("job") as held:
            await agents.crash(lost)
            with trio.move_on_after(2):
                async with others[1].lock("job"):
                    pytest.fail("it is held")
            await held.write(b"still here")
            assert not held.lost
            assert b"still here" == await others[1].leader("job")
            token = held.token
        async with others[1].lock("job") as held:
            assert held.token.lock_index == token.lock_index + 1


async def test_what_is_drained_or_maintained_is_seen_by_all(agents, eventually):
    """By its flag, or its critical check; both at another agent."""
    servers = await agents.start_three()
    await servers["s1"].register(Service("web", "a"))
    await servers["s2"].register(Service("web", "b"))

    async def seen() -> list[str]:
        return [one.service.id for one in (await servers["s3"].lookup("web")).instances]

    await servers["s1"].drain("a")
    assert ["b"] == await seen()
    found = (await servers["s3"].lookup("web", healthy=False)).instances
    assert [True, False] == [one.service.terminating for one in found]
    await servers["s1"].drain("a", terminating=False)
    await servers["s2"].maintain(reason="new disks")
    assert ["a"] == await seen()
    (sick,) = [one for one in await servers["s3"].nodes() if one.node.name == "s2"]
    assert ["new disks"] == [state.notes for state in sick.checks]
    await servers["s2"].maintain(enable=False)
    await servers["s1"].maintain("a", reason="repairs")
    assert ["b"] == await seen()


async def test_a_client_without_servers_answers_from_its_copies(agents, eventually):
    """What it was asked for before, with the age of that; other questions fail."""
    server = await agents.start_server("s1", bootstrap_expect=1)
    client = await agents.start("c1", join=[server.address], hold=0.3)
    await server.register(Service("web"))
    async with connect(client.address, hold=0.3) as user:

        async def is_copied() -> bool:
            return (await user.lookup("web", max_age=60.0)).cached

        await eventually(is_copied)
        await agents.crash("s1")
        await trio.sleep(0.5)
        with trio.fail_after(PATIENCE):
            found = await user.lookup("web", max_age=0.2)
            assert (True, 1) == (found.cached, len(found.instances))
            assert found.age > 0.4
            with pytest.raises(NoServers):
                await user.lookup("web")


async def test_registrations_survive_their_agent_and_removals_too(agents, eventually, tmp_path):
    """Of a client agent with a directory; the same name comes back with what it had."""
    server = await agents.start_server("s1", bootstrap_expect=1)
    settings = {"join": [server.address], "data_dir": tmp_path / "c1"}
    client = await agents.start("c1", **settings)
    async with connect(client.address) as user:
        await user.register(Service("web"))
        await user.register(Service("gone"))
        await user.deregister("gone")
    await client.register(Service("own"))
    await agents.crash("c1")

    async def is_critical() -> bool:
        return not (await server.lookup("web")).instances

    async def is_back() -> bool:
        return not await is_critical()

    async def has_forgotten() -> bool:
        return not {"own", "gone"} & set(await server.services())

    await eventually(is_critical)
    await agents.start("c1", **settings)
    await eventually(is_back)
    await eventually(has_forgotten)


async def test_when_most_clients_fail_at_once_they_stay_in_use(agents, eventually):
    """With protection against mass eviction; the answer says that it is at work."""
    servers = await agents.start_three(eviction_share=0.3, eviction_window=30.0)
    names = ["c1", "c2", "c3"]
    for name in names:
        client = await agents.start(name, join=[servers["s1"].address])
        await client.register(Service("web"))
    for name in names:
        agents.scopes[name].cancel()

    async def is_frozen() -> bool:
        found = await servers["s1"].lookup("web")
        return found.frozen and len(found.instances) >= 2

    await eventually(is_frozen)
    node = next(one for one in (await servers["s1"].lookup("web")).instances if one.kept)
    assert "kept in use" in node.node_health.output
