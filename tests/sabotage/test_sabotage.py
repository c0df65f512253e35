"""Every row of the table is caught, the command says so, and nothing is found without a cause."""

from __future__ import annotations

import json

import pytest
from tests.sabotage.__main__ import main
from tests.sabotage.mixes import CHANGES, CRASHES, DRIFTING, LEASES, PAUSES
from tests.sabotage.rows import Row, Seeds
from tests.sabotage.table import CHAPTERS, ROWS

from quorum.simulation import run


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_a_broken_rule_is_noticed(row):
    """By everybody who is said to notice it."""
    for verdict in row.verdicts():
        assert verdict.caught, f"{row.pitfall} Not noticed: {verdict.by}"


@pytest.mark.parametrize("faults", [None, CHANGES, CRASHES, PAUSES], ids=str)
def test_nothing_is_found_where_nothing_is_broken(faults):
    """The same seeds and faults, on the core as it is."""
    for seed in range(1, 10):
        report = run(seed, steps=400, faults=faults)

        assert report.violations == [], str(report.violations[0])


def test_no_read_under_a_lease_is_stale_while_clocks_keep_to_the_bound():
    """The worst clocks that `lease_drift` allows, and leaders that are cut off; reads by lease."""
    leased = 0
    for seed in range(1, 61):
        report = run(seed, steps=800, faults=DRIFTING, config=LEASES)
        leased += report.events["read under a lease"]

        assert report.violations == [], str(report.violations[0])
    assert leased > 100


def test_the_table_is_long_and_its_names_are_unique():
    """Names are what the command takes; a row that hides another would not be run."""
    rows = [row for chapter in CHAPTERS for row in vars(chapter).values() if isinstance(row, Row)]

    assert len(ROWS) == len(rows) >= 90
    assert all(row.pitfall.endswith(".") for row in rows)


def test_the_command_prints_a_list_of_what_was_caught(capsys):
    """With --json exactly these fields, for programs."""
    assert 0 == main(["second_vote", "joint_skipped", "--json"])

    first, second = json.loads(capsys.readouterr().out)
    assert ["name", "pitfall", "caught_by", "seeds", "caught"] == list(first)
    assert ("second_vote", True) == (first["name"], first["caught"])
    assert "simulation: " in first["caught_by"]
    assert first["seeds"] >= 1
    assert "joint_skipped" == second["name"]


def test_the_command_fails_when_nobody_notices(capsys, monkeypatch):
    """A gap in the simulator is a failure of the run."""

    def nothing(patch):
        """Breaks nothing."""

    monkeypatch.setattr("tests.sabotage.rows.SEEDS_MAX", 2)
    monkeypatch.setitem(ROWS, "nothing", Row(nothing, (Seeds("Commit"),)))

    assert 1 == main(["nothing"])

    assert "NOT CAUGHT by simulation: Commit after 2 seeds" in capsys.readouterr().out


def test_a_row_that_is_not_there_is_refused(capsys):
    """With the way to the names."""
    with pytest.raises(SystemExit):
        main(["no_such_row"])

    assert "--list prints all" in capsys.readouterr().err
