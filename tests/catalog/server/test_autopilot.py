"""Who should be a voter: each rule by itself, then all of them on any cluster."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import event, given, settings
from hypothesis import strategies as st

from catalog.server.autopilot import (
    VOTERS_MAX,
    Record,
    Rules,
    Seen,
    Standing,
    Vital,
    decide,
    without,
)
from quorum import Members

RULES = Rules()
WELL = Seen(Standing.ALIVE, healthy=True, stable=100.0)
YOUNG = Seen(Standing.ALIVE, healthy=True, stable=9.9)
ILL = Seen(Standing.ALIVE)
LOST = Seen(Standing.LOST)
REPLACED = Seen(Standing.LOST, replaced=True)
LEFT = Seen(Standing.LEFT)
UNKNOWN = Seen(Standing.UNKNOWN)
VITAL = Vital(Standing.ALIVE, 0.1, 10)


def members(voters, learners=""):
    """A configuration of servers with names of one letter."""
    return Members(voters=list(voters), learners=list(learners))


def decided(before, seen, *, rules=RULES, size=3):
    """What the leader `a` decides: the voters and the learners, or nothing."""
    decision = decide(before, seen, rules, leader="a", size=size)
    if decision is None:
        return None
    after, why = decision
    assert why
    return "".join(after.voters), "".join(after.learners)


THREE = {"a": WELL, "b": WELL, "c": WELL}
FIVE = {**THREE, "d": WELL, "e": WELL}


@pytest.mark.parametrize(
    ("voters", "learners", "seen", "after"),
    [
        ("abc", "", THREE, None),
        # Servers that come.
        ("abc", "", {**THREE, "d": YOUNG}, ("abc", "d")),
        ("abc", "", {**THREE, "d": LOST}, None),
        ("abc", "", {**THREE, "d": LEFT}, None),
        ("abc", "d", {**THREE, "d": YOUNG}, None),
        ("abc", "d", {**THREE, "d": ILL}, None),
        ("abc", "d", {**THREE, "d": WELL}, ("abcd", "")),
        # Servers that leave: at once, while a majority of the rest is healthy.
        ("abc", "", {**THREE, "b": LEFT}, ("ac", "")),
        ("abc", "", {"a": WELL, "b": LEFT, "c": LOST}, None),
        ("abc", "", {**THREE, "a": LEFT}, None),
        ("abc", "d", {**THREE, "d": LEFT}, ("abc", "")),
        # Servers that are lost: not below the number that founded the cluster.
        ("abc", "", {**THREE, "c": LOST}, None),
        ("abc", "d", {**THREE, "c": LOST, "d": YOUNG}, None),
        ("abc", "d", {**THREE, "c": LOST, "d": WELL}, ("abcd", "")),
        ("abcd", "", {**THREE, "c": LOST, "d": WELL}, ("abd", "")),
        ("abcd", "", {**THREE, "c": UNKNOWN, "d": WELL}, None),
        ("abcd", "", {**THREE, "c": ILL, "d": WELL}, None),
        ("abc", "", {**THREE, "c": REPLACED}, ("ab", "")),
        ("abc", "", {"a": WELL, "b": REPLACED, "c": REPLACED}, None),
        ("abc", "d", {**THREE, "d": LOST}, ("abc", "")),
        ("abc", "d", {**THREE, "d": REPLACED}, None),
        # Not while too few of the rest are healthy.
        ("abcde", "", {**FIVE, "d": LOST, "e": LOST}, ("abce", "")),
        ("abcde", "", {**FIVE, "c": LOST, "d": LOST, "e": LOST}, None),
        ("abcde", "", {**FIVE, "b": ILL, "d": LOST, "e": LOST}, None),
    ],
)
def test_one_change_at_a_time_each_of_them_safe(voters, learners, seen, after):
    """The leader is a; three servers founded the cluster."""
    assert after == decided(members(voters, learners), seen)


def test_nothing_is_decided_while_a_change_is_under_way():
    """A joint configuration ends by itself."""
    joint = evolve(members("ab"), outgoing=list("abc"))

    assert decide(joint, {**THREE, "d": YOUNG}, RULES, leader="a", size=3) is None


def test_removal_of_the_lost_can_be_switched_off_and_bounded():
    """Those that leave are removed all the same."""
    four = {**THREE, "c": LOST, "d": WELL}

    assert decided(members("abcd"), four, rules=Rules(remove_lost=False)) is None
    assert decided(members("abcd"), four, rules=Rules(voters_min=4)) is None
    assert decided(members("abcd"), four, size=1) == ("abd", "")
    assert decided(members("abcd"), {**four, "c": LEFT}, rules=Rules(remove_lost=False))


@pytest.mark.parametrize(
    "nonsense",
    [
        {"interval": 0},
        {"contact_seconds_max": -1.0},
        {"stable_seconds": "10"},
        {"trailing_entries_max": 2.5},
        {"voters_min": -1},
        {"remove_lost": "yes"},
    ],
)
def test_rules_that_make_no_sense_are_named(nonsense):
    """When they are made."""
    with pytest.raises((TypeError, ValueError), match=next(iter(nonsense))):
        Rules(**nonsense)


def test_voters_are_bounded():
    """What comes beyond it stays a learner."""
    names = "abcdefghi"
    assert VOTERS_MAX == len(names)
    seen = {**dict.fromkeys(names, WELL), "z": WELL}

    assert decided(members(names, "z"), seen) is None


SEEN = st.sampled_from([WELL, YOUNG, ILL, LOST, REPLACED, LEFT, UNKNOWN])


@settings(max_examples=100)
@given(st.dictionaries(st.sampled_from("bcdefg"), SEEN), st.data())
def test_whatever_is_seen_a_majority_that_was_healthy_stays_one(seen, data):
    """And decisions come to an end: applied one after the other they settle."""
    seen = {**dict.fromkeys("bcdefg", UNKNOWN), **seen, "a": WELL}
    voters = {"a", *data.draw(st.sets(st.sampled_from("bcdefg")))}
    learners = data.draw(st.sets(st.sampled_from("bcdefg"))) - voters
    now = Members(voters=list(voters), learners=list(learners))
    changes = 0
    while (decision := decide(now, seen, RULES, leader="a", size=3)) is not None:
        after, _ = decision
        gone = set(now.voters) - set(after.voters)
        assert len(gone) + len(set(after.voters) - set(now.voters)) <= 1
        assert "a" in after.voters
        if gone:
            assert 2 * sum(seen[one].healthy for one in after.voters) > len(after.voters)
        now, changes = after, changes + 1
        assert changes <= 12
    event(f"{changes} changes")


@pytest.mark.parametrize(
    ("vital", "healthy"),
    [
        (VITAL, True),
        (evolve(VITAL, contact=0.3), False),
        (evolve(VITAL, contact=None), False),
        (evolve(VITAL, trailing=251), False),
        (evolve(VITAL, trailing=None), False),
        (evolve(VITAL, standing=Standing.LOST), False),
        (evolve(VITAL, standing=Standing.LEFT), False),
    ],
)
def test_healthy_is_alive_in_contact_and_up_to_date(vital, healthy):
    """All three."""
    record = Record(RULES)
    record.note({"b": vital}, now=1.0)

    assert healthy == record.healthy("b")


def test_stability_is_counted_from_the_last_break():
    """One bad moment and it begins anew; who is not looked at is forgotten."""
    record = Record(RULES)
    record.note({"b": VITAL}, now=1.0)
    record.note({"b": VITAL}, now=5.0)
    assert 6.0 == record.stable("b", now=7.0)
    record.note({"b": evolve(VITAL, contact=None)}, now=7.0)
    assert (0.0, 7.0) == (record.stable("b", now=8.0), record.since("b"))
    record.note({"b": VITAL}, now=9.0)
    assert 1.0 == record.stable("b", now=10.0)
    record.note({}, now=11.0)
    assert record.since("b") is None


def test_a_server_is_taken_out_of_either_role():
    """Whether it votes or learns."""
    assert members("ac") == without(members("abc"), "b")
    assert members("abc") == without(members("abc", "d"), "d")
