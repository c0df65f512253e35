"""Replication: what followers accept, what leaders commit."""

from __future__ import annotations

import random

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from quorum.config import Config
from quorum.core.raft import Raft
from quorum.effects import Admit, Apply, Persist, Refusal, Refuse, Role, Send
from quorum.events import Persisted, Proposed, Received, Recovered
from quorum.messages import AppendEntries, AppendReply, Entries, Kind, Members, SnapshotMark

ABC = Members(voters=("a", "b", "c"))


def follower(entries: Entries | None = None, term: int = 1) -> Raft:
    recovered = Recovered(term, None, SnapshotMark(members=ABC), entries or Entries(1))
    return Raft("a", recovered, Config(), now=0.0, random=random.Random(1))


def hear(server: Raft, message: AppendEntries, *, durable: bool = True):
    """Deliver, and complete the write if there is one; return all effects."""
    effects = server.step([Received("b", message)], now=0.1)
    if durable:
        for write in [e for e in effects if isinstance(e, Persist)]:
            effects += server.step([Persisted(write.ticket)], now=0.1)
    return effects


def replies(effects):
    return [e.message for e in effects if isinstance(e, Send) and type(e.message) is AppendReply]


def test_a_follower_answers_for_entries_when_they_are_durable(run):
    """The answer is held until the write is done; a heartbeat is answered at once."""
    server = follower()
    effects = hear(server, AppendEntries(1, 0, 0, 0, 1, run(1, 1, b"x")), durable=False)
    assert replies(effects) == []
    (write,) = [e for e in effects if isinstance(e, Persist)]

    heartbeat = hear(server, AppendEntries(1, 1, 1, 0, 2, Entries(2)))
    assert [AppendReply(1, 2, 0)] == replies(heartbeat)

    effects = server.step([Persisted(write.ticket)], now=0.1)
    assert [AppendReply(1, 1, 1)] == replies(effects)


def test_a_gap_is_refused_with_a_hint(run):
    """The leader learns where the logs may still agree."""
    server = follower(run(1, 1, b"x", b"y"))

    effects = hear(server, AppendEntries(1, 7, 1, 0, 1, run(8, 1, b"z")))

    assert [AppendReply(1, 1, None, 2, 1)] == replies(effects)


def test_a_late_message_does_not_truncate_what_came_after_it(run):
    """Entries 1..3 arrived; the repeated message with entry 1 only changes nothing."""
    server = follower()
    hear(server, AppendEntries(1, 0, 0, 0, 1, run(1, 1, b"x", b"y", b"z")))

    effects = hear(server, AppendEntries(1, 0, 0, 0, 1, run(1, 1, b"x")))

    assert server.statistics().last_index == 3
    assert [e for e in effects if isinstance(e, Persist)] == []


def test_conflicting_entries_are_replaced_in_one_write(run):
    """Truncation and the new entries are the same `Persist`, so no crash falls between them."""
    server = follower(run(1, 1, b"x", b"old", b"older"))

    effects = hear(server, AppendEntries(2, 1, 1, 0, 1, run(2, 2, b"new")))

    (write,) = [e for e in effects if isinstance(e, Persist)]
    assert (2, run(2, 2, b"new")) == (write.term, write.entries)
    assert (server.statistics().last_index, server.statistics().last_term) == (2, 2)


def test_the_commit_index_stops_at_the_last_entry_that_was_verified(run):
    """A heartbeat with a higher commit index commits nothing on an unverified tail."""
    server = follower(run(1, 1, b"x", b"perhaps another's"), term=1)

    hear(server, AppendEntries(2, 1, 1, 2, 1, Entries(2)))

    assert server.statistics().commit == 1


def test_the_commit_index_never_falls(run):
    """An old message knows less; it takes nothing back."""
    server = follower(run(1, 1, b"x", b"y"))
    hear(server, AppendEntries(1, 2, 1, 2, 2, Entries(3)))

    hear(server, AppendEntries(1, 1, 1, 0, 1, Entries(2)))

    assert server.statistics().commit == 2


def test_nothing_is_applied_before_it_is_durable_here(run):
    """Committed elsewhere, but our own disk is slow: the machine waits."""
    server = follower()

    early = hear(server, AppendEntries(1, 0, 0, 1, 1, run(1, 1, b"x")), durable=False)
    assert [e for e in early if isinstance(e, Apply)] == []

    late = server.step([Persisted(1)], now=0.1)
    assert [Apply(run(1, 1, b"x"))] == [e for e in late if isinstance(e, Apply)]


def test_a_leader_of_the_past_learns_the_term():
    """Its message is refused and changes nothing."""
    server = follower(term=5)

    effects = hear(server, AppendEntries(3, 0, 0, 0, 9, Entries(1)))

    assert [AppendReply(5, 9, None)] == replies(effects)
    assert server.statistics().leader is None


def test_entries_go_to_all_followers_and_the_disk_in_one_round(make_group):
    """Whatever came in meanwhile: one message a follower, one write, sends first."""
    group = make_group()
    group.elect("a")
    leader = group.nodes["a"]

    effects = leader.step([Proposed(1, (b"x",)), Proposed(2, (b"y", b"z"))], now=group.now)

    kinds = [type(e) for e in effects]
    assert [Admit, Admit, Send, Send, Persist] == kinds
    (first, second) = [e.message for e in effects if isinstance(e, Send)]
    assert first is second, "followers in step share a message"
    assert first.entries is effects[-1].entries, "and share the run with the disk"
    assert first.entries.payloads == (b"x", b"y", b"z")


def test_a_leader_counts_its_own_log_only_as_far_as_it_is_durable(make_group):
    """One follower has it and our disk has not: that is no majority of three."""
    group = make_group()
    group.elect("a")
    committed = group.nodes["a"].statistics().commit
    group.slow_disks.add("a")
    group.propose("a", b"x")
    group.settle(lambda sender, to, _: "c" not in (sender, to))
    assert committed == group.nodes["a"].statistics().commit

    group.sync("a")

    assert committed + 1 == group.nodes["a"].statistics().commit


def test_two_followers_commit_without_the_leaders_disk(make_group):
    """A majority is a majority (thesis 10.2.1); the leader applies when it has it itself."""
    group = make_group()
    group.elect("a")
    group.slow_disks.add("a")
    group.propose("a", b"x")
    group.settle()
    group.pass_time(0.2)

    assert [b"x"] == group.applied["b"] == group.applied["c"]
    assert group.applied["a"] == []


def test_entries_of_older_terms_commit_only_with_one_of_our_own(make_group):
    """Figure 8: a majority of an old entry proves nothing until a new one is counted."""
    group = make_group("abcde")
    group.elect("a")
    old_term = group.nodes["a"].statistics().term
    group.propose("a", b"old")
    group.settle(lambda sender, to, _: {sender, to} <= {"a", "b"})
    group.pass_time(3.0, lambda sender, to, _: {sender, to} <= {"c", "d", "e"})
    assert group.leader() in ("c", "d", "e")
    assert b"old" not in group.applied[group.leader()]

    new_leader = group.leader()
    group.pass_time(3.0)

    assert not any(b"old" in group.applied[name] for name in group.nodes)
    assert new_leader == group.leader()
    assert old_term < group.nodes["a"].statistics().term


def test_proposals_at_a_follower_are_refused_with_the_leaders_name(make_group):
    """Nothing was written; the caller knows whom to ask."""
    group = make_group()
    group.elect("b")

    effects = group.step("a", Proposed(9, (b"x",)))

    assert [Refuse(9, Refusal.NOT_LEADER, "b")] == effects


def test_a_leader_without_a_majority_refuses_once_its_limit_is_reached(make_group):
    """Memory stays bounded: `uncommitted_bytes_max`."""
    config = Config(uncommitted_bytes_max=1000, command_bytes_max=600)
    group = make_group(config=config)
    group.elect("a")
    group.step("a", Proposed(1, (b"x" * 600,)), Proposed(2, (b"x" * 600,)))

    effects = group.step("a", Proposed(3, (b"x",)))
    assert [Refuse(3, Refusal.OVERLOADED)] == [e for e in effects if isinstance(e, Refuse)]

    group.settle()
    assert group.nodes["a"].statistics().uncommitted_bytes == 0
    assert any(isinstance(e, Admit) for e in group.step("a", Proposed(4, (b"x",))))


def test_the_window_bounds_what_is_on_its_way(make_group):
    """`inflight_max` messages of `entries_max` entries, then the leader waits."""
    group = make_group(config=Config(inflight_max=2, entries_max=3))
    group.elect("a")

    effects = group.nodes["a"].step([Proposed(1, (b"x",) * 20)], now=group.now)

    to_b = [e.message for e in effects if isinstance(e, Send) and e.to == "b"]
    assert [len(message.entries) for message in to_b] == [3, 3]


def test_lost_messages_are_noticed_by_the_next_heartbeat(make_group):
    """It asks about the entry before `next`; the refusal starts a probe."""
    group = make_group()
    group.elect("a")
    group.propose("a", b"x")
    group.deliver(lambda _s, to, _m: to != "c")
    group.settle()

    group.pass_time(0.5)

    assert group.applied["c"] == [b"x"]


def test_an_idle_leader_spreads_the_commit_soon(make_group):
    """Followers need not wait for a heartbeat to apply."""
    group = make_group(config=Config(heartbeat=0.2, commit_delay=0.005))
    group.elect("a")
    group.propose("a", b"x")
    group.settle()
    assert group.applied["b"] == []

    group.pass_time(0.006)

    assert [b"x"] == group.applied["b"] == group.applied["c"]


def test_an_answer_from_before_a_peer_was_added_counts_for_nothing(make_group):
    """Rounds tell a peer's former life from this one."""
    group = make_group()
    group.elect("a")
    group.propose("a", b"not delivered")
    leader = group.nodes["a"]
    before = leader.statistics()
    assert dict(before.match)["b"] < before.last_index

    group.step("a", Received("b", AppendReply(before.term, 0, before.last_index)))

    assert dict(before.match)["b"] == dict(leader.statistics().match)["b"]


def test_replies_of_other_terms(make_group):
    """A higher term ends leadership; a lower one is a no-op."""
    group = make_group()
    group.elect("a")
    leader = group.nodes["a"]
    term = leader.statistics().term

    group.propose("a", b"not delivered")
    before = leader.statistics()
    group.step("a", Received("b", AppendReply(term - 1, 99, before.last_index)))
    assert (Role.LEADER, before.match) == (leader.statistics().role, leader.statistics().match)

    group.step("a", Received("b", AppendReply(term + 1, 99, None)))
    assert Role.FOLLOWER is leader.statistics().role


def divergent(terms: int, each: int) -> tuple[Entries, Entries]:
    """Two logs that agree on nothing but their first entry: odd terms against even ones."""

    def build(first_term):
        column = [1]
        for k in range(terms):
            column += [first_term + 2 * k] * each
        count = len(column)
        return Entries(1, tuple(column), (0,) * count, bytes(count), (b"",) * count)

    return build(2), build(3)


def test_a_divergence_of_many_terms_heals_in_as_many_round_trips():
    """10,000 entries in 50 terms: at most terms + 2 questions, not one an entry."""
    mine, theirs = divergent(terms=25, each=200)
    two = SnapshotMark(members=Members(voters=("a", "b")))
    lagging = Raft(
        "b",
        Recovered(60, None, two, mine),
        Config(),
        now=0.0,
        random=random.Random(1),
    )
    leading = Raft(
        "a",
        Recovered(60, None, two, theirs),
        Config(pre_vote=False, entries_max=10_000),
        now=0.0,
        random=random.Random(2),
    )
    now, trips = leading.deadline, 0
    inbox = {"a": [], "b": []}
    targets = {"a": leading, "b": lagging}
    for _ in range(400):
        done = lagging.statistics().last_index > 5001 and lagging.statistics().last_term > 60
        if done:
            break
        for name, server in targets.items():
            events, inbox[name] = inbox[name], []
            for effect in server.step(events, now=now):
                match effect:
                    case Send(to, message):
                        trips += isinstance(message, AppendEntries)
                        inbox[to].append(Received(name, message))
                    case Persist(ticket):
                        inbox[name].append(Persisted(ticket))
                    case _:
                        pass
    assert leading.statistics().last_index == lagging.statistics().last_index
    assert trips <= 50 + 2


@settings(max_examples=60)
@given(st.integers(0, 1 << 32))
def test_any_order_of_delivery_ends_in_equal_logs(seed):
    """Loss, repetition and reordering delay, they do not corrupt."""
    chance = random.Random(seed)
    members = ABC
    nodes = {
        n: Raft(
            n,
            Recovered(mark=SnapshotMark(members=members)),
            Config(),
            now=0.0,
            random=random.Random(n),
        )
        for n in "abc"
    }
    now, mail, applied = 0.0, [], {n: [] for n in "abc"}

    def step(name, *events):
        durable = []
        for effect in nodes[name].step(events, now=now):
            match effect:
                case Send(to, message):
                    mail.append((to, Received(name, message)))
                case Persist(ticket):
                    durable.append(Persisted(ticket))
                case Apply(entries):
                    applied[name] += [e.payload for e in entries if e.kind is Kind.COMMAND]
                case _:
                    pass
        if durable:
            step(name, *durable)

    for k in range(400):
        choice = chance.random()
        if mail and choice < 0.7:
            to, event = mail[chance.randrange(len(mail))]
            if chance.random() < 0.8:
                mail.remove((to, event))
            step(to, event)
        elif choice < 0.8:
            step(chance.choice("abc"), Proposed(k, (b"%d" % k,)))
        else:
            now += 0.05
            for name in "abc":
                step(name)
    longest = max(applied.values(), key=len)
    for story in applied.values():
        assert story == longest[: len(story)]


@pytest.mark.parametrize("kind", list(Kind))
def test_entries_read_back_one_by_one(kind):
    """A run is its entries."""
    entries = Entries(5, (2, 3), (10, 20), bytes((kind, 0)), (b"x", b"y"))

    assert [(5, 2, 10, kind, b"x"), (6, 3, 20, Kind.COMMAND, b"y")] == [
        (e.index, e.term, e.stamp, e.kind, e.payload) for e in entries
    ]


def test_an_answer_for_entries_that_were_never_sent_is_ignored(make_group):
    """Whatever sends it: it must not commit anything, nor stop the leader."""
    group = make_group()
    group.elect("a")
    before = group.nodes["a"].statistics()

    group.step("a", Received("b", AppendReply(before.term, 10**6, before.last_index + 5)))

    assert before.match == group.nodes["a"].statistics().match


def test_entries_that_got_lost_and_were_then_compacted_are_made_up_by_a_snapshot(make_group):
    """Even when the follower has an old leader's entry just where the lost one belongs."""
    config = Config(inflight_max=1, snapshot_entries=3, tail_entries=0)
    group = make_group(config=config)
    group.elect("a")
    group.pass_time(1.0)
    match = dict(group.nodes["a"].statistics().match)["c"]
    for command in b"123456":
        group.propose("a", bytes([command]))
        group.settle(lambda _from, to, _message: to != "c")
    leader = group.nodes["a"].statistics()
    assert leader.first_index > match + 2

    refusal = AppendReply(leader.term, 10**6, None, hint_index=match + 1, hint_term=0)
    group.step("a", Received("c", refusal))

    assert [("a", "c")] == [(sender, order.to) for sender, order in group.snapshots]
