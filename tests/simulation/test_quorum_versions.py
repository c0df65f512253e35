"""Rolling upgrades in the simulator: replicas never disagree, whatever breaks meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from quorum import CommandMachine, Entry, MachineTooOld, Members
from quorum.core import versions
from quorum.events import Proposed, UpgradeProposed
from quorum.machine import StateMachine
from quorum.simulation.faults import Faults, Pace, draw_config
from quorum.simulation.machines import Workload
from quorum.simulation.nemesis import Nemesis
from quorum.simulation.trace import Trace
from quorum.simulation.world import World

STEPS = 3000


class Release(CommandMachine):
    """A sum; from version 2 on a command counts twice, from version 3 on three times."""

    version = 1

    def __init__(self) -> None:
        self.sum, self.rules = 0, 1

    def upgrade(self, version: int) -> None:
        """Go by these rules."""
        self.rules = version

    def command(self, entry: Entry) -> tuple[int, int]:
        """Add; the result shows the rules, too."""
        self.sum += self.rules * int(entry.payload)
        return self.sum, self.rules

    def snapshot(self) -> bytes:
        """The sum; the rules are in the snapshot's mark."""
        return b"%d" % self.sum

    def restore(self, snapshot: bytes) -> None:
        """The inverse."""
        self.sum = int(snapshot)


def made(version: int) -> StateMachine:
    machine = Release()
    machine.version = version
    return machine


def rolled(seed: int) -> tuple[World, list[int]]:
    """A run in which servers come back from crashes with newer releases; versions seen applied."""
    random = Random(seed)
    releases = [1]
    workload = Workload(lambda: made(releases[-1]), lambda chance: b"%d" % chance.randrange(9))
    config = draw_config(random)
    faults = Faults(timed=("crash", "partition", "pause", "transfer"), interval=2.0, loss=0.05)
    world = World(
        random,
        members=Members(voters=("n1", "n2", "n3")),
        config=config,
        faults=faults,
        pace=Pace.draw(random, config.election_timeout),
        workload=workload,
        trace=Trace(keep=False),
    )
    tags = iter(range(-1_000_000, 0))

    def act() -> None:
        if world.leader is not None:
            leader = world.nodes[world.leader]
            world.post(leader, Proposed(next(tags), (workload.command(random),)))
            world.post(leader, UpgradeProposed(next(tags), random.randint(2, 3)))
        world.after(config.election_timeout * random.random(), act)

    act()
    Nemesis(world).begin()
    world.after(config.election_timeout * 5, releases.append, 2)
    world.after(config.election_timeout * 15, releases.append, 3)
    while world.steps < STEPS:
        world.advance()
    results = world.observer.results()
    return world, [results[index][1] for index in sorted(results)]


def test_replicas_switch_together_while_servers_come_and_go():
    """The observer compares every result; the rules only ever go up, and they do go up."""
    reached = []
    for seed in range(1, 13):
        _, rules = rolled(seed)
        assert rules == sorted(rules)
        reached += rules
    assert {1, 2, 3} == set(reached)


def test_a_leader_that_does_not_ask_around_stops_somebody(monkeypatch: pytest.MonkeyPatch):
    """Without its question a server meets a version that it does not understand."""
    anything: Callable[[object], int] = lambda _: 99
    monkeypatch.setattr(versions, "understood", anything)
    with pytest.raises(MachineTooOld):
        [rolled(seed) for seed in range(1, 13)]
