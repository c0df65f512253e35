"""Elections: promises kept, elections not disturbed."""

from __future__ import annotations

import random

import pytest
from attrs import evolve

from quorum.config import Config
from quorum.core.raft import Raft
from quorum.effects import Announce, Persist, Role, Send
from quorum.events import MembersProposed, Persisted, Received, Recovered
from quorum.messages import (
    AppendEntries,
    Entries,
    Members,
    RequestVote,
    SnapshotMark,
    TimeoutNow,
    VoteReply,
)

ABC = Members(voters=("a", "b", "c"))


def make(name: str = "a", *, term: int = 0, vote: str | None = None, entries=None, **settings):
    """A lone core of a three-server cluster."""
    recovered = Recovered(term, vote, SnapshotMark(members=ABC), entries or Entries(1))
    return Raft(name, recovered, Config(**settings), now=0.0, random=random.Random(name))


def sends(effects):
    return [effect for effect in effects if isinstance(effect, Send)]


def persists(effects):
    return [effect for effect in effects if isinstance(effect, Persist)]


def ask(term: int, *, index: int = 0, last_term: int = 0, **kind) -> RequestVote:
    return RequestVote(term, index, last_term, **kind)


def test_a_vote_leaves_only_after_it_is_durable_and_in_one_write_with_the_term():
    """Crash before the write and nobody has heard the promise; after it, it is kept."""
    voter = make()

    effects = voter.step([Received("b", ask(3))], now=0.1)

    assert sends(effects) == []
    (write,) = persists(effects)
    assert (write.term, write.vote) == (3, "b")
    answer = voter.step([Persisted(write.ticket)], now=0.1)
    assert [Send("b", VoteReply(3, granted=True))] == sends(answer)


def test_one_vote_a_term_also_after_a_restart():
    """The recovered vote binds; the same candidate may ask again."""
    voter = make(term=3, vote="b")

    other = voter.step([Received("c", ask(3))], now=0.1)
    same = voter.step([Received("b", ask(3))], now=0.1)

    assert [Send("c", VoteReply(3, granted=False))] == sends(other)
    assert [Send("b", VoteReply(3, granted=True))] == sends(same)


def test_a_vote_stands_when_the_candidate_turns_out_to_be_leader_of_the_same_term():
    """Becoming its follower must not clear the vote."""
    voter = make()
    (write,) = persists(voter.step([Received("b", ask(3))], now=0.1))
    voter.step([Persisted(write.ticket)], now=0.1)
    voter.step([Received("b", AppendEntries(3, 0, 0, 0, 1, Entries(1)))], now=0.2)

    late = voter.step([Received("c", ask(3, index=9, last_term=3))], now=9.0)

    assert Send("c", VoteReply(3, granted=False)) in sends(late)


@pytest.mark.parametrize(
    ("index", "term", "granted"),
    [(1, 2, False), (2, 2, True), (3, 2, True), (9, 1, False), (1, 3, True)],
)
def test_votes_go_to_logs_that_are_at_least_as_up_to_date(run, index, term, granted):
    """Compared by last term first, then by length (§5.4.1)."""
    voter = make(term=2, entries=run(1, 2, b"x", b"y"))

    effects = voter.step([Received("b", ask(5, index=index, last_term=term))], now=0.1)
    (write,) = persists(effects)
    effects = voter.step([Persisted(write.ticket)], now=0.1)

    assert [Send("b", VoteReply(5, granted))] == sends(effects)


def test_a_question_before_the_vote_changes_nothing():
    """PreVote: same statistics, same deadline, nothing written (thesis 9.6)."""
    voter = make()
    voter.step([], now=0.0)
    before = (voter.statistics(), voter.deadline)

    effects = voter.step([Received("b", ask(8, pre_vote=True))], now=0.1)

    assert [Send("b", VoteReply(0, granted=True, pre_vote=True))] == effects
    assert before == (voter.statistics(), voter.deadline)


@pytest.mark.parametrize("pre_vote", [True, False])
def test_whoever_hears_a_leader_does_not_elect_another(pre_vote):
    """Within the least election timeout of hearing a leader, candidates are ignored (§6)."""
    follower = make()
    heartbeat = AppendEntries(1, 0, 0, 0, 1, Entries(1))
    (write,) = persists(follower.step([Received("b", heartbeat)], now=1.0))
    follower.step([Persisted(write.ticket)], now=1.0)
    request = ask(2, index=9, last_term=9, pre_vote=pre_vote)

    soon = follower.step([Received("c", request)], now=1.4999)
    late = follower.step([Received("c", request)], now=1.5)

    refusal = [Send("c", VoteReply(1, granted=False, pre_vote=True))] if pre_vote else []
    assert refusal == sends(soon)
    if pre_vote:
        assert [Send("c", VoteReply(1, granted=True, pre_vote=True))] == sends(late)
    else:
        assert (persists(late)[0].term, persists(late)[0].vote) == (2, "c")


def test_an_election_that_the_leader_asked_for_is_not_ignored():
    """TimeoutNow makes the successor disrupt on purpose (thesis 3.10)."""
    follower = make()
    follower.step([Received("b", AppendEntries(1, 0, 0, 0, 1, Entries(1)))], now=1.0)

    effects = follower.step([Received("c", ask(2, disrupt=True))], now=1.1)

    assert persists(effects)[0].vote == "c"


def test_a_server_asks_before_it_campaigns_and_its_term_stays(make_group):
    """A server that is cut off keeps asking, and its term does not grow."""
    group = make_group()
    group.elect("b")
    term = group.nodes["a"].statistics().term

    group.pass_time(20, lambda sender, to, _: "a" not in (sender, to))

    assert term == group.nodes["a"].statistics().term
    assert group.leader() == "b"


def test_a_server_that_was_cut_off_does_not_disturb_when_it_returns(make_group):
    """After the heal the leader and the term are the same."""
    group = make_group()
    group.elect("b")
    term = group.nodes["b"].statistics().term
    group.pass_time(20, lambda sender, to, _: "a" not in (sender, to))

    group.pass_time(20)

    assert [node.statistics().leader for node in group.nodes.values()] == ["b"] * 3
    assert term == group.nodes["b"].statistics().term


def test_repeated_and_late_votes_elect_nobody():
    """Votes are counted by voter and in their own ballot only."""
    candidate = make(pre_vote=False)
    (write,) = persists(candidate.step([], now=candidate.deadline))
    effects = [
        *candidate.step([Persisted(write.ticket)], now=candidate.deadline - 0.1),
        *candidate.step([Received("b", VoteReply(0, granted=True))] * 3, now=0.0),
        *candidate.step([Received("b", VoteReply(1, granted=True, pre_vote=True))], now=0.0),
    ]

    assert Role.CANDIDATE is candidate.statistics().role
    assert not any(isinstance(e, Announce) and e.role is Role.LEADER for e in effects)


def test_a_candidate_counts_its_own_vote_only_when_it_is_durable():
    """Five servers, two others said yes: the third voice is our disk's."""
    five = Recovered(mark=SnapshotMark(members=Members(voters=tuple("abcde"))))
    config = Config(pre_vote=False)
    candidate = Raft("a", five, config, now=0.0, random=random.Random(1))
    (write,) = persists(candidate.step([], now=candidate.deadline))
    yes = VoteReply(1, granted=True)
    candidate.step([Received("b", yes), Received("c", yes)], now=0.0)
    assert Role.CANDIDATE is candidate.statistics().role

    candidate.step([Persisted(write.ticket)], now=0.0)

    assert Role.LEADER is candidate.statistics().role


def test_a_lone_server_leads_when_its_vote_is_durable(make_group):
    """No peers to ask, but a disk to wait for."""
    group = make_group("a")
    group.slow_disks.add("a")
    group.pass_time(2.0)
    assert group.leader() is None

    group.sync("a")

    assert group.leader() == "a"


def test_a_higher_term_in_a_refusal_is_taken_over_without_a_vote():
    """Seeing a term is not granting a vote in it."""
    candidate = make(pre_vote=False)
    candidate.step([], now=candidate.deadline)

    effects = candidate.step([Received("b", VoteReply(7, granted=False))], now=0.0)

    assert (persists(effects)[0].term, persists(effects)[0].vote) == (7, None)
    assert Role.FOLLOWER is candidate.statistics().role


def test_a_server_behind_in_term_and_one_behind_in_log_still_elect_a_leader(make_group):
    """The PreVote deadlock: a high term with a short log must not block the others."""
    group = make_group()
    group.elect("b")
    group.propose("b", b"x")
    group.settle(lambda sender, to, _: "a" not in (sender, to))
    stranded = Recovered(term=50, mark=SnapshotMark(members=ABC))
    group.add("a", ABC, stranded)

    group.pass_time(10)

    assert group.leader() in ("b", "c")
    assert len({node.statistics().term for node in group.nodes.values()}) == 1


def test_a_leader_without_contact_to_a_majority_steps_down(make_group):
    """CheckQuorum (thesis 6.2): a cut-off leader must not go on refusing the truth."""
    group = make_group()
    group.elect("a")

    group.pass_time(1.0, lambda sender, to, _: "a" not in (sender, to))

    assert Role.FOLLOWER is group.nodes["a"].statistics().role
    assert group.nodes["a"].statistics().leader is None


def test_a_leader_whose_disk_stalls_steps_down_and_does_not_campaign(make_group):
    """A stalled disk is not leadership; the others elect one of theirs."""
    group = make_group()
    group.elect("a")
    group.slow_disks.add("a")
    group.propose("a", b"x")

    group.pass_time(group.config.disk_grace + 3)

    assert group.leader() in ("b", "c")
    assert [b"x"] == group.applied["b"] == group.applied["c"]


def test_learners_and_strangers_do_not_campaign():
    """Only voters may lead; who waits to be added waits."""
    learner = Members(voters=("b",), learners=("a",))
    for members in (learner, Members()):
        recovered = Recovered(mark=SnapshotMark(members=members))
        server = Raft("a", recovered, Config(), now=0.0, random=random.Random(1))

        effects = [e for _ in range(20) for e in server.step([], now=server.deadline)]

        assert sends(effects) == []


def test_timeout_now_of_another_term_or_sender_is_ignored(make_group):
    """Only the leader that we follow may make us campaign."""
    group = make_group()
    group.elect("b")
    term = group.nodes["b"].statistics().term
    follower = group.nodes["a"]

    follower.step([Received("c", TimeoutNow(term)), Received("b", TimeoutNow(term - 1))], now=0.0)

    assert term == follower.statistics().term


def test_the_same_events_give_the_same_effects():
    """Deterministic, byte for byte: equal seeds, equal stories."""
    stories = []
    for _ in range(2):
        server = make()
        story = []
        for _ in range(50):
            story += server.step([Received("b", ask(9, pre_vote=True))], now=server.deadline)
        stories.append(repr(story))

    assert stories[0] == stories[1]


def test_time_that_goes_back_is_time_that_stands_still():
    """A clock that jumps back moves no deadline."""
    server = make()
    server.step([], now=0.2)
    deadline = server.deadline

    server.step([], now=-100.0)

    assert deadline == server.deadline


def test_settings_change_by_evolving_the_defaults():
    """The advice in Config's docstring works."""
    assert evolve(Config(), election_timeout=2.0).election_timeout == 2.0


def test_a_server_of_higher_priority_is_elected_first():
    """Lower priority waits longer; it is a preference, not a rule."""
    recovered = Recovered(mark=SnapshotMark(members=ABC))
    servers = [
        Raft("a", recovered, Config(priority=priority), now=0.0, random=random.Random(seed))
        for priority in (1.0, 0.4)
        for seed in range(20)
    ]

    assert max(s.deadline for s in servers[:20]) < min(s.deadline for s in servers[20:])


def test_a_server_that_may_not_campaign_still_forgets_a_silent_leader(make_group):
    """Removed from the cluster it hears nothing more; whoever asks there must not wait for it."""
    group = make_group()
    group.elect("a")
    group.add("d", Members())
    group.step("a", MembersProposed(1, Members(voters=tuple("abc"), learners=("d",))))
    group.settle()
    assert "a" == group.nodes["d"].statistics().leader

    group.pass_time(5.0, lambda sender, to, _: "d" not in (sender, to))

    statistics = group.nodes["d"].statistics()
    assert (Role.FOLLOWER, None) == (statistics.role, statistics.leader)
    assert group.nodes["a"].statistics().term == statistics.term
