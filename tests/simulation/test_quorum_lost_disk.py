"""Servers that lose their disk: replaced under a new name all is well, under the old one not.

A server whose disk is gone has forgotten whom it voted for and what it acknowledged. Others still
count on both, under its name. So it must not come back under that name; a new server takes its
place by a change of members. Here both ways are tried, in the same chaos.
"""

from __future__ import annotations

from random import Random

from attrs import define, evolve

from quorum.config import Config
from quorum.events import MembersProposed
from quorum.messages import Members
from quorum.simulation.disks import Disk
from quorum.simulation.faults import Faults, Pace
from quorum.simulation.invariants import Violation
from quorum.simulation.machines import ListsWorkload
from quorum.simulation.nemesis import Nemesis
from quorum.simulation.node import Node
from quorum.simulation.trace import Trace
from quorum.simulation.trial import _Trial
from quorum.simulation.world import World

VOTERS = ("n1", "n2", "n3")
SPARES = ("n4", "n5", "n6", "n7")


@define
class DiskThief(Nemesis):
    """Takes a disk from time to time, and does what an operator would do then."""

    careless: bool = False
    """The operator starts the server again as it was, on an empty disk."""
    lost: Node | None = None
    taken: int = 0
    replaced: int = 0

    def begin(self) -> None:
        """Strike as any nemesis, and steal."""
        super().begin()
        self.world.after(self.world.config.election_timeout * 5, self._watch)

    def _watch(self) -> None:
        if not self.active:
            return
        if self.careless or self.lost is None:
            self._steal()
        else:
            self._replace(self.lost)
        pause = self.world.config.election_timeout * (10 if self.careless else 1)
        self.world.after(pause * self.world.random.random(), self._watch)

    def _steal(self) -> None:
        world = self.world
        names = VOTERS if self.careless else self._in_force().voters
        node = world.nodes[world.random.choice(names)]
        if self.careless:
            world.crash(node, "disk lost")
            self.taken += 1
            node.disk = world.observer.disks[node.id] = Disk.bootstrap(Members())  # type: ignore[index]
            world.observer._terms.pop(node.id, None)  # the observer forgives what it has forgotten
            for known in [vote for vote in world.observer._votes if vote[0] == node.id]:
                del world.observer._votes[known]
        elif self.replaced < len(SPARES):
            node.frozen = True  # it is not started again
            world.crash(node, "disk lost")
            self.lost, self.taken = node, self.taken + 1

    def _replace(self, lost: Node) -> None:
        """Ask for what `Server.replace_member` asks for, until it is done."""
        world = self.world
        spare, members = SPARES[self.replaced], self._in_force()
        if spare in members.voters and lost.id not in members.everyone and not members.joint:
            self.lost, self.replaced = None, self.replaced + 1
            return
        if lost.id in members.voters and world.leader is not None and not members.joint:
            wanted = evolve(
                members,
                voters=[name for name in members.voters if name != lost.id],
                learners=(*members.learners, spare),
                joining=(*members.joining, spare),
            )
            self._tag -= 1
            world.post(world.nodes[world.leader], MembersProposed(self._tag, wanted))

    def _in_force(self) -> Members:
        views = self.world.observer.views
        newest = max(sorted(views), key=lambda name: views[name].commit)
        chain = views[newest].log.configurations
        return [found for at, found in chain if at <= views[newest].commit][-1]

    def freeze(self) -> list[Node]:
        """Repair what can be repaired: not a disk that is gone."""
        gone = [node for node in self.world.nodes.values() if node.frozen]
        whole = [node for node in super().freeze() if node not in gone]
        for node in gone:
            node.frozen = True
            if node.up:
                self.world.crash(node, "disk lost")
        return whole


def trial(seed: int, *, careless: bool, steps: int) -> tuple[_Trial, DiskThief]:
    random = Random(seed)
    config = Config(snapshot_entries=50, tail_entries=5)
    world = World(
        random,
        members=Members(voters=VOTERS),
        spares=SPARES,
        config=config,
        faults=Faults(timed=("crash", "partition"), interval=2.0, loss=0.05),
        pace=Pace.draw(random, config.election_timeout),
        workload=ListsWorkload.draw(random),
        trace=Trace(keep=False),
    )
    thief = DiskThief(world, careless=careless)
    return _Trial(seed, steps, len(VOTERS), world, thief), thief


def test_a_new_server_in_place_of_one_that_lost_its_disk_loses_nothing():
    """Several disks in a row, in a cluster that crashes and falls apart meanwhile."""
    replaced = 0
    for seed in range(1, 9):
        one, thief = trial(seed, careless=False, steps=4000)
        report = one.report()
        assert [] == report.violations, str(report.violations[0])
        replaced += thief.replaced
    assert replaced > 8


def test_a_server_that_comes_back_empty_under_its_name_is_caught():
    """It votes at once, and the others count on what it had acknowledged."""
    for seed in range(1, 101):
        one, _ = trial(seed, careless=True, steps=600)
        try:
            one._chaos()
        except Violation:
            return
    raise AssertionError("nobody noticed")
