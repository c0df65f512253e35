"""The one door: a batch in, a batch out."""

from __future__ import annotations

import random
from math import inf

from quorum.config import Config
from quorum.core.raft import APPLY_AHEAD_MAX, Raft
from quorum.effects import Announce, Apply, Effect, Persist, Restore, Role, Send, Snapshot
from quorum.events import Applied, Event, Persisted, Proposed, ReadRequested, Received, Recovered
from quorum.messages import AppendEntries, AppendReply, Entries, Members, SnapshotMark

ALONE = SnapshotMark(members=Members(voters=("a",)))


def alone(entries: Entries | None = None) -> Raft:
    """A cluster of one."""
    recovered = Recovered(0, None, ALONE, entries or Entries(1))
    return Raft("a", recovered, Config(), now=0.0, random=random.Random(1))


def lead(server: Raft) -> list[Effect]:
    """Let it elect itself, its disk and its machine answering at once."""
    story: list[Effect] = []
    events: list[Event] = []
    now = server.deadline
    for _ in range(9):
        effects = server.step(events, now=now)
        story += effects
        events = [Persisted(e.ticket) for e in effects if isinstance(e, Persist)]
        events += [Applied(e.entries.last) for e in effects if isinstance(e, Apply)]
    assert server.statistics().role is Role.LEADER
    return story


def test_events_are_heard_before_the_clock_is_looked_at():
    """A server that was asleep hears the leader's messages first, and does not campaign."""
    three = Recovered(mark=SnapshotMark(members=Members(voters=("a", "b", "c"))))
    server = Raft("a", three, Config(), now=0.0, random=random.Random(1))
    heartbeat = Received("b", AppendEntries(1, 0, 0, 0, 1, Entries(1)))

    effects = server.step([heartbeat], now=100.0)

    assert [] == [e for e in effects if isinstance(e, Send) and e.message.term > 1]
    assert "b" == server.statistics().leader


def test_nothing_happens_before_the_deadline_and_something_at_it():
    """The deadline is the whole contract about time."""
    server = alone()
    server.step([], now=0.0)

    assert [] == server.step([], now=server.deadline - 1e-6)
    assert [] != server.step([], now=server.deadline)


def test_a_step_writes_once_whatever_came_in():
    """One `Persist` for many proposals: one write, one sync."""
    server = alone()
    lead(server)

    effects = server.step([Proposed(k, (b"x",)) for k in range(100)], now=9.0)

    (write,) = [e for e in effects if isinstance(e, Persist)]
    assert (2, 101) == (write.entries.first, write.entries.last)


def test_the_machine_is_never_flooded(run):
    """What is handed out and not reported as applied stays within a limit."""
    server = alone(run(1, 0, *[b""] * (APPLY_AHEAD_MAX + 500)))
    (first,) = [e for e in lead_without_applying(server) if isinstance(e, Apply)]
    assert APPLY_AHEAD_MAX == len(first.entries)

    (second,) = [
        e for e in server.step([Applied(first.entries.last)], now=9.0) if isinstance(e, Apply)
    ]

    assert APPLY_AHEAD_MAX + 1 == second.entries.first
    assert APPLY_AHEAD_MAX + 501 == second.entries.last


def lead_without_applying(server: Raft) -> list[Effect]:
    """As `lead`, but the machine is slow."""
    story: list[Effect] = []
    events: list[Event] = []
    for _ in range(5):
        effects = server.step(events, now=9.0)
        story += effects
        events = [Persisted(e.ticket) for e in effects if isinstance(e, Persist)]
    return story


def test_role_changes_are_announced_once():
    """Follower, candidate, leader: each when it happens, with the reason."""
    server = alone()

    announced = [e for e in lead(server) if isinstance(e, Announce)]

    assert [Role.CANDIDATE, Role.LEADER] == [e.role for e in announced][-2:]
    assert len(announced) == len({(e.role, e.term, e.leader) for e in announced})
    assert "elected" == announced[-1].because


def test_applying_and_snapshots_keep_their_order():
    """A snapshot at index n is ordered right after the entries up to n."""
    config = Config(snapshot_entries=3)
    server = Raft("a", Recovered(mark=ALONE), config, now=0.0, random=random.Random(1))
    lead(server)
    effects = server.step([Proposed(1, (b"x",) * 4)], now=9.0)
    ticket = next(e.ticket for e in effects if isinstance(e, Persist))

    effects = server.step([Persisted(ticket)], now=9.0)

    kinds = [type(e) for e in effects if isinstance(e, Apply | Snapshot | Restore)]
    assert [Apply, Snapshot] == kinds
    assert 5 == next(e.mark.index for e in effects if isinstance(e, Snapshot))


def test_unknown_senders_change_nothing():
    """A reply from a server that is no member is not counted."""
    server = alone()
    lead(server)
    before = server.statistics()

    server.step([Received("stranger", AppendReply(before.term, 99, before.last_index))], now=9.0)

    assert before == server.statistics()


def test_a_follower_that_asked_the_leader_to_read_wakes_up_in_time():
    """The question's deadline is part of the server's."""
    three = Recovered(mark=SnapshotMark(members=Members(voters=("a", "b", "c"))))
    server = Raft("a", three, Config(), now=0.0, random=random.Random(1))
    server.step([Received("b", AppendEntries(1, 0, 0, 0, 1, Entries(1)))], now=0.0)

    server.step([ReadRequested(1)], now=0.1)

    assert server.deadline <= 0.1 + Config().election_timeout < inf


def test_cluster_time_goes_on_over_a_restart(run):
    """A new leader's stamps start at its log's last one, and follow its own clock's pace."""
    entries = Entries(1, (1,), (5_000,), bytes(1), (b"x",))
    server = alone(entries)
    lead(server)
    elected = 9.0
    server.step([], now=elected)

    first = server.step([Proposed(1, (b"y",))], now=elected)
    later = server.step([Proposed(2, (b"z",))], now=elected + 2.0)

    (first_stamp,) = next(e.entries.stamps for e in first if isinstance(e, Persist))
    (later_stamp,) = next(e.entries.stamps for e in later if isinstance(e, Persist))
    assert 5_000 <= first_stamp
    assert 2_000 == later_stamp - first_stamp
