"""Sessions, locks, semaphores and elections as blocks, against a registry in memory."""

# ruff: noqa: PT012 - the loss of a lock is raised by the end of a block

from __future__ import annotations

from random import Random

import pytest
import trio

from catalog.blocks import Blocks
from catalog.commands import (
    Batch,
    DeleteKey,
    DestroySession,
    PutKey,
    RegisterNode,
    SetNodeHealth,
)
from catalog.errors import Indeterminate, NoLeader, Refused, SessionLost
from catalog.model import Node, Role, Status
from catalog.registry import Registry
from catalog.requests import AgentInfo, Info, Read, RenewSession, Reply, Write

JOIN = Batch((RegisterNode(Node("n", "10.0.0.1")), SetNodeHealth("n", Status.PASSING, "")))


class Catalog(Blocks):
    """A registry that answers after a moment, and does not end sessions by itself."""

    def __init__(self, write, nursery: trio.Nursery) -> None:
        self.registry = Registry()
        self._nursery = nursery
        self._random = Random(1)
        self._write = write
        self._bell = trio.Event()
        self.down = False
        self.renewals = 0
        self.writes = 0
        self.lose_answers = 0
        """So many answers to writes are lost on their way."""
        self.do(JOIN)

    async def ask(self, request):
        await trio.sleep(0.01)
        if self.down:
            raise NoLeader("down")
        match request:
            case Info():
                return AgentInfo("n", Role.SERVER, "10.0.0.1:1", "dc1", "c", "0")
            case RenewSession(session):
                self.renewals += 1
                return self.registry.session(session)
            case Write(command):
                self.writes += 1
                applied = self.do(command)
                if self.lose_answers:
                    self.lose_answers -= 1
                    raise Indeterminate("lost")
                return applied
            case Read():
                with trio.move_on_after(request.wait):
                    while request.after is not None and self.find(request).index <= request.after:
                        await self._bell.wait()
                return self.find(request)
        raise AssertionError(request)

    def find(self, read):
        value, index, _ = self.registry.find(read)
        return Reply(value, index)

    def do(self, command):
        stamp = round(1000 * trio.current_time())
        (answer,) = self._write(self.registry, command, stamp=stamp)
        self._bell.set()
        self._bell = trio.Event()
        return answer

    def holder(self, key):
        entry = self.registry.get(key)
        return "" if entry is None else entry.session


@pytest.fixture
async def catalog(write, nursery) -> Catalog:
    """An empty one, with a node."""
    return Catalog(write, nursery)


async def test_a_session_lives_as_long_as_its_block(catalog, autojump_clock):
    """It is renewed well within its TTL, and destroyed at the end."""
    async with catalog.session("mine", ttl=9.0) as session:
        await trio.sleep(90)
        (there,) = catalog.registry.sessions()
        assert (session.id, "n", "mine", 9.0) == (there.id, there.node, there.name, there.ttl)
        assert 27 <= catalog.renewals <= 31

    assert () == catalog.registry.sessions()


async def test_a_session_that_ended_at_the_servers_cancels_its_block(catalog, autojump_clock):
    """The owner hears of it with the next renewal, at the latest."""
    begun = trio.current_time()
    with pytest.raises(SessionLost, match="has ended at the servers"):
        async with catalog.session(ttl=9.0) as session:
            catalog.do(DestroySession(session.id))
            await trio.sleep_forever()

    assert session.lost
    assert trio.current_time() - begun < 4


async def test_without_servers_a_session_is_given_up_after_its_ttl(catalog, autojump_clock):
    """Not before, since they may come back, and not after, since it may be over."""
    with pytest.raises(SessionLost, match="could not be renewed for 9 s"):
        async with catalog.session(ttl=9.0):
            await trio.sleep(30)
            begun = trio.current_time()
            catalog.down = True
            await trio.sleep_forever()

    assert 5.9 <= trio.current_time() - begun <= 9.0 + 2.1  # the last renewal was before it


async def test_a_short_outage_costs_no_session(catalog, autojump_clock):
    """Renewals that fail are repeated."""
    async with catalog.session(ttl=9.0) as session:
        catalog.down = True
        await trio.sleep(8)
        catalog.down = False
        await trio.sleep(8)

    assert not session.lost


async def test_a_lost_session_is_told_to_who_did_not_wait(catalog, autojump_clock):
    """A block that ends by itself after the loss must not be taken for protected."""
    with pytest.raises(SessionLost):
        async with catalog.session() as session:
            session.lose("for a test")

    with pytest.raises(LookupError):
        async with catalog.session() as session:
            session.lose("for a test")
            raise LookupError


async def test_a_session_waits_for_its_node(catalog, nursery, autojump_clock):
    """An agent that starts is in the catalog a moment later; a check that is missing never is."""
    catalog.registry = Registry()

    async def join() -> None:
        await trio.sleep(1)
        catalog.do(JOIN)

    nursery.start_soon(join)
    async with catalog.session():
        assert 1 == len(catalog.registry.sessions())

    with pytest.raises(Refused, match="nothing"):
        async with catalog.session(service_checks=["no-such-check"]):
            pytest.fail("nothing to stand on")


async def test_an_answer_that_was_lost_makes_no_second_session(catalog, autojump_clock):
    """The id is the caller's: asking again finds the session made."""
    catalog.lose_answers = 1
    async with catalog.session():
        assert 1 == len(catalog.registry.sessions())


async def test_a_session_that_has_ended_gets_no_lock(catalog, autojump_clock):
    """Whoever asks for one hears of it at once."""
    with pytest.raises(SessionLost, match="has ended at the servers"):
        async with catalog.session() as session:
            catalog.do(DestroySession(session.id))
            async with session.lock("k"):
                pytest.fail("it stands on nothing")


async def test_a_lock_has_one_holder_and_growing_tokens(catalog, nursery, autojump_clock):
    """Whoever waits gets it when it is released, without a delay."""
    inside, tokens = 0, []

    async def work() -> None:
        nonlocal inside
        async with catalog.lock("k") as held:
            inside += 1
            assert 1 == inside
            assert held.session.id == catalog.holder("k")
            tokens.append(held.token.lock_index)
            await trio.sleep(1)
            inside -= 1

    begun = trio.current_time()
    async with trio.open_nursery() as workers:
        for _ in range(5):
            workers.start_soon(work)

    assert [1, 2, 3, 4, 5] == tokens
    assert 5 <= trio.current_time() - begun < 6
    assert "" == catalog.holder("k")


async def test_waiting_writes_nothing(catalog, nursery, autojump_clock):
    """A lock that is held for long costs the log no entries."""
    async with catalog.lock("k"):
        writes = catalog.writes
        with trio.move_on_after(500):
            async with catalog.lock("k"):
                pytest.fail("it is held")
        assert catalog.writes - writes <= 3  # its session, and the end of that


async def test_a_lock_of_a_lost_session_is_delayed(catalog, autojump_clock):
    """Its former holder has the lock-delay to notice."""
    with pytest.raises(SessionLost):
        async with catalog.lock("k", lock_delay=20) as held:
            first = held.token
            catalog.do(DestroySession(held.session.id))
            begun = trio.current_time()
            await trio.sleep_forever()
    async with catalog.lock("k") as held:
        assert 20 <= trio.current_time() - begun <= 23
        assert held.token.lock_index > first.lock_index


async def test_a_key_that_is_taken_away_cancels_the_block(catalog, autojump_clock):
    """Locks are advisory: who deletes the key, or has it released, ends the lock."""
    with pytest.raises(SessionLost, match="taken away"):
        async with catalog.lock("k"):
            catalog.do(DeleteKey("k"))
            await trio.sleep_forever()


async def test_what_others_write_does_not_end_a_lock(catalog, autojump_clock):
    """Only its holder matters."""
    async with catalog.lock("k", b"mine") as held:
        catalog.do(PutKey("k", b"theirs"))
        await trio.sleep(1)
        assert not held.lost
        index = await held.write(b"mine again")
        entry = catalog.registry.get("k")
        assert (b"mine again", index, held.session.id) == (
            entry.value,
            entry.modify_index,
            entry.session,
        )

    assert b"mine again" == catalog.registry.get("k").value


async def test_nothing_is_written_without_the_lock(catalog, autojump_clock):
    """`write` is refused once the key is another's."""
    with pytest.raises(SessionLost):
        async with catalog.lock("k", b"mine") as held:
            catalog.do(DeleteKey("k"))
            await held.write(b"too late")

    assert catalog.registry.get("k") is None


async def test_a_cancelled_block_lets_go(catalog, autojump_clock):
    """And without a lock-delay, since its holder knows."""
    for _ in range(3):
        with trio.move_on_after(1):
            async with catalog.lock("k"):
                await trio.sleep_forever()
        assert "" == catalog.holder("k")
        assert () == catalog.registry.sessions()


async def test_who_gives_up_waiting_leaves_nothing_behind(catalog, autojump_clock):
    """Wherever it is cancelled, the key and the session are free at once."""
    for milliseconds in range(1, 100, 7):
        with trio.move_on_after(milliseconds / 1000):
            async with catalog.lock("k"):
                await trio.sleep_forever()
        with trio.fail_after(0.5):
            async with catalog.lock("k"):
                pass
        assert () == catalog.registry.sessions()


async def test_an_outage_ends_no_wait_but_the_session_does(catalog, nursery, autojump_clock):
    """Questions are repeated until the session that waits is lost."""

    async def hold() -> None:
        async with catalog.lock("k", ttl=100):
            await trio.sleep(10)

    nursery.start_soon(hold)
    await trio.sleep(1)

    async def outage() -> None:
        await trio.sleep(5)
        catalog.down = True
        await trio.sleep(4)
        catalog.down = False

    nursery.start_soon(outage)
    async with catalog.lock("k", ttl=9):
        assert trio.current_time() >= 10


async def test_a_lost_answer_to_an_acquisition_is_asked_again(catalog, autojump_clock):
    """What is held already is held."""
    async with catalog.session() as session:
        catalog.lose_answers = 1
        async with session.lock("k") as held:
            assert session.id == catalog.holder("k")
            assert 1 == held.token.lock_index


async def test_a_semaphore_lets_in_as_many_as_it_has_slots(catalog, autojump_clock):
    """The next one comes when one leaves."""
    inside, most = 0, 0

    async def work() -> None:
        nonlocal inside, most
        async with catalog.semaphore("s", 3):
            inside += 1
            most = max(most, inside)
            await trio.sleep(1)
            inside -= 1

    begun = trio.current_time()
    async with trio.open_nursery() as workers:
        for _ in range(9):
            workers.start_soon(work)

    assert 3 == most
    assert 3 <= trio.current_time() - begun < 4
    with pytest.raises(ValueError, match="slots"):
        async with catalog.semaphore("s", 0):
            pytest.fail("nobody fits")


async def test_a_leader_says_who_it_is(catalog, autojump_clock):
    """By default with the name of its agent; nobody leads before and after."""
    assert await catalog.leader("e") is None
    async with catalog.elected("e"):
        assert b"n" == await catalog.leader("e")
    assert await catalog.leader("e") is None
    async with catalog.elected("e", b"me"):
        assert b"me" == await catalog.leader("e")
