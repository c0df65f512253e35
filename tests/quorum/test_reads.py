"""Linearizable reads by ReadIndex (thesis 6.4)."""

from __future__ import annotations

import random

from quorum.config import Config
from quorum.core.raft import Raft
from quorum.effects import Answer, Refusal, Refuse, Send
from quorum.events import Applied, Persisted, Proposed, ReadRequested, Received, Recovered
from quorum.messages import (
    AppendEntries,
    Entries,
    Members,
    ReadIndex,
    ReadIndexReply,
    SnapshotMark,
    TimeoutNow,
)


def answers(group, name):
    return group.effects(name, Answer)


def refusals(group, name):
    return group.effects(name, Refuse)


def test_a_read_waits_for_a_round_that_began_after_it_came(make_group):
    """Nothing is answered before a majority has answered the new round."""
    group = make_group()
    group.elect("a")

    effects = group.step("a", ReadRequested(1))
    rounds = {e.message.round for e in effects if isinstance(e, Send)}
    assert len(rounds) == 1
    assert answers(group, "a") == []

    group.settle()
    assert [Answer(1, group.nodes["a"].statistics().commit)] == answers(group, "a")


def test_an_answer_to_an_earlier_round_confirms_nothing(make_group):
    """A reply held back since before the read came is no proof."""
    group = make_group()
    group.elect("a")
    group.propose("a", b"x")
    group.deliver()
    late, group.mail = group.mail, []

    group.step("a", ReadRequested(1))
    group.mail = late
    group.deliver(lambda _s, to, _m: to == "a")

    assert answers(group, "a") == []


def test_reads_of_one_step_share_a_round(make_group):
    """One message a follower, whatever the number of readers."""
    group = make_group()
    group.elect("a")

    effects = group.nodes["a"].step([ReadRequested(k) for k in range(50)], now=group.now)

    assert [e.to for e in effects if isinstance(e, Send)] == ["b", "c"]


def test_a_leader_that_was_replaced_answers_no_read(make_group):
    """Cut off, it cannot know; the read is refused when it steps down."""
    group = make_group()
    group.elect("a")
    group.step("a", ReadRequested(1))

    group.pass_time(2.0, lambda sender, to, _: "a" not in (sender, to))

    assert answers(group, "a") == []
    assert [Refuse(1, Refusal.NOT_LEADER, None)] == refusals(group, "a")


def test_a_new_leader_answers_only_after_its_first_commit(make_group):
    """Before that it may not know what is committed (§8)."""
    group = make_group()
    group.slow_disks |= set("abc")
    while group.leader() is None:
        group.pass_time(0.1)
        for name in "abc":
            group.sync(name)
        group.settle()
    leader = group.leader()
    group.step(leader, ReadRequested(1))
    group.settle()
    assert answers(group, leader) == []

    for _ in range(3):
        for name in "abc":
            group.sync(name)
        group.settle()

    assert [Answer(1, 1)] == answers(group, leader)


def test_a_read_waits_until_the_machine_has_caught_up(make_group):
    """Confirmed is not applied: the order is confirm, wait, read."""
    group = make_group("a")
    group.pass_time(2.0)
    leader = group.nodes["a"]
    effects = leader.step([Proposed(1, (b"x",))], now=group.now)
    ticket = effects[-1].ticket
    leader.step([Persisted(ticket)], now=group.now)
    assert [
        e for e in leader.step([ReadRequested(2)], now=group.now) if isinstance(e, Answer)
    ] == []

    effects = leader.step([Applied(2)], now=group.now)

    assert [Answer(2, 2)] == effects


def test_a_follower_asks_the_leader_once_for_all_its_readers(make_group):
    """And answers them when its own machine is there."""
    group = make_group()
    group.elect("b")
    group.propose("b", b"x")
    group.settle()

    group.step("a", ReadRequested(101), ReadRequested(102))
    assert sum(isinstance(message, ReadIndex) for _, _, message in group.mail) == 1
    group.settle()

    assert [answer.tag for answer in answers(group, "a") if answer.tag > 100] == [101, 102]
    assert group.applied["a"] == [b"x"]


def test_an_answer_to_a_question_of_an_earlier_life_answers_nothing(make_group):
    """A restarted server asks anew; an answer to its old question may be out of date.

    Found by the simulator, seed 103519: a server took it for the answer to its new question.
    """
    group = make_group()
    group.elect("b")
    group.step("a", ReadRequested(101))
    group.settle(lambda _s, to, _m: to == "b")
    (old_question,) = [
        e.message for e in group.effects("a", Send) if isinstance(e.message, ReadIndex)
    ]
    term, members = old_question.term, Members(voters=("a", "b", "c"))
    recovered = Recovered(term, None, SnapshotMark(members=members))
    again = Raft("a", recovered, Config(), now=group.now, random=random.Random("another life"))
    again.step([Received("b", AppendEntries(term, 0, 0, 0, 9, Entries(1)))], now=group.now)
    again.step([ReadRequested(102)], now=group.now)

    late = Received("b", ReadIndexReply(term, old_question.context, 0))

    assert [] == again.step([late], now=group.now)


def test_a_question_that_got_lost_is_refused_in_time(make_group):
    """Nobody hangs: after an election timeout the reader may try again."""
    group = make_group()
    group.elect("b")
    group.step("a", ReadRequested(1))

    group.pass_time(1.0, lambda _s, _t, message: isinstance(message, AppendEntries))

    assert 1 in [refusal.tag for refusal in refusals(group, "a")]


def test_a_read_without_a_leader_is_refused(make_group):
    """There is nobody to ask."""
    group = make_group()

    effects = group.step("a", ReadRequested(1))

    assert Refuse(1, Refusal.NOT_LEADER, None) in effects


def test_a_question_is_refused_when_its_asker_campaigns(make_group):
    """As a leader it would wait for an answer that belongs to another term."""
    group = make_group()
    group.elect("b")
    term = group.nodes["a"].statistics().term

    effects = group.step("a", ReadRequested(1), Received("b", TimeoutNow(term)))

    assert Refuse(1, Refusal.NOT_LEADER, None) in effects


def test_a_read_that_may_be_old_shares_the_proof_of_one_before_it(make_group):
    """Bounded staleness: within `max_age` of a confirmed read no further round is needed."""
    group = make_group()
    group.elect("b")
    group.step("a", ReadRequested(101))
    group.settle()
    group.pass_time(0.1)

    at_once = group.step("a", ReadRequested(102, max_age=5.0))
    group.settle(lambda sender, to, _: "b" not in (sender, to))
    too_old = group.step("a", ReadRequested(103, max_age=0.05))

    assert 102 in [effect.tag for effect in at_once if isinstance(effect, Answer)]
    assert [] == [effect for effect in too_old if isinstance(effect, Answer)]
    assert any(isinstance(e, Send) and isinstance(e.message, ReadIndex) for e in too_old)


def test_the_age_of_a_read_counts_from_before_its_proof_was_asked_for(make_group):
    """The answer took a while: what it proves is as old as the question."""
    group = make_group()
    group.elect("b")
    group.step("a", ReadRequested(101))
    group.now += 0.3
    group.settle()
    assert 101 in [answer.tag for answer in answers(group, "a")]

    effects = group.step("a", ReadRequested(102, max_age=0.2))

    assert 102 not in [e.tag for e in effects if isinstance(e, Answer)]


def test_a_read_whose_entries_will_not_come_is_refused_when_the_leader_is_lost(make_group):
    """A follower that was removed, or cut off, cannot wait for what the leader told it."""
    group = make_group()
    group.elect("a")
    for _ in range(3):
        group.propose("a", b"x")
        group.settle(lambda _s, to, _m: to != "c")
    group.step("c", ReadRequested(7))
    group.settle(lambda _s, to, message: to != "c" or isinstance(message, ReadIndexReply))
    assert [] == answers(group, "c") + refusals(group, "c")

    group.pass_time(2.0, lambda sender, to, _: "c" not in (sender, to))

    assert [Refuse(7, Refusal.NOT_LEADER, None)] == refusals(group, "c")
    group.step("c", ReadRequested(8, max_age=1000.0))
    assert [Refuse(8, Refusal.NOT_LEADER, None)] == refusals(group, "c")[1:]
