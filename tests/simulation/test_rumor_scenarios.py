"""The measurements, in small: that they measure, and that their gates hold."""

from __future__ import annotations

import json
import sys
from itertools import count

import pytest

from rumor.simulation.__main__ import main
from rumor.simulation.scenarios import SCENARIOS, Gate, Result
from rumor.simulation.scenarios.lifeguard import (
    ARMS,
    BLOCKED,
    DURATIONS,
    INTERVALS,
    Draw,
    Tally,
    cell,
)


def test_newcomers_are_known_within_seconds() -> None:
    """Among four members and among twenty, whatever the network loses; within one as a rule."""
    result = SCENARIOS["join"](nodes=20, seeds=2)

    assert result.ok, result.as_text()
    assert [4, 4, 4, 20, 20, 20] == [row["members"] for row in result.rows]
    assert [20] * 6 == [row["joins"] for row in result.rows]
    assert all(row["p50 s"] < 1 for row in result.rows)


def test_events_reach_all_sooner_than_serfs_model_says() -> None:
    """Fifty members; at half of all datagrams lost the last ones may have to wait."""
    result = SCENARIOS["events"](nodes=50, seeds=1)

    assert [True, True] == [gate.ok for gate in result.gates[:2]], result.as_text()
    assert all(row["max s"] < 60 for row in result.rows)


def test_the_cost_of_members_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups of three sizes, by a clock of which each look takes a second."""
    monkeypatch.setattr(sys.modules["rumor.simulation.scenarios.scale"], "SIZES", (10, 20))
    result = SCENARIOS["scale"](nodes=40, clock=count().__next__)

    assert [10, 20, 40] == [row["members"] for row in result.rows]
    assert [20, 20, 20] == [row["times real time"] for row in result.rows]
    assert ("a member's cost, largest to smallest", 0.25) == (
        result.gates[-1].name,
        result.gates[-1].value,
    )


def test_coordinates_are_measured_on_all_nets() -> None:
    """Five nets, each with the bounds of Serf's, and the drift."""
    result = SCENARIOS["coordinates"](seeds=1)

    assert ["line", "grid", "halves", "circle", "noise"] == [row["net"] for row in result.rows]
    assert 11 == len(result.gates)


def test_partitions_heal_in_time() -> None:
    """Both kinds, the buried and the forgotten, at two sizes."""
    result = SCENARIOS["partition"](nodes=16, seeds=1)

    assert result.ok, result.as_text()
    assert ["buried", "buried", "forgotten", "forgotten"] == [
        row["the other side is"] for row in result.rows
    ]


def test_load_does_not_grow_with_the_group() -> None:
    """Two datagrams a member and period, among 16 and among 100."""
    result = SCENARIOS["swim"](nodes=100, seeds=1)

    assert result.ok, result.as_text()
    assert [16, 100] == [row["members"] for row in result.rows]


def test_slow_members_accuse_the_healthy_under_plain_swim_only() -> None:
    """The two ends of Lifeguard's comparison, with a few members and one draw."""
    plain, whole = Tally(), Tally()
    draw = Draw(nodes=16, count=6, duration=16.384, interval=0.016, seed=0)
    draw.measure("SWIM", plain)
    draw.measure("Lifeguard", whole)

    assert plain.fp > 20
    assert 0 == whole.fp
    assert ["SWIM", "LHA-Probe", "LHA-Suspicion", "Buddy", "Lifeguard"] == list(ARMS)


def test_enough_seeds_cover_the_papers_grid() -> None:
    """Each number of blocked members meets each pair of durations once."""
    whole = sorted((duration, interval) for duration in DURATIONS for interval in INTERVALS)
    for row in range(len(BLOCKED)):
        assert whole == sorted(cell(seed, row) for seed in range(len(whole)))


def test_starved_members_are_suspected_and_not_buried() -> None:
    """A few members in every cell: accusations where somebody is starved, deaths nowhere else."""
    grid = sys.modules["rumor.simulation.scenarios.grid"]
    at_ease, starved = grid.Cell(), grid.Cell()
    grid.measure(at_ease, size=20, starved=0, loss=0.05, seed=0)
    grid.measure(starved, size=20, starved=3, loss=0.0, seed=0)

    assert (0, 0) == (at_ease.suspicions, at_ease.deaths)
    assert starved.suspicions > 0
    assert 0 == starved.deaths
    assert 19 == len(at_ease.detected)


def test_a_result_is_a_table_and_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints either; gates that fail make it fail."""
    assert main(["--scenario", "join", "--nodes", "20", "--seeds", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)

    assert {"scenario", "rows", "gates", "violations"} == set(told)
    assert {"name", "value", "bound", "ok"} == set(told["gates"][0])
    failed = Result("x", "an example", [{"a": 1.5}], [Gate("b", 2.0, 0.0, 1.0)])
    assert not failed.ok
    assert "FAIL b: 2" in failed.as_text()


def test_what_a_scenario_cannot_take_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """An argument is never silently ignored."""

    def fixed(*, seeds: int = 1) -> Result:
        return Result("fixed", f"{seeds} seeds")

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SCENARIOS, "swim", fixed)
        assert main(["--scenario", "swim", "--nodes", "5"]) == 2
    assert "takes no --nodes" in capsys.readouterr().err
