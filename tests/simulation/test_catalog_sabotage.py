"""The simulator of the registry bites: break one rule, and some seed must notice.

`python -m tests.sabotage.registry` runs the whole table. Here are the rows that one or two seeds
show, one at least for each kind of promise.
"""

from __future__ import annotations

import pytest
from tests.sabotage.registry import ROWS

QUICK = (
    "answered_without_news",
    "change_left_out",
    "deregistered_left_there",
    "history_complete_after_restore",
    "lock_taken_from_its_holder",
    "machine_looks_at_its_clock",
    "session_expires_early",
)


@pytest.mark.parametrize("name", QUICK)
def test_the_simulator_notices(name: str) -> None:
    """A broken rule shows as a promise broken that stands on it."""
    assert [] == [verdict for verdict in ROWS[name].verdicts() if not verdict.caught]


def test_enough_rules_are_broken() -> None:
    """At least 12, each with the mistake in words."""
    assert len(ROWS) >= 12
    assert all(row.pitfall for row in ROWS.values())
