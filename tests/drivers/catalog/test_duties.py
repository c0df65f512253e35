"""What the leader does for all: sessions end, snapshots are saved and restored."""

from __future__ import annotations

import trio

from catalog import Service
from catalog.commands import Acquire, CreateSession
from catalog.kv import Session
from catalog.operations import TransferLeadership
from catalog.requests import RenewSession, Write
from catalog.snapshots import restore, save

PATIENCE = 40.0


async def held(agent, *, ttl):
    """Create a session that holds the key `lock`; return its id."""
    session = Session("s", agent.name, ttl=ttl, lock_delay=0.0, node_checks=())
    assert (await agent.ask(Write(CreateSession(session)))).ok
    assert (await agent.ask(Write(Acquire("lock", b"", session=session.id)))).ok
    return session.id


async def holder(agent):
    """Return who holds the key `lock`."""
    found = await agent.get("lock")
    assert found is not None
    return found.session


async def test_a_session_ends_when_nobody_renews_it(agents, eventually):
    """Not before its TTL; renewed at whatever agent it lasts, over a change of leaders too."""
    servers = await agents.start_three()
    leader = await servers["s1"].wait_leader()
    client = await agents.start("c1", join=[servers["s2"].address])
    await client.register(Service("web"))
    session = await held(client, ttl=0.6)
    for _ in range(3):
        await trio.sleep(0.3)
        assert await client.ask(RenewSession(session)) is not None
    await client.ask(TransferLeadership(next(name for name in servers if name != leader)))
    renewed = trio.current_time()
    assert await client.ask(RenewSession(session)) is not None
    assert session == await holder(client)

    async def is_released() -> bool:
        return bool(await holder(client) == "")

    await eventually(is_released)
    assert trio.current_time() - renewed >= 0.6
    assert await client.ask(RenewSession(session)) is None


async def test_a_session_without_ttl_lasts(agents):
    """And renewing it is no error; renewing one that never was says so."""
    agent = await agents.start("s1", server=True, bootstrap_expect=1)
    await agent.register(Service("web"))
    session = await held(agent, ttl=None)

    assert session == (await agent.ask(RenewSession(session))).id
    assert await agent.ask(RenewSession("nobody")) is None


async def test_a_snapshot_is_restored_on_all_servers_and_seen_by_all_who_watch(agents, eventually):
    """Saved at a client agent, in pieces; restored in another cluster, whose log is shorter."""
    first = await agents.start("a", server=True, bootstrap_expect=1)
    big = bytes(300_000)
    for number in range(5):
        await first.put(f"key/{number}", big)
    for _ in range(30):
        index = await first.put("counter", b"")
    data = b"".join([piece async for piece in save(first)])
    assert len(data) > 5 * len(big)

    servers = await agents.start_three(cluster="other")
    client = await agents.start("c1", join=[servers["s2"].address], cluster="other")
    await client.register(Service("web"))
    async with servers["s3"].subscribe("web") as web:
        await anext(web)
        with trio.fail_after(PATIENCE):
            at = await restore(client, data)
            assert at < index

            async def is_back() -> bool:
                keys = [await server.keys() for server in servers.values()]
                return keys == [("counter", *(f"key/{n}" for n in range(5)))] * 3

            await eventually(is_back)
            await client.register(Service("web", "web-2"))

            async def is_followed() -> bool:
                return "web-2" in [one.service.id for one in web.view.instances]

            await eventually(is_followed)
    found = await client.get("key/1")
    assert found is not None
    assert (big, at) == (found.value, found.modify_index)
