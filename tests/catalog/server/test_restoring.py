"""Becoming another registry through the log: the same on every replica, and never back in time."""

from __future__ import annotations

from hashlib import sha256

import pytest
import trio
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.answers import Refusal
from catalog.commands import (
    Acquire,
    CreateSession,
    DeleteKey,
    DestroySession,
    PutKey,
    RegisterNode,
    RegisterService,
    Release,
)
from catalog.errors import ProtocolError
from catalog.model import Node, Service, Session
from catalog.operations import SNAPSHOT_CHUNK_BYTES, RestoreChunk
from catalog.registry.image import Image
from catalog.requests import Checks, Get, Keys, Lookup, Nodes, Services
from catalog.server import restoring
from catalog.server.restoring import RestorableRegistry, encode_chunk
from catalog.wire import encode
from quorum.messages import Entries

NODE = Node("n1", "10.0.0.1")


def written(registry, *commands, stamp=0):
    """Write commands or pieces, one entry each, in one run."""
    payloads = tuple(
        encode_chunk(one) if isinstance(one, RestoreChunk) else encode(one) for one in commands
    )
    count = len(payloads)
    first = registry.applied + 1
    run = Entries(first, (1,) * count, (stamp,) * count, bytes(count), payloads)
    return list(registry.apply(run))


def session(name):
    """A session that depends on no check, and leaves no delay."""
    return Session(name, "n1", node_checks=(), lock_delay=0.0)


@pytest.fixture
def old():
    """A registry whose log was long."""
    registry = RestorableRegistry()
    registry.applied = 1000
    written(registry, RegisterNode(NODE), RegisterService("n1", Service("web")))
    written(registry, PutKey("a", b"1"), PutKey("b", b"2"), CreateSession(session("s")))
    written(registry, Acquire("lock", b"", session="s"))
    return registry


@pytest.fixture
def new():
    """A registry of another cluster, whose log has just begun."""
    registry = RestorableRegistry()
    written(registry, RegisterNode(NODE), RegisterService("n1", Service("db")), PutKey("c", b"3"))
    return registry


def pieces(snapshot, *, size=100, name="r1"):
    """Cut a snapshot, as `catalog.snapshots` does."""
    cuts = [snapshot[at : at + size] for at in range(0, len(snapshot), size)]
    return [
        RestoreChunk(
            name, number, cut, sha256(snapshot).digest() if number == len(cuts) - 1 else b""
        )
        for number, cut in enumerate(cuts)
    ]


def test_everything_is_as_it_was_and_counts_as_written_now(old, new):
    """Values come back; indexes are those of the entry that restored them."""
    chunks = pieces(old.to_bytes())
    answers = written(new, *chunks)

    at = new.applied
    assert all(answer.ok for answer in answers)
    assert 3 + len(chunks) == at == answers[-1].index
    assert (b"1", at) == (new.get("a").value, new.get("a").modify_index)
    assert new.get("c") is None
    assert ["web"] == [one.service.id for one in new.lookup("web", healthy=False).instances]
    assert ("s", 1) == (new.get("lock").session, new.get("lock").lock_index)
    assert [at] * 6 == [
        new.find(read)[1]
        for read in (
            Get("a"),
            Get("c"),
            Keys(),
            Lookup("web"),
            Nodes(),
            Services(),
        )
    ]


def test_indexes_of_states_that_make_no_sense_stop_nobody(old, new):
    """All count as changed now, however many the snapshot has."""
    image = Image.from_bytes(old.to_bytes())
    odd = evolve(image, services=evolve(image.services, status_indexes=(1,)))
    answers = written(new, *pieces(odd.to_bytes()))
    assert all(answer.ok for answer in answers)
    assert b"1" == new.get("a").value
    assert new.applied == new.find(Checks(None))[1]


def test_a_snapshot_of_a_restored_registry_is_its_own(old, new):
    """Restoring twice changes nothing but the indexes."""
    written(new, *pieces(old.to_bytes()))
    copy = RestorableRegistry()
    copy.restore(new.to_bytes())

    assert new.to_bytes() == copy.to_bytes()


def test_tokens_of_before_are_no_newer_than_those_after(old, new):
    """Whoever held a lock when the registry was replaced is fenced off by the next holder."""
    written(new, CreateSession(session("t")), CreateSession(session("u")))
    for _ in range(3):
        written(new, Acquire("lock", b"", session="t"), Release("lock", b"", session="t"))
        written(new, Acquire("gone", b"", session="t"), Release("gone", b"", session="t"))
    written(new, Acquire("lock", b"", session="u"), DeleteKey("gone"))
    before = new.get("lock").lock_index
    written(new, *pieces(old.to_bytes()))
    holder = new.get("lock")
    assert "s" == holder.session
    assert holder.lock_index > before == 4
    written(new, DestroySession("s"), CreateSession(session("v")))
    written(new, Acquire("lock", b"", session="v"), Acquire("gone", b"", session="v"))

    assert new.get("lock").lock_index > holder.lock_index
    assert new.get("gone").lock_index > 3


def test_the_clock_goes_on_and_delays_keep_their_rest(old, new):
    """The clocks of two logs have nothing to do with each other."""
    written(old, CreateSession(Session("d", "n1", node_checks=(), lock_delay=5.0)), stamp=90_000)
    written(old, Acquire("slow", b"", session="d"), DestroySession("d"), stamp=90_000)
    written(new, PutKey("x", b""), stamp=1_000)
    written(new, *pieces(old.to_bytes()), stamp=2_000)
    written(new, CreateSession(session("w")), stamp=2_000)

    (early,) = written(new, Acquire("slow", b"", session="w"), stamp=6_999)
    (late,) = written(new, Acquire("slow", b"", session="w"), stamp=7_000)
    assert Refusal.LOCK_DELAYED is early.refusal
    assert late.ok


def spoilt(chunks):
    """Ways in which pieces may not make a snapshot."""
    first, *middle, last = chunks
    return {
        "none first": [*middle, last],
        "one twice": [first, middle[0], *middle, last],
        "one missing": [first, *middle[1:], last],
        "another's": [first, RestoreChunk("r2", 1, b""), *middle, last],
        "wrong sum": [first, *middle, RestoreChunk("r1", last.number, last.data, bytes(32))],
        "no snapshot": pieces(b"x" * 300),
    }


@pytest.mark.parametrize("how", list(spoilt([RestoreChunk("r1", i, b"") for i in range(4)])))
def test_what_makes_no_snapshot_changes_nothing(old, new, how):
    """It is refused with a sentence, and the next attempt starts from nothing."""
    chunks = pieces(old.to_bytes())
    before = new.find(Keys())
    answers = written(new, *spoilt(chunks)[how])

    assert Refusal.MALFORMED is answers[-1].refusal
    assert "begin again" in answers[-1].detail
    assert before == new.find(Keys())
    assert written(new, *chunks)[-1].ok


def test_too_much_is_refused(old, new, monkeypatch):
    """What is gathered has a limit, and is dropped beyond it."""
    monkeypatch.setattr(restoring, "RESTORE_BYTES_MAX", 150)
    answers = written(new, *pieces(old.to_bytes())[:3])

    assert [True, False, False] == [answer.ok for answer in answers]
    assert "more than 150 bytes" in answers[1].detail
    with pytest.raises(ValueError, match="at most"):
        encode_chunk(RestoreChunk("r1", 0, bytes(SNAPSHOT_CHUNK_BYTES + 1)))


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_replicas_are_equal_however_the_log_is_cut(data):
    """Runs of any length, restarts from snapshots in the middle, other commands in between."""
    source = RestorableRegistry()
    written(
        source, RegisterNode(NODE), PutKey("a", b"x" * 200), RegisterService("n1", Service("w"))
    )
    log = [encode(PutKey("k", b"0"))]
    for chunk in pieces(source.to_bytes()):
        log += [encode_chunk(chunk)]
        log += [encode(PutKey("k", b"1"))] * data.draw(st.integers(0, 2))
    if data.draw(st.booleans()):
        del log[data.draw(st.integers(0, len(log) - 1))]
    one, two = RestorableRegistry(), RestorableRegistry()
    run = (1, (1,) * len(log), (7,) * len(log), bytes(len(log)), tuple(log))
    answers = list(one.apply(Entries(*run)))
    others = []
    while two.applied < len(log):
        stop = data.draw(st.integers(two.applied + 1, len(log)))
        others += two.apply(Entries(*run).slice(two.applied + 1, stop + 1))
        if data.draw(st.booleans()):
            copy = RestorableRegistry()
            copy.restore(two.to_bytes())
            two = copy

    assert answers == others
    assert one.to_bytes() == two.to_bytes()


async def test_whoever_waits_is_woken(old, new):
    """Also by a registry in which what it waits for is not there."""
    woken = []

    async def wait(*topic):
        await new.wait_change(topic)
        woken.append(topic)

    async with trio.open_nursery() as nursery:
        for topic in (("service", "db"), ("key", "nothing"), ("prefix", "c")):
            nursery.start_soon(wait, *topic)
        await trio.testing.wait_all_tasks_blocked()
        written(new, *pieces(old.to_bytes()))
    assert 3 == len(woken)


def test_a_damaged_snapshot_is_refused(new):
    """As every registry does."""
    with pytest.raises(ProtocolError):
        new.restore(b"x")
