"""The registry from end to end: waiting, locks, transactions, checks, through a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio

from catalog import (
    Agent,
    AgentConfig,
    Consistency,
    Node,
    Refused,
    Service,
    Status,
    TcpCheck,
    TtlCheck,
    connect,
    open_catalog,
)
from catalog.answers import Refusal
from catalog.commands import (
    Batch,
    DestroySession,
    Operation,
    PutKey,
    RegisterCheck,
    RegisterNode,
    RegisterService,
    SetCheck,
)
from catalog.kv import KeyChange
from catalog.model import AliasCheck, CheckState
from catalog.requests import (
    AskedNode,
    Checks,
    Get,
    Items,
    LocalChecks,
    Lookup,
    Maintain,
    RegisterLocalCheck,
    Report,
    Sessions,
    Write,
)
from catalog.steps import ExpectAbsent, ReadKey

DEV = AgentConfig.dev(bind="127.0.0.1:0")


@pytest.fixture
async def agent() -> AsyncIterator[Agent]:
    """A server by itself, whose node the catalog knows and calls well."""
    async with open_catalog(DEV) as agent:
        with trio.fail_after(20):
            await agent.wait_leader()
            await node_is(agent, Status.PASSING)
        yield agent


async def node_is(agent: Agent, status: Status) -> None:
    """Wait until gossip's word about the agent's node is in the catalog."""
    after: int | None = None
    while True:
        reply = await agent.ask(AskedNode(agent.name, after=after))
        if reply.value and reply.value.health and reply.value.health.status is status:
            return
        after = reply.index


async def test_a_question_waits_for_its_own_news_only(agent):
    """A key's reader is answered when that key changes; another key leaves it waiting."""
    index = await agent.put("a", b"1")
    replies = []

    async def wait() -> None:
        replies.append(await agent.ask(Get("a", after=index, wait=30)))

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await agent.put("b", b"1")
            await trio.sleep(0.05)
            assert replies == []
            written = await agent.put("a", b"2")

    (reply,) = replies
    assert (b"2", written, True) == (reply.value.value, reply.index, reply.known_leader)


async def test_a_question_that_waits_in_vain_is_answered_with_what_there_is(agent):
    """After the time that it gave; the index is the one it had."""
    index = await agent.put("a", b"1")
    begun = trio.current_time()
    reply = await agent.ask(Items("a", after=index, wait=0.1))

    assert trio.current_time() - begun >= 0.1
    assert (index, 1) == (reply.index, len(reply.value))


async def test_a_stale_answer_that_is_too_old_is_not_given(agent):
    """With a bound the read waits for the leader instead, and is as good as new."""
    await agent.put("a", b"1")
    reply = await agent.ask(Get("a", consistency=Consistency.STALE, max_stale=0.0))

    assert b"1" == reply.value.value
    assert reply.age < 1.0


async def test_a_lock_has_one_holder_and_a_token(agent):
    """Through the methods that users have; the second waits for the first to let go."""
    one = await agent.create_session(agent.name, ttl=30, lock_delay=0)
    two = await agent.create_session(agent.name, ttl=30)
    token = await agent.acquire("jobs", one, b"one")
    with pytest.raises(Refused) as refused:
        await agent.acquire("jobs", two)
    assert Refusal.LOCKED is refused.value.applied.refusal

    await agent.destroy_session(one)
    later = await agent.acquire("jobs", two)
    assert (("jobs", 1, one), ("jobs", 2, two)) == (
        (token.key, token.lock_index, token.session),
        (later.key, later.lock_index, later.session),
    )
    assert [two] == [session.id for session in await agent.sessions()]


async def test_a_session_is_renewed_or_ends(agent):
    """Only while it is there, and at the latest after twice its TTL."""
    session = await agent.create_session(agent.name, ttl=0.3)
    for _ in range(4):
        await trio.sleep(0.1)
        assert await agent.renew_session(session)
    reply = await agent.ask(Sessions())
    with trio.fail_after(20):
        while reply.value:
            reply = await agent.ask(Sessions(after=reply.index))

    assert not await agent.renew_session(session)


async def test_a_transaction_is_done_or_not(agent):
    """All of it, with values; or nothing, with the reasons. Reading alone writes nothing."""
    done = await agent.transact([ExpectAbsent("a"), PutKey("a", b"1"), ReadKey("a")])
    assert b"1" == done.parts[2].values[0].value

    with pytest.raises(Refused, match="step 1 of 2"):
        await agent.transact([ExpectAbsent("a"), PutKey("b", b"1")])
    assert await agent.get("b") is None

    before = (await agent.info())["last_index"]
    await agent.transact([ReadKey("a")])
    assert before == (await agent.info())["last_index"]


async def test_keys_are_followed_through_another_agents_connection(agent):
    """First what there is, then each change in order."""
    await agent.put("config/a", b"1")
    async with connect(agent.address) as client, client.subscribe_keys("config/") as config:
        with trio.fail_after(20):
            assert await anext(config) == config.view
            assert [("config/a", b"1")] == [(one.key, one.value) for one in config.view]
            index = await agent.put("config/b", b"2")
            change = await anext(config)
            assert isinstance(change, KeyChange)
            assert (index, "config/b") == (change.index, change.key)
            deleted = await agent.delete("config/", recurse=True)
            assert [KeyChange(deleted, "config/a", None), KeyChange(deleted, "config/b", None)] == [
                await anext(config),
                await anext(config),
            ]


async def test_what_is_registered_from_outside_stays(agent):
    """A node without an agent, with a service and a check that somebody else runs."""
    operations: list[Operation] = [
        RegisterNode(Node("router", "10.9.9.9")),
        RegisterService("router", Service("dns", port=53)),
        RegisterCheck("router", CheckState("ping", Status.PASSING), "dns"),
    ]
    await agent.ask(Write(Batch(operations)))
    (found,) = (await agent.lookup("dns")).instances
    assert ("10.9.9.9", None) == (found.address, found.node_health)

    await agent.ask(Write(SetCheck("router", "ping", Status.CRITICAL, "lost")))
    reply = await agent.ask(Checks(Status.CRITICAL))
    assert ["ping"] == [one.state.id for one in reply.value]


async def test_the_agents_own_checks_and_maintenance_reach_the_catalog(agent):
    """A check alone, fed by reports; an alias of its service; and maintenance for a while."""
    await agent.register(Service("web", checks=[TtlCheck(60, status=Status.PASSING)]))
    await agent.ask(RegisterLocalCheck(TtlCheck(60, id="extra"), "web"))
    await agent.ask(RegisterLocalCheck(AliasCheck("web", id="mirror"), ""))
    with trio.fail_after(20):
        assert (await agent.lookup("web")).instances == ()
        await agent.ask(Report("extra", Status.PASSING, "ok"))
        await until_healthy(agent, 1)

        await agent.ask(Maintain("web", True, "new disk"))
        assert (await agent.lookup("web")).instances == ()
        await agent.ask(Maintain("web", False))
        await until_healthy(agent, 1)
    found = {one.state.id: one.state.status for one in await agent.ask(LocalChecks())}
    assert {"extra", "mirror", "service:web"} == found.keys()


async def until_healthy(agent: Agent, count: int) -> None:
    """Wait until so many instances of "web" are healthy."""
    after: int | None = None
    while True:
        reply = await agent.ask(Lookup("web", after=after))
        if len(reply.value.instances) == count:
            return
        after = reply.index


async def test_a_session_ends_with_a_check_of_its_service(agent):
    """And its keys are free, after the delay."""
    await agent.register(Service("web", checks=[TtlCheck(60, status=Status.PASSING)]))
    session = await agent.create_session(agent.name, checks=["service:web"], lock_delay=0)
    await agent.acquire("k", session)
    await agent.heartbeat("web", Status.CRITICAL)
    reply = await agent.ask(Get("k"))
    with trio.fail_after(20):
        while reply.value.session:
            reply = await agent.ask(Get("k", after=reply.index))
    assert (await agent.ask(Write(DestroySession(session)))).ok

    with pytest.raises(Refused, match="critical"):
        await agent.create_session(agent.name, checks=["service:web"])


async def test_a_check_may_be_replaced_by_another_kind(agent, unused_address):
    """Registered again under its id it is run as it says now."""
    await agent.ask(RegisterLocalCheck(TtlCheck(60, id="c", status=Status.PASSING), ""))
    await agent.ask(RegisterLocalCheck(TcpCheck(unused_address, id="c", interval=0.05), ""))
    with trio.fail_after(20):
        while True:
            (one,) = await agent.ask(LocalChecks())
            if one.state.status is Status.CRITICAL:
                break
            await trio.sleep(0.02)
    assert "tcp" == one.state.kind
