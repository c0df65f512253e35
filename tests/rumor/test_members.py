"""The list of members, and the table of precedence."""

from __future__ import annotations

from random import Random

import pytest

from rumor.core.members import Members, supersedes, update_of
from rumor.messages import Alive, Dead, Health, Leave, Peer, Suspect, Update

A, S, D, L = Health.ALIVE, Health.SUSPECT, Health.DEAD, Health.LEFT

# Who arrives, who is held, and whether the arriving wins with a smaller, the same, a larger number.
MATRIX = [
    (A, A, (False, False, True)),
    (A, S, (False, False, True)),
    (A, D, (False, False, True)),
    (A, L, (False, False, True)),
    (S, A, (False, True, True)),
    (S, S, (False, False, True)),
    (S, D, (False, False, True)),
    (S, L, (False, False, True)),
    (D, A, (False, True, True)),
    (D, S, (False, True, True)),
    (D, D, (False, False, True)),
    (D, L, (False, False, True)),
    (L, A, (False, True, True)),
    (L, S, (False, True, True)),
    (L, D, (False, True, True)),
    (L, L, (False, False, True)),
]


@pytest.mark.parametrize(("arrives", "held", "wins"), MATRIX)
def test_precedence_is_the_table_of_the_paper(
    arrives: Health, held: Health, wins: tuple[bool, bool, bool]
) -> None:
    """All sixteen pairs, with the arriving incarnation below, at and above the held one."""
    peer = Peer("x", ("10.0.0.1", 1), 5, held, accuser="y")

    assert wins == tuple(supersedes(i, arrives, held=peer) for i in (4, 5, 6))


@pytest.mark.parametrize(
    ("health", "update"),
    [
        (A, Alive("x", ("10.0.0.1", 1), 5, b"m")),
        (S, Suspect("x", 5, "y")),
        (D, Dead("x", 5, "y")),
        (L, Leave("x", 5)),
    ],
)
def test_a_record_can_be_told_as_an_update(health: Health, update: Update) -> None:
    """What is gossiped says what is held."""
    assert update == update_of(Peer("x", ("10.0.0.1", 1), 5, health, b"m", "y"))


def peer(name: str, health: Health = A) -> Peer:
    """Make a record."""
    return Peer(name, ("10.0.0.1", 1), 0, health)


def members_of(*names: str) -> Members:
    """Make a list with these others."""
    members = Members(peer("me"))
    for name in names:
        members.put(peer(name), 0.0)
    return members


def test_the_dead_do_not_count() -> None:
    """Formulas take the living, so nine hundred dead do not slow a hundred living down."""
    members = members_of(*map(str, range(999)))
    for name in map(str, range(900)):
        members.put(peer(name, D), 1.0)

    assert (members.size, members.others, len(members)) == (100, 99, 1000)


@pytest.mark.parametrize("size", [3, 6, 13, 200])
def test_a_sample_has_no_repeats_and_none_of_the_excluded(size: int) -> None:
    """Neither ourselves, nor the dead, nor those who are ruled out."""
    members = members_of(*map(str, range(size)))
    members.put(peer("0", D), 1.0)
    random = Random(1)
    for _ in range(100):
        names = [p.name for p in members.sample(3, random, without={"1"})]

        assert len(set(names)) == len(names) <= 3
        assert not {"me", "0", "1"} & set(names)


def test_a_small_cluster_uses_every_eligible_helper() -> None:
    """Four members, one of them probed: the two others are always both found."""
    members = members_of("a", "b", "target")
    random = Random(1)

    assert all(
        {"a", "b"} == {p.name for p in members.sample(3, random, without={"target"})}
        for _ in range(50)
    )


def test_a_sample_is_fair() -> None:
    """Each of ten members is chosen about as often as any other."""
    members = members_of(*map(str, range(10)))
    random = Random(1)
    counts = dict.fromkeys(map(str, range(10)), 0)
    for _ in range(1000):
        for chosen in members.sample(2, random):
            counts[chosen.name] += 1

    assert all(150 < count < 250 for count in counts.values())


def test_recent_deaths_are_remembered_in_order() -> None:
    """The latest first, and only since the time that is asked for; a farewell is no death."""
    members = members_of("a", "b", "c", "d")
    members.put(peer("a", D), 1.0)
    members.put(peer("b", D), 2.0)
    members.put(peer("c", D), 3.0)
    members.put(peer("d", L), 3.0)

    assert members.died_since(2.0) == ["c", "b"]
    assert members.dead_names() == ["a", "b", "c"]


def test_who_returns_from_the_dead_is_no_longer_dead() -> None:
    """Its death is forgotten, and it can be chosen again."""
    members = members_of("a")
    members.put(peer("a", D), 1.0)
    members.put(peer("a"), 2.0)

    assert (members.dead_names(), members.live_names()) == ([], ["a"])


def test_the_forgotten_leave_no_trace() -> None:
    """Neither record nor death nor place among the living remains."""
    members = members_of("a", "b")
    members.put(peer("a", D), 1.0)
    members.forget("a")
    members.forget("b")

    assert (len(members), members.size, members.dead_names()) == (1, 1, [])
    assert "a" not in members
    assert [p.name for p in members] == ["me"]
