"""Changes of role, and what is settled when leadership ends."""

from __future__ import annotations

from quorum.effects import Refusal, Refuse, Role
from quorum.events import ReadRequested, TransferRequested


def test_a_leader_opens_its_term_with_a_noop(make_group):
    """So that it learns what is committed (§8)."""
    group = make_group()
    group.elect("a")
    group.pass_time(0.1)

    statistics = group.nodes["a"].statistics()

    assert (statistics.term, statistics.last_index) == (statistics.last_term, statistics.commit)


def test_a_leader_that_steps_down_settles_everything(make_group):
    """Reads and transfers are answered, nothing is left hanging."""
    group = make_group()
    group.elect("a")
    group.step("a", ReadRequested(101), TransferRequested(102, "b"))

    group.pass_time(2.0, lambda sender, to, _: "a" not in (sender, to))

    refused = {effect.tag: effect.reason for effect in group.effects("a", Refuse)}
    assert Refusal.NOT_LEADER is refused[101]
    assert 102 in refused
    assert group.nodes["a"].statistics().match == ()


def test_there_is_at_most_one_leader_in_a_term(make_group):
    """Election Safety, over some stormy elections."""
    group = make_group("abcde")
    leaders = {}
    for _ in range(6):
        leader = group.leader()
        group.pass_time(1.5, lambda sender, to, _, leader=leader: leader not in (sender, to))
        for node in group.nodes.values():
            statistics = node.statistics()
            if statistics.role is Role.LEADER:
                assert leaders.setdefault(statistics.term, statistics.id) == statistics.id

    assert len(leaders) >= 3
