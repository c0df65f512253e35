"""Suspicion: the formulas, against tables that were computed by hand or by others."""

from __future__ import annotations

import pytest

from rumor.core.suspicion import (
    Suspicion,
    exchange_scale,
    suspicion_time,
    timeout,
    transmit_limit,
)


@pytest.mark.parametrize(
    ("confirmations", "expected", "elapsed", "remaining"),
    [(0, 3, 0, 30), (1, 3, 2, 14), (2, 3, 3, 4.81), (3, 3, 4, -2), (4, 3, 5, -3), (5, 3, 10, -8)],
)
def test_timeout_falls_with_the_logarithm_of_confirmations(
    confirmations: int, expected: int, elapsed: float, remaining: float
) -> None:
    """Between 2 and 30 seconds, the table that memberlist's users know."""
    assert pytest.approx(remaining) == timeout(confirmations, expected, 2, 30) - elapsed


@pytest.mark.parametrize(
    ("confirmations", "seconds"), [(0, 2), (1, 1.25), (2, 0.81), (3, 0.5), (9, 0.5)]
)
def test_timeout_runs_from_longest_to_shortest(confirmations: int, seconds: float) -> None:
    """All expected confirmations bring the timeout down to the shortest."""
    assert pytest.approx(seconds, abs=0.0011) == timeout(confirmations, 3, 0.5, 2)


def test_nobody_who_could_confirm_means_the_shortest_timeout() -> None:
    """Waiting for confirmations that cannot come would only delay."""
    assert timeout(0, 0, 4, 24) == 4


@pytest.mark.parametrize(
    ("members", "factor"),
    [(0, 1), (1, 1), (5, 1), (10, 1), (50, 1.698), (100, 2), (500, 2.698), (1000, 3)],
)
def test_suspicion_time_grows_with_the_logarithm_of_members(members: int, factor: float) -> None:
    """Three times the logarithm to base ten, in probe intervals, but never less than three."""
    assert pytest.approx(3 * factor * 2) == suspicion_time(3, members, 2)


@pytest.mark.parametrize(
    ("members", "limit"), [(0, 0), (1, 3), (9, 3), (10, 6), (99, 6), (100, 9), (1000, 12)]
)
def test_transmit_limit_grows_with_the_digits_of_members(members: int, limit: int) -> None:
    """Lambda times the logarithm to base ten of members + 1, rounded up."""
    assert limit == transmit_limit(3, members)


@pytest.mark.parametrize(
    ("members", "scale"), [(0, 1), (32, 1), (33, 2), (64, 2), (65, 3), (128, 3), (1000, 6)]
)
def test_exchanges_become_rarer_in_large_clusters(members: int, scale: int) -> None:
    """The interval grows by one for each doubling beyond 32 members."""
    assert scale == exchange_scale(members)


def test_each_accuser_counts_once() -> None:
    """Neither the first accuser nor one who repeats himself confirms anything."""
    suspicion = Suspicion(0, started=100, shortest=2, longest=30, expected=3)

    assert [suspicion.confirm(name) for name in ("a", "a", "b", "b", "c", "d", "e")] == [
        True,
        False,
        True,
        False,
        True,
        True,
        False,
    ]


def test_deadline_counts_from_the_start() -> None:
    """The suspicion began at 100; one confirmation takes 14 of its 30 seconds away."""
    suspicion = Suspicion(0, started=100, shortest=2, longest=30, expected=3)
    suspicion.confirm("a")
    unconfirmed = suspicion.deadline
    suspicion.confirm("b")

    assert (unconfirmed, suspicion.deadline) == (130, 116)
