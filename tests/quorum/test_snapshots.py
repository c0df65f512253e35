"""Compaction and InstallSnapshot (§7)."""

from __future__ import annotations

import random

import pytest

from quorum.config import Config
from quorum.core.raft import Raft
from quorum.effects import Apply, Persist, Restore, Role, SendSnapshot, Snapshot, Trim
from quorum.events import (
    Applied,
    Compacted,
    MembersProposed,
    NotCompacted,
    Persisted,
    Proposed,
    Recovered,
    SnapshotArrived,
    SnapshotSent,
)
from quorum.messages import Entries, Kind, Members, SnapshotMark

SMALL = Config(snapshot_entries=10, tail_entries=2)
ABC = Members(voters=("a", "b", "c"))


def fill(group, leader, count):
    for k in range(count):
        group.propose(leader, b"%d" % k)
        group.settle()


def test_a_long_log_is_compacted_but_for_a_tail(make_group):
    """The snapshot is ordered after the entries that it covers, and then the log shrinks."""
    group = make_group(config=SMALL)
    group.elect("a")

    fill(group, "a", 25)

    statistics = group.nodes["a"].statistics()
    assert statistics.snapshot_index > 10
    assert statistics.first_index == statistics.snapshot_index - 1
    assert 2 <= len(group.effects("a", Snapshot)) == len(group.effects("a", Trim))


def test_large_entries_are_compacted_by_their_bytes(make_group):
    """Few but large entries fill memory too."""
    group = make_group(config=Config(snapshot_bytes=1000, tail_entries=0))
    group.elect("a")

    group.propose("a", b"x" * 1500)
    group.settle()

    assert group.nodes["a"].statistics().snapshot_index > 0


def test_a_follower_that_is_too_far_behind_gets_a_snapshot_and_then_entries(make_group):
    """The entries that it lacks are gone; it goes on after the snapshot."""
    group = make_group(config=SMALL)
    group.elect("a")
    group.settle()
    for k in range(30):
        group.propose("a", b"%d" % k)
        group.settle(lambda sender, to, _: "c" not in (sender, to))
    group.pass_time(0.2)
    assert sorted({order.to for _, order in group.snapshots}) == ["c"]

    group.send_snapshots()
    group.settle()
    group.pass_time(0.2)

    ours, theirs = group.nodes["a"].statistics(), group.nodes["c"].statistics()
    assert (ours.commit, ours.last_index) == (theirs.commit, theirs.last_index)
    assert len(group.effects("c", Restore)) == 1


@pytest.mark.parametrize(
    "config",
    [
        Config(snapshot_entries=5, tail_entries=0),
        Config(snapshot_bytes=5, snapshot_entries=10_000, tail_entries=0),
    ],
)
def test_a_snapshot_that_was_not_saved_is_taken_again(config):
    """The log stays as it is until then, and nothing is ordered while nothing is new."""
    recovered = Recovered(1, "a", SnapshotMark(members=Members(voters=("a",))))
    server = Raft("a", recovered, config, now=0.0, random=random.Random(1))
    applied, orders = 0, []

    def go(*events):
        nonlocal applied
        for effect in server.step(events, now=server.deadline):
            if isinstance(effect, Persist):
                go(Persisted(effect.ticket))
            elif isinstance(effect, Apply):
                applied = effect.entries.last
                go(Applied(applied))
            elif isinstance(effect, Snapshot):
                orders.append(effect.mark)

    go()
    for k in range(10):
        go(Proposed(k, (b"x",)))
    (mark,) = orders
    go(NotCompacted(mark))
    assert [mark] == orders

    go(Proposed(99, (b"x",)))
    assert [mark.index, applied] == [mark.index for mark in orders]
    go(Compacted(orders[-1]))
    assert orders[-1] == server._state.log.mark


def test_a_snapshot_that_was_lost_is_sent_again(make_group):
    """The driver says that it failed; the next heartbeat tries again."""
    group = make_group(config=SMALL)
    group.elect("a")
    for k in range(30):
        group.propose("a", b"%d" % k)
        group.settle(lambda sender, to, _: "c" not in (sender, to))
    group.pass_time(0.2)
    (_, order) = group.snapshots.pop()
    group.snapshots.clear()

    group.step("a", SnapshotSent("c", order.mark, ok=False))
    group.pass_time(0.2)

    assert [order.to for _, order in group.snapshots] == ["c"]


def test_no_snapshot_is_sent_to_a_follower_that_is_silent(make_group):
    """Heartbeats ask whether it is back; then it gets one."""
    group = make_group(config=SMALL)
    group.elect("a")
    group.settle()

    def without_c(sender, to, _):
        return "c" not in (sender, to)

    for k in range(30):
        group.propose("a", b"%d" % k)
        group.settle(without_c)
    group.pass_time(0.2)
    (_, order) = group.snapshots.pop()
    group.pass_time(1.0, without_c)
    group.step("a", SnapshotSent("c", order.mark, ok=False))
    group.pass_time(1.0, without_c)
    assert [] == group.snapshots

    group.pass_time(0.2)
    assert ["c"] == [order.to for _, order in group.snapshots]


def test_a_snapshot_replaces_a_log_that_diverged(run):
    """Conflicting entries go at once, and so does the configuration among them."""
    odd = Entries(2, (1,), (0,), bytes((Kind.MEMBERS,)), (Members(voters=("x",)).to_bytes(),))
    recovered = Recovered(1, None, SnapshotMark(members=ABC), run(1, 1, b"x"))
    server = Raft("a", recovered, Config(), now=0.0, random=random.Random(1))
    server._state.log.append(odd)
    mark = SnapshotMark(9, 3, 5, ABC, 0)

    effects = server.step([SnapshotArrived("b", 4, 1, mark)], now=0.1)

    (write,) = [e for e in effects if isinstance(e, Persist)]
    assert (4, mark, None) == (write.term, write.reset, write.entries)
    assert Restore(mark) in effects
    statistics = server.statistics()
    assert (
        statistics.commit,
        statistics.last_index,
        statistics.last_term,
        statistics.term,
    ) == (9, 9, 3, 4)
    assert statistics.members == ABC


def test_a_longer_log_goes_too_when_a_snapshot_disagrees(run):
    """What follows an entry that was never committed was never committed either."""
    recovered = Recovered(1, None, SnapshotMark(members=ABC), run(1, 1, *[b"x"] * 12))
    server = Raft("a", recovered, Config(), now=0.0, random=random.Random(1))
    mark = SnapshotMark(9, 3, 5, ABC, 0)

    server.step([SnapshotArrived("b", 4, 1, mark)], now=0.1)

    statistics = server.statistics()
    assert (9, 9, 3) == (statistics.commit, statistics.last_index, statistics.last_term)


def test_a_snapshot_of_what_we_have_anyway_keeps_the_log(run):
    """Entries after it are retained, nothing is restored."""
    recovered = Recovered(3, None, SnapshotMark(members=ABC), run(1, 3, b"1", b"2", b"3"))
    server = Raft("a", recovered, Config(), now=0.0, random=random.Random(1))

    effects = server.step([SnapshotArrived("b", 3, 1, SnapshotMark(2, 3, 0, ABC))], now=0.1)

    assert [e for e in effects if isinstance(e, Restore | Persist)] == []
    assert (server.statistics().commit, server.statistics().last_index) == (2, 3)


def test_an_old_snapshot_and_a_leader_of_the_past_change_nothing(run):
    """Neither the term nor the log nor the machine goes back."""
    mark = SnapshotMark(5, 3, 0, ABC)
    recovered = Recovered(4, None, mark, run(6, 3, b"x"), 3)
    server = Raft("a", recovered, Config(), now=0.0, random=random.Random(1))
    server.step([Applied(5)], now=0.0)

    effects = server.step(
        [
            SnapshotArrived("b", 3, 1, SnapshotMark(50, 3, 0, ABC)),
            SnapshotArrived("b", 4, 1, SnapshotMark(4, 2, 0, ABC)),
        ],
        now=0.1,
    )

    assert [e for e in effects if isinstance(e, Restore | Persist)] == []
    assert (
        server.statistics().term,
        server.statistics().commit,
        server.statistics().last_index,
    ) == (4, 5, 6)


def test_our_snapshot_is_dropped_when_the_leaders_overtook_it():
    """It was taken before, and finished after."""
    mark = SnapshotMark(9, 2, 0, ABC)
    recovered = Recovered(2, None, mark, Entries(10), 2)
    server = Raft("a", recovered, Config(), now=0.0, random=random.Random(1))

    effects = server.step([Compacted(SnapshotMark(7, 2, 0, ABC))], now=0.1)

    assert [e for e in effects if isinstance(e, Trim)] == []


def test_a_restart_goes_on_from_the_snapshot_and_the_log(run):
    """The machine is restored first; only then are later entries applied."""
    mark = SnapshotMark(5, 3, 0, Members(voters=("a",)))
    recovered = Recovered(4, "a", mark, run(6, 3, b"x"), 3)
    server = Raft("a", recovered, Config(), now=0.0, random=random.Random(1))

    effects = server.step([], now=0.0)

    assert Restore(mark) == effects[0]
    assert (server.statistics().commit, server.statistics().applied) == (5, 0)


def test_a_lone_server_recovers_its_committed_entries_after_a_restart(make_group, run):
    """Commit is not stored: it comes back with the first entry of the new term."""
    group = make_group("a")
    del group.nodes["a"]
    recovered = Recovered(2, "a", SnapshotMark(members=Members(voters=("a",))), run(1, 2, b"x"))
    group.add("a", Members(), recovered)

    group.pass_time(3.0)

    assert group.applied["a"] == [b"x"]
    assert Role.LEADER is group.nodes["a"].statistics().role


def test_a_snapshot_is_sent_to_a_newcomer_when_the_log_is_fully_compacted(make_group):
    """Nothing is left to send but the snapshot."""
    group = make_group(config=Config(snapshot_entries=5, tail_entries=0))
    group.elect("a")
    fill(group, "a", 12)
    group.add("d", Members())
    group.step("a", MembersProposed(99, Members(voters=tuple("abcd"))))
    group.settle()
    for _ in range(5):
        group.pass_time(0.2)
        group.send_snapshots()
        group.settle()

    assert group.nodes["a"].statistics().commit == group.nodes["d"].statistics().commit
    assert len(group.effects("a", SendSnapshot)) >= 1
