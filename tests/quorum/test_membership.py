"""Changes of members (§6) and of leaders (thesis 3.10)."""

from __future__ import annotations

import pytest

from quorum.config import Config
from quorum.effects import Admit, Answer, Refusal, Refuse, Role
from quorum.events import MembersProposed, Proposed, Recovered, TransferRequested
from quorum.messages import Members, SnapshotMark, TimeoutNow


def change(group, leader, voters, *, learners=(), expected=None, tag=1):
    members = Members(voters=tuple(voters), learners=tuple(learners))
    return group.step(leader, MembersProposed(tag, members, expected))


def members_of(group, name):
    return group.nodes[name].statistics().members


def join(group, *names):
    for name in names:
        group.add(name, Members())


@pytest.mark.parametrize("target", ["abcd", "ab", "ade", "def", "a"])
def test_any_set_of_voters_can_follow_any_other(make_group, target):
    """Through the joint configuration, which is left by itself."""
    group = make_group()
    group.elect("a")
    group.propose("a", b"before")
    group.settle()
    join(group, *(set(target) - set("abc")))

    change(group, "a", target)
    group.settle()
    group.pass_time(5.0)

    leader = group.leader()
    assert leader in target
    assert Members(voters=tuple(target)) == members_of(group, leader)
    group.propose(leader, b"after")
    group.settle()
    group.pass_time(1.0)
    assert all(group.applied[name] == [b"before", b"after"] for name in target)


def test_a_configuration_is_in_force_as_soon_as_it_is_appended(make_group):
    """Joint at once, at the leader and at whoever stored it."""
    group = make_group()
    group.elect("a")
    join(group, "d")

    change(group, "a", "abd")

    assert members_of(group, "a") == Members(voters=tuple("abd"), outgoing=tuple("abc"))


def test_while_joint_both_majorities_decide(make_group):
    """Old majority alone commits nothing, nor does the new one."""
    group = make_group()
    group.elect("a")
    join(group, "x", "y")
    change(group, "a", "axy")
    commit = group.nodes["a"].statistics().commit

    group.settle(lambda sender, to, _: {sender, to} <= set("abc"))
    assert commit == group.nodes["a"].statistics().commit

    group.pass_time(1.0)
    assert Members(voters=tuple("axy")) == members_of(group, "a")


def test_a_truncated_configuration_is_rolled_back(make_group):
    """The new leader's log decides; nobody keeps what was never committed."""
    group = make_group()
    group.elect("a")
    join(group, "x")
    change(group, "a", "abx")
    assert members_of(group, "a").joint

    group.mail.clear()
    group.pass_time(3.0, lambda sender, to, _: {sender, to} <= {"b", "c"})
    group.pass_time(3.0)

    assert Members(voters=tuple("abc")) == members_of(group, "a")


def test_a_crash_of_the_leader_does_not_strand_the_joint_configuration(make_group):
    """Whoever leads next leaves it."""
    group = make_group()
    group.elect("a")
    join(group, "d")
    change(group, "a", "bcd")
    group.deliver()
    del group.nodes["a"]

    group.pass_time(5.0)

    assert group.leader() in "bcd"
    assert not members_of(group, group.leader()).joint


def test_one_change_at_a_time(make_group):
    """The second waits for the end of the first."""
    group = make_group()
    group.elect("a")
    join(group, "d", "e")
    change(group, "a", "abcd", tag=1)

    effects = change(group, "a", "abce", tag=2)

    assert [Refuse(2, Refusal.CHANGE_PENDING, None)] == effects


def test_no_change_before_the_leader_has_committed_in_its_term(make_group):
    """The correction of 2015: two leaders could otherwise hold disjoint majorities."""
    group = make_group()
    group.slow_disks |= {"a", "b", "c"}
    while group.leader() is None:
        group.pass_time(0.1)
        for name in "abc":
            group.sync(name)
        group.settle()
    leader = group.leader()

    effects = change(group, leader, "ab", tag=7)

    assert [Refuse(7, Refusal.CHANGE_PENDING, None)] == effects


def test_compare_and_set_on_the_configuration(make_group):
    """Two administrators: the second one's view is out of date."""
    group = make_group()
    group.elect("a")
    seen = group.nodes["a"].statistics().members_index
    change(group, "a", "abc", learners="d", expected=seen, tag=1)
    group.settle()

    effects = change(group, "a", "abc", learners="e", expected=seen, tag=2)

    assert [Refuse(2, Refusal.CONFLICT, None)] == effects


def test_a_cluster_without_voters_is_refused(make_group):
    """It could never decide anything again."""
    group = make_group()
    group.elect("a")

    assert [Refuse(1, Refusal.UNFIT, None)] == change(group, "a", "")


def test_a_removed_leader_leads_until_the_change_is_committed_then_steps_down(make_group):
    """Not earlier, and not counting itself (§6)."""
    group = make_group()
    group.elect("a")

    change(group, "a", "bc")
    assert Role.LEADER is group.nodes["a"].statistics().role
    group.settle()

    assert Role.FOLLOWER is group.nodes["a"].statistics().role
    assert Members(voters=("b", "c")) == members_of(group, "a")
    group.pass_time(3.0)
    assert group.leader() in ("b", "c")


def test_a_removed_server_does_not_disturb(make_group):
    """It hears nothing any more, asks, and is not answered with a term."""
    group = make_group()
    group.elect("a")
    change(group, "a", "ab")
    group.settle()
    term = group.nodes["a"].statistics().term

    group.pass_time(20.0)

    assert ("a", term) == (group.leader(), group.nodes["a"].statistics().term)


def test_learners_get_the_log_and_have_no_say(make_group):
    """Two of three voters gone: the learner cannot replace them."""
    group = make_group()
    group.elect("a")
    join(group, "d")
    change(group, "a", "abc", learners="d")
    group.settle()
    group.propose("a", b"x")
    group.settle()
    group.pass_time(0.1)
    assert group.applied["d"] == [b"x"]

    commit = group.nodes["a"].statistics().commit
    group.propose("a", b"y")
    group.settle(lambda sender, to, _: {sender, to} <= {"a", "d"})
    assert commit == group.nodes["a"].statistics().commit


def test_leadership_moves_on_request(make_group):
    """The successor has everything before it is told; the request is answered."""
    group = make_group()
    group.elect("a")
    group.propose("a", b"x")

    group.step("a", TransferRequested(5, "c"))
    assert not any(isinstance(message, TimeoutNow) for _, _, message in group.mail)
    group.settle()
    group.pass_time(0.1)

    assert group.leader() == "c"
    assert 5 in [effect.tag for effect in group.effects("a", Answer)]


def test_nothing_is_accepted_while_leadership_moves_and_the_flag_is_always_cleared(make_group):
    """A successor that never answers: after an election timeout we go on leading."""
    group = make_group()
    group.elect("a")
    group.step("a", TransferRequested(5, "c"))
    assert [Refuse(6, Refusal.TRANSFERRING, None)] == group.step("a", Proposed(6, (b"x",)))

    group.pass_time(0.7, lambda _s, _t, message: not isinstance(message, TimeoutNow))

    assert group.leader() == "a"
    assert any(isinstance(e, Admit) for e in group.step("a", Proposed(7, (b"x",))))


def test_leadership_goes_to_voters_only(make_group):
    """A stranger cannot lead; the leader itself already does."""
    group = make_group()
    group.elect("a")

    assert [Refuse(1, Refusal.UNFIT, None)] == group.step("a", TransferRequested(1, "z"))
    assert [Answer(2, group.nodes["a"].statistics().commit)] == group.step(
        "a", TransferRequested(2, "a")
    )


def test_configurations_read_back_and_refuse_garbage():
    """Their payload is canonical JSON."""
    members = Members(voters=("b", "a"), learners=("c",), addresses=(("a", "host:1"),))
    assert members == Members.from_bytes(members.to_bytes())

    for garbage in (
        b"",
        b"[]",
        b"{}",
        b'{"voters":[1],"outgoing":[],"learners":[],"addresses":[],"joining":[]}',
    ):
        with pytest.raises(ValueError):
            Members.from_bytes(garbage)


def test_a_demoted_voter_that_alone_has_the_demotion_may_still_be_elected(make_group):
    """Thesis 4.2.2: it is needed until C_new is committed; then it steps down by itself."""
    group = make_group("ab")
    group.elect("a")
    group.propose("a", b"before")
    group.settle()
    change(group, "a", "a", learners=("b",))
    group.slow_disks.add("a")
    group.settle()
    assert not members_of(group, "b").is_voter("b")
    durable = group.nodes["a"].statistics().durable
    assert durable < group.nodes["b"].statistics().last_index

    # The leader loses what its disk had not synced: now its log is behind that of the other.
    state = group.nodes["a"]._state
    kept = state.log.slice(1, durable + 1)
    members = Members(voters=("a", "b"))
    group.writes["a"].clear()
    group.slow_disks.clear()
    vote = (state.term, "a")
    group.add("a", members, Recovered(*vote, SnapshotMark(members=members), kept))
    group.pass_time(10.0)

    assert group.leader() == "a"
    assert Members(voters=("a",), learners=("b",)) == members_of(group, "a")


def test_a_joining_learner_becomes_a_voter_when_it_has_caught_up(make_group):
    """Learner first, promoted by the leader, through a joint configuration."""
    group = make_group()
    group.elect("a")
    for k in range(50):
        group.propose("a", b"%d" % k)
    join(group, "d")
    members = Members(voters=("a", "b", "c"), learners=("d",), joining=("d",))
    group.step("a", MembersProposed(1, members))
    group.settle(lambda sender, to, _: "d" not in (sender, to))
    assert members == members_of(group, "a")

    group.pass_time(1.0)

    assert Members(voters=tuple("abcd")) == members_of(group, "a") == members_of(group, "d")


def test_a_learner_that_is_too_slow_stays_one(make_group):
    """Its rounds take longer than an election timeout: as a voter it would hold up the cluster."""
    group = make_group()
    group.elect("a")
    join(group, "d")
    members = Members(voters=("a", "b", "c"), learners=("d",), joining=("d",))
    group.step("a", MembersProposed(1, members))
    group.settle(lambda sender, to, _: "d" not in (sender, to))

    group.slow_disks.add("d")
    for k in range(20):
        group.propose("a", b"%d" % k)
        group.pass_time(0.9)
        group.sync("d")
        group.propose("a", b"always one more")
        group.settle()

    assert members == members_of(group, "a")
    assert dict(group.nodes["a"].statistics().match)["d"] > 20


def test_a_learner_that_is_not_joining_is_never_promoted(make_group):
    """Some are there to read from, and stay learners for good."""
    group = make_group()
    group.elect("a")
    join(group, "d")
    change(group, "a", "abc", learners="d")

    group.pass_time(3.0)

    assert members_of(group, "a") == Members(voters=tuple("abc"), learners=("d",))


def test_a_leader_may_make_itself_a_joining_learner(make_group):
    """It leads until the change is committed, then the next leader promotes it again."""
    group = make_group()
    group.elect("a")
    members = Members(voters=("b", "c"), learners=("a",), joining=("a",))
    group.step("a", MembersProposed(1, members))
    group.pass_time(3.0)

    leader = group.leader()

    assert leader in ("b", "c")
    assert Members(voters=("a", "b", "c")) == members_of(group, leader)


def test_a_joining_learner_that_fell_silent_is_not_promoted(make_group):
    """It had caught up; but a voter that is down makes a majority harder to find."""
    group = make_group(config=Config(check_quorum=False))
    group.elect("a")
    join(group, "d")
    members = Members(voters=("a", "b", "c"), learners=("d",), joining=("d",))
    group.step("a", MembersProposed(1, members))
    group.pass_time(0.4, lambda sender, to, _: {sender, to} == {"a", "d"})
    group.pass_time(2.0, lambda *_: False)

    group.pass_time(2.0, lambda sender, to, _: "d" not in (sender, to))

    assert members == members_of(group, "a")
    group.pass_time(2.0)
    assert Members(voters=tuple("abcd")) == members_of(group, "a")
