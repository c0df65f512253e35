"""Majorities, against a naive model."""

from __future__ import annotations

from itertools import combinations

import hypothesis.strategies as st
from hypothesis import given

from quorum.core.majority import lost, reached, won
from quorum.messages import Members

names = st.sampled_from("abcdefg")
voters = st.sets(names, min_size=1).map(tuple)
members = st.builds(Members, voters=voters, outgoing=st.just(()) | voters)


def naive_majorities(servers: tuple[str, ...]) -> list[tuple[str, ...]]:
    return list(combinations(servers, len(servers) // 2 + 1))


@given(members, st.dictionaries(names, st.integers(0, 9)))
def test_reached_is_the_best_that_some_majority_of_both_sets_has(members, values):
    """The answer is the highest value for which both sets have a majority at or above it."""

    def best(servers):
        return max(min(values.get(s, 0) for s in group) for group in naive_majorities(servers))

    expected = min(best(servers) for servers in (members.voters, members.outgoing) if servers)

    assert expected == reached(members, values, 0)


@given(members, st.dictionaries(names, st.booleans()))
def test_an_election_is_won_by_a_majority_of_both_sets(members, votes):
    """Winning needs some majority of yeses in each set."""

    def carried(servers):
        return any(all(votes.get(s, False) for s in g) for g in naive_majorities(servers))

    expected = all(carried(servers) for servers in (members.voters, members.outgoing) if servers)

    assert expected == won(members, votes)


@given(members, st.dictionaries(names, st.booleans()))
def test_an_election_is_lost_exactly_when_no_further_vote_can_win_it(members, votes):
    """Lost means: even if all who are silent said yes, it would not be won."""
    hopeful = {name: votes.get(name, True) for name in members.everyone}

    assert lost(members, votes) == (not won(members, hopeful))


def test_nobody_decides_without_voters():
    """A server that waits to be added can win nothing and commit nothing."""
    assert not won(Members(), {"a": True})
    assert reached(Members(), {"a": 7}, 0) == 0


def test_learners_count_for_nothing():
    """One voter and four learners: the voter alone is the majority."""
    members = Members(voters=("a",), learners=("b", "c", "d", "e"))

    assert reached(members, {"a": 1, "b": 9, "c": 9, "d": 9, "e": 9}, 0) == 1
    assert won(members, {"a": True})
    assert not won(members, {"b": True, "c": True, "d": True, "e": True})
