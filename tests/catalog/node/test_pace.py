"""How often an agent compares: Consul's numbers."""

from __future__ import annotations

from random import Random

import pytest

from catalog.node.pace import Pace, spread


@pytest.mark.parametrize(
    ("agents", "expected"),
    [(1, 1), (128, 1), (129, 2), (256, 2), (257, 3), (512, 3), (1024, 4), (8192, 7)],
)
def test_every_doubling_stretches_the_comparisons(agents, expected):
    """From 128 agents on."""
    assert expected == spread(agents)


def test_comparisons_come_within_their_bounds():
    """One interval at the least, and one more for each step of the spread."""
    pace = Pace(60.0, Random(1))
    few = [pace.next_full(100) for _ in range(1000)]
    many = [pace.next_full(1024) for _ in range(1000)]
    soon = [pace.after_server(1024) for _ in range(1000)]

    assert 60 <= min(few) < 63
    assert 117 < max(few) <= 120
    assert 60 <= min(many) < 72
    assert 288 < max(many) <= 300
    assert 0 <= min(soon) < max(soon) <= 12
    assert all(150 <= pace.next_outputs() <= 450 for _ in range(100))


def test_attempts_grow_rarer_until_one_succeeds():
    """So that a cluster without a leader is not asked ever more."""
    pace = Pace(60.0, Random(1))
    gaps = [pace.next_attempt(1) for _ in range(20)]
    assert gaps[0] <= 0.5
    assert 7.5 <= gaps[-1] <= 15

    pace.next_full(1)
    assert pace.next_attempt(1) <= 0.5
