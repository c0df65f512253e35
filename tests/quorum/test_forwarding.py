"""Proposals that a follower passes on to its leader."""

from __future__ import annotations

from quorum.config import Config
from quorum.effects import Admit, Refusal, Refuse
from quorum.events import Proposed, TransferRequested
from quorum.messages import Forward, ForwardReply

FORWARDING = Config(forward=True)


def passing_on(make_group):
    group = make_group(config=FORWARDING)
    group.elect("b")
    group.pass_time(0.1)
    return group


def of(group, name, kind, tag):
    return [effect for effect in group.effects(name, kind) if effect.tag == tag]


def test_a_proposal_at_a_follower_gets_a_place_in_the_leaders_log(make_group):
    """Admitted there, and applied everywhere, at the index that the caller is told."""
    group = passing_on(make_group)
    term = group.nodes["b"].statistics().term

    group.step("a", Proposed(101, (b"x", b"y")))
    group.settle()
    group.pass_time(0.1)

    index = group.nodes["b"].statistics().commit - 1
    assert [Admit(101, index, term)] == of(group, "a", Admit, 101)
    assert [b"x", b"y"] == group.applied["a"] == group.applied["b"]


def test_the_answer_comes_before_the_entries(make_group):
    """So that the caller is there when they are applied."""
    group = passing_on(make_group)
    group.step("a", Proposed(101, (b"x",)))

    group.deliver()

    to_a = [type(message) for _, to, message in group.mail if to == "a"]
    assert ForwardReply is to_a[0]


def test_without_the_option_the_caller_is_told_whom_to_ask(make_group):
    """The default: nothing was written."""
    group = make_group()
    group.elect("b")

    assert [Refuse(101, Refusal.NOT_LEADER, "b")] == group.step("a", Proposed(101, (b"x",)))


def test_without_a_leader_there_is_nobody_to_pass_it_on_to(make_group):
    """Refused at once; nothing was written."""
    group = make_group(config=FORWARDING)

    effects = group.step("a", Proposed(101, (b"x",)))

    assert Refuse(101, Refusal.NOT_LEADER, None) in effects


def test_a_leader_that_cannot_take_it_says_so(make_group):
    """While leadership moves, say: refused, and not written."""
    group = passing_on(make_group)
    group.step("b", TransferRequested(55, "c"))
    group.mail.clear()
    group.step("a", Proposed(101, (b"x",)))

    group.settle(lambda _s, _t, message: isinstance(message, Forward | ForwardReply))

    assert [Refusal.OVERLOADED] == [e.reason for e in of(group, "a", Refuse, 101)]
    assert [] == group.applied["b"]


def test_a_question_without_an_answer_has_an_unknown_outcome(make_group):
    """The entry may be in the leader's log: the caller is told that nobody knows."""
    group = passing_on(make_group)
    group.step("a", Proposed(101, (b"x",)))

    group.pass_time(1.0, lambda _s, _t, message: not isinstance(message, ForwardReply))

    assert [Refusal.UNKNOWN] == [e.reason for e in of(group, "a", Refuse, 101)]
    assert [b"x"] == group.applied["a"]


def test_an_answer_that_comes_after_the_entries_is_unknown_too(make_group):
    """They were applied while nobody watched for them."""
    group = passing_on(make_group)
    group.step("a", Proposed(101, (b"x",)))
    group.deliver()
    (late,) = [post for post in group.mail if isinstance(post[2], ForwardReply)]
    group.settle(lambda _s, _t, message: not isinstance(message, ForwardReply))
    group.pass_time(0.1)
    assert [b"x"] == group.applied["a"]

    group.mail = [late]
    group.deliver()

    assert [Refusal.UNKNOWN] == [e.reason for e in of(group, "a", Refuse, 101)]
    assert [] == of(group, "a", Admit, 101)


def test_a_message_that_comes_twice_is_appended_once(make_group):
    """The network may repeat it; the log must not."""
    group = passing_on(make_group)
    group.step("a", Proposed(101, (b"x",)))
    group.mail *= 2

    group.settle()
    group.pass_time(0.1)

    assert [b"x"] == group.applied["a"] == group.applied["b"]


def test_a_change_of_leader_settles_what_was_passed_on(make_group):
    """Nobody hangs on a leader that is gone."""
    group = passing_on(make_group)
    group.step("a", Proposed(101, (b"x",)))
    group.mail.clear()

    group.pass_time(3.0, lambda sender, to, _: "b" not in (sender, to))

    assert [Refusal.UNKNOWN] == [e.reason for e in of(group, "a", Refuse, 101)]


def test_a_message_of_an_earlier_term_is_not_appended(make_group):
    """It was meant for a leader of the past."""
    group = passing_on(make_group)
    term = group.nodes["b"].statistics().term
    group.mail = [("a", "b", Forward(term - 1, 7, (b"old",)))]

    group.deliver()
    group.settle()
    group.pass_time(0.1)

    assert [] == group.applied["b"]
