"""A crash at every moment of a scripted history: before and after each effect of each server."""

from __future__ import annotations

import pytest
from attrs import evolve

from quorum.simulation.crash_points import FOUNDERS, crash_points, play
from quorum.simulation.crashes import Crash
from quorum.simulation.invariants import Violation

SERVERS = (*FOUNDERS, "d")


def test_the_script_has_one_of_everything():
    """A quiet run elects, compacts, sends snapshots, changes members and hands over leadership."""
    rig = play()

    counts = rig.observer.counts
    assert 2 == counts["election"] == counts["step-down"] + 1
    assert counts["snapshot taken"] >= 3
    assert counts["snapshot in force"] >= 2
    assert counts["joint configuration"] >= 1
    assert rig.observer.commit >= 15
    assert 0 == rig.crashes


@pytest.mark.parametrize("server", SERVERS)
def test_a_crash_at_any_moment_breaks_no_promise(server):
    """Nothing acknowledged is lost, no vote or term forgotten, and the script comes to its end."""
    points = [point for point in crash_points() if point.server == server]
    covered = 0
    for point in points:
        try:
            covered += play(point).crashes
        except Violation as violation:
            pytest.fail(f"{point}: {violation}")

    assert covered == len(points) > 90


@pytest.mark.parametrize("server", SERVERS)
def test_a_recovery_that_is_interrupted_is_repeated(server):
    """A server that is back at once, and dies again among its first three effects."""
    points = [point for point in crash_points() if point.server == server and not point.written]
    twice = 0
    for point in points:
        crash = evolve(point, again=1 + point.moment % 3, down=0.01)
        try:
            twice += play(crash).crashes == 2
        except Violation as violation:
            pytest.fail(f"{crash}: {violation}")

    assert twice == len(points) > 60


def test_a_crash_point_is_the_same_history_every_time():
    """No chance, no clock: what failed once fails again."""
    one, two = (play(Crash("b", 77)) for _ in range(2))

    assert one.now == two.now
    assert one.observer.committed == two.observer.committed
