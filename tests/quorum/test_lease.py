"""Reads under a leader's lease (thesis 6.4.1)."""

from __future__ import annotations

import random

import pytest

from quorum.config import Config
from quorum.core.raft import Raft
from quorum.effects import Answer, Persist, Refuse, Send
from quorum.errors import ConfigError
from quorum.events import ReadRequested, Received, Recovered, TransferRequested
from quorum.messages import Members, RequestVote, SnapshotMark

LEASES = Config(lease_drift=0.25)
LASTS = LEASES.election_timeout / 1.25


def tags(effects):
    return [effect.tag for effect in effects if isinstance(effect, Answer)]


def read(group, name, tag):
    return tags(group.step(name, ReadRequested(tag, lease=True)))


def leased(make_group):
    """A leader that has just heard from everybody."""
    group = make_group(config=LEASES)
    group.elect("a")
    group.pass_time(0.2)
    return group


def test_a_read_under_a_lease_needs_no_messages(make_group):
    """It is answered in the step in which it came."""
    group = leased(make_group)

    assert [101] == read(group, "a", 101)


def test_a_lease_ends_in_time_when_nobody_answers(make_group):
    """By the leader's clock, shortened by the bound on drift; then a round is needed again."""
    group = leased(make_group)
    group.pass_time(LASTS - 0.06, lambda _s, to, _m: to != "a")
    assert [101] == read(group, "a", 101)

    group.pass_time(0.07, lambda _s, to, _m: to != "a")

    assert [] == read(group, "a", 102)


def test_a_lease_counts_from_when_the_round_was_sent(make_group):
    """Not from when the answers came: the voters' timers ran meanwhile."""
    group = leased(make_group)
    group.pass_time(0.4, lambda _s, to, _m: to != "a")
    group.step("a")
    sent_at = group.now
    while not group.mail:
        group.now = group.nodes["a"].deadline
        sent_at = group.now
        group.step("a")
    group.deliver()
    group.now = sent_at + 0.2
    group.deliver()
    assert [101] == read(group, "a", 101)

    group.now = sent_at + LASTS
    assert [] == read(group, "a", 102)


def test_without_the_setting_there_are_no_leases(make_group):
    """The default is a round of messages for every batch of reads."""
    group = make_group()
    group.elect("a")
    group.pass_time(0.2)

    assert [] == read(group, "a", 101)


def test_a_lease_is_given_away_before_leadership_is(make_group):
    """TimeoutNow makes voters forget their promise, so reads wait for a round from then on."""
    group = leased(make_group)

    group.step("a", TransferRequested(55, "b"))

    assert [] == read(group, "a", 101)


def test_a_restarted_voter_keeps_the_promise_of_its_earlier_life():
    """It cannot know whether it granted a lease, so it votes for nobody for a while."""
    members = Members(voters=("a", "b", "c"))
    recovered = Recovered(mark=SnapshotMark(members=members))
    server = Raft("a", recovered, LEASES, now=10.0, random=random.Random(1))
    candidate = Received("b", RequestVote(1, 0, 0))

    early = server.step([candidate], now=10.0 + LEASES.election_timeout - 0.01)
    late = server.step([candidate], now=10.0 + LEASES.election_timeout)

    assert [] == [e for e in early if isinstance(e, Send | Persist)]
    assert [(1, "b")] == [(e.term, e.vote) for e in late if isinstance(e, Persist)]


def test_a_leader_that_lost_its_lease_does_not_answer_wrongly(make_group):
    """Cut off while the others elect a new leader: its reads are refused, not served."""
    group = leased(make_group)

    group.pass_time(2.0, lambda sender, to, _: "a" not in (sender, to))
    answered = read(group, "a", 101)

    assert [] == answered
    assert any(e.tag == 101 for e in group.effects("a", Refuse))
    assert group.leader() in ("b", "c")


def test_leases_need_check_quorum():
    """Without it voters make no promise."""
    with pytest.raises(ConfigError):
        Config(lease_drift=0.1, check_quorum=False)
    with pytest.raises(ConfigError):
        Config(lease_drift=-0.1)
