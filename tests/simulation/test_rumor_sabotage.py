"""The simulator bites: break one rule of gossip, and some seed must notice.

A sweep without violations means as much as the sweep can see. `python -m tests.sabotage.gossip`
prints the table that is run here row by row.
"""

from __future__ import annotations

import json

import pytest
from tests.sabotage.__main__ import main
from tests.sabotage.gossip import ROWS


@pytest.mark.parametrize("name", ROWS)
def test_the_simulator_notices(name: str) -> None:
    """A broken rule shows as a promise broken that stands on it, within some dozens of seeds."""
    assert [] == [verdict for verdict in ROWS[name].verdicts() if not verdict.caught]


def test_enough_rules_are_broken() -> None:
    """At least 25, each with the mistake in words."""
    assert len(ROWS) >= 25
    assert all(row.pitfall for row in ROWS.values())


def test_the_table_is_an_object_too(capsys: pytest.CaptureFixture[str]) -> None:
    """The command says of each row its name, the mistake, who noticed, and after how many seeds."""
    assert 0 == main(["deadline_in_the_past", "--json"], rows=ROWS)
    (told,) = json.loads(capsys.readouterr().out)

    assert {"name", "pitfall", "caught_by", "seeds", "caught"} == set(told)
    assert told["caught"]
