"""The catalog from threads: an agent in one, its users in others."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import trio

from catalog import (
    AgentConfig,
    Change,
    NoServers,
    Refused,
    Service,
    SessionLost,
    TtlCheck,
    View,
    blocking,
    open_catalog,
)
from catalog.blocking import BlockingCatalog

PATIENCE = 30.0


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """An agent in a thread of its own."""
    ready, addresses = threading.Event(), []
    tokens = []
    over = trio.Event()

    async def serve() -> None:
        async with open_catalog(AgentConfig.dev(bind="127.0.0.1:0")) as agent:
            await agent.wait_leader()
            tokens.append(trio.lowlevel.current_trio_token())
            addresses.append(agent.address)
            ready.set()
            await over.wait()

    thread = threading.Thread(target=trio.run, args=(serve,))
    thread.start()
    assert ready.wait(PATIENCE)
    yield addresses[0]
    tokens[0].run_sync_soon(over.set)
    thread.join(PATIENCE)


@pytest.fixture
def registry(address) -> Iterator[BlockingCatalog]:
    """A connection to it."""
    with blocking.connect(address) as registry:
        yield registry
        registry.delete("", recurse=True)


def threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("catalog ")]


def test_methods_return_when_they_are_done(registry):
    """And raise what they raise elsewhere."""
    index = registry.put("a", b"1", cas=0)
    assert (b"1", index) == (registry.get("a").value, registry.get("a").modify_index)
    assert ("a",) == registry.keys()
    with pytest.raises(Refused):
        registry.put("a", b"2", cas=0)
    assert "Write a key" in str(BlockingCatalog.put.__doc__)


def test_a_service_is_registered_for_a_block(registry):
    """Whatever ends it."""
    with registry.registered(Service("web", checks=[TtlCheck(30)])):
        registry.heartbeat("web")
        assert 1 == len(registry.lookup("web", healthy=False).instances)
    assert () == registry.lookup("web", healthy=False).instances
    with pytest.raises(ZeroDivisionError), registry.registered(Service("web")):
        raise ZeroDivisionError
    assert () == registry.lookup("web", healthy=False).instances


def test_a_subscription_is_iterated(registry):
    """A view, then changes; `next` has a limit."""
    with registry.subscribe("sub") as sub:
        assert isinstance(next(sub), View)
        with pytest.raises(TimeoutError):
            sub.next(timeout=0.05)
        with registry.registered(Service("sub")):
            change = sub.next(timeout=PATIENCE)
            assert isinstance(change, Change)
            assert ["sub"] == [one.service.id for one in sub.view.instances]
            assert 0 <= sub.age < PATIENCE
    with registry.subscribe_keys("k/") as keys:
        assert () == next(keys)
        registry.put("k/1", b"x")
        assert "k/1" == keys.next(timeout=PATIENCE).key


def test_a_lock_is_held_by_one_thread_at_a_time(registry):
    """Its tokens grow; who cannot have it in time is told."""
    inside, tokens = 0, []

    def work() -> None:
        nonlocal inside
        with registry.lock("k", timeout=PATIENCE) as held:
            inside += 1
            assert 1 == inside
            tokens.append(held.token.lock_index)
            time.sleep(0.02)
            inside -= 1

    workers = [threading.Thread(target=work) for _ in range(5)]
    for one in workers:
        one.start()
    for one in workers:
        one.join(PATIENCE)
    assert [1, 2, 3, 4, 5] == tokens

    with registry.elected("k", b"me") as leading:
        assert b"me" == registry.leader("k")
        leading.write(b"me again")
        with pytest.raises(TimeoutError), registry.lock("k", timeout=0.1):
            pytest.fail("it is held")
    assert registry.leader("k") is None
    assert () == registry.sessions()


def test_a_lost_lock_is_told(registry):
    """By `lost`, by `check`, and at the end of the block."""
    with pytest.raises(SessionLost, match="taken away"):  # noqa: PT012, SIM117
        with registry.semaphore("s", 1) as held:
            held.check()
            registry.delete(held.key)
            deadline = time.monotonic() + PATIENCE
            while not held.lost and time.monotonic() < deadline:
                time.sleep(0.01)
            with pytest.raises(SessionLost):
                held.check()


def test_a_session_may_hold_several_keys(registry):
    """One renewal keeps all of them."""
    with registry.session("both") as session:
        with session.lock("a") as first, session.lock("b", timeout=PATIENCE) as second:
            assert first.token.session == second.token.session == session.id
        assert [session.id] == [one.id for one in registry.sessions()]
        assert "" == session.lost
    assert () == registry.sessions()


def test_the_end_of_a_connection_lets_go(address):
    """Of what other threads have, and of those threads."""
    outcomes, holds = [], threading.Event()

    def work(registry: BlockingCatalog) -> None:
        try:
            with registry.lock("shared"):
                holds.set()
                registry.wait_change("nobody", 10**9, 60)
        except NoServers as error:
            outcomes.append(str(error))

    with blocking.connect(address) as registry:
        worker = threading.Thread(target=work, args=(registry,))
        worker.start()
        assert holds.wait(PATIENCE)
    worker.join(PATIENCE)
    assert ["the connection has ended: connect again"] == outcomes
    assert [] == threads()
    with pytest.raises(NoServers, match="connect again"):
        registry.get("a")
    with pytest.raises(NoServers, match="connect again"), registry.lock("shared"):
        pytest.fail("it has ended")

    with blocking.connect(address) as again, again.lock("shared", timeout=5.0) as held:
        assert 2 == held.token.lock_index  # it was released, and at once


def test_who_cannot_be_reached_is_told_at_once(unused_address):
    """And no thread stays."""
    with pytest.raises(NoServers), blocking.connect(unused_address):
        pytest.fail("nobody is there")

    assert [] == threads()
