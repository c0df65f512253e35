"""Partial partitions, enumerated: who makes progress while only some of the links work.

Every topology of a few servers, and in each every situation up to symmetry, is played: servers in
order, then only these links, for a while in which clients go on to write, then all links again.
What is counted: how many leaders were elected, and whether writes were committed, after the first
`SETTLE` election timeouts; and how soon one was after the links healed. The promises of
`invariants` are checked after every step, as always.

`topologies.Situation.electable` says what Raft can do and cannot; whatever differs from it is
reported as broken, in both directions. Plain Raft, without PreVote and CheckQuorum, may be played
beside it, for comparison: nothing is demanded of it but its promises.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise, permutations
from random import Random

from attrs import define, evolve, field, frozen

from quorum.config import Config
from quorum.effects import Role
from quorum.events import Proposed
from quorum.messages import Members, NodeId, Term
from quorum.simulation.faults import Faults, Pace
from quorum.simulation.invariants import Violation
from quorum.simulation.machines import Lists, Workload
from quorum.simulation.topologies import Situation
from quorum.simulation.trace import Trace
from quorum.simulation.world import World

HOLD = 40.0
"""Election timeouts for which the links stay as they are, unless told otherwise."""

SETTLE = 10.0
"""Of those, the first, in which an election may be fought out."""

HOLD_MIN = SETTLE + 3
"""Shorter is not long enough to see anything."""

GAP = 2.0
"""Election timeouts between two commits at most, while a leader is in place."""

HEAL = 10.0
"""Election timeouts after which a write must be committed again when all links are back."""

PATIENCE = 50.0
"""Election timeouts after which nothing is waited for any more."""

WRITES = 2
"""Writes in an election timeout."""

CONFIG = Config(heartbeat=0.25, election_timeout=1.0, disk_grace=1.0)
"""Its unit of time is the election timeout."""

PLAIN = evolve(CONFIG, pre_vote=False, check_quorum=False)


@frozen
class Outcome:
    """What a situation led to; times in election timeouts."""

    situation: Situation
    live: bool = False
    """After the first `SETTLE` writes were committed, without a gap of `GAP` or more."""
    outage: float = 0.0
    """The longest time without a commit while the links stayed as they were."""
    elections: int = 0
    """Leaders elected after the first `SETTLE`, while the links stayed as they were."""
    terms: int = 0
    """Terms begun in the same time, by candidates that won or not."""
    recovery: float = 0.0
    """From when the links healed to the next commit."""
    broken: str = ""
    """What should not have been; nothing: all was as it must be."""


def play(
    situation: Situation, *, hold: float = HOLD, config: Config = CONFIG, seed: int = 1
) -> Outcome:
    """Play one situation; equal arguments give equal outcomes. `seed` decides the timeouts."""
    if hold < HOLD_MIN:
        raise ValueError(f"links must hold for {HOLD_MIN:.0f} timeouts at least, to be watched")
    scene = _Scene(situation, _world(situation.topology.size, config, seed))
    try:
        scene.prepare()
        scene.cut()
        begin = scene.world.now
        scene.pass_time(SETTLE)
        gap, elections, terms = scene.watch(hold - SETTLE)
        live, outage = gap < GAP, scene.gap(begin)
        outcome = Outcome(situation, live, outage, elections, terms, scene.heal())
    except Violation as violation:
        return Outcome(situation, broken=str(violation))
    protected = config.pre_vote and config.check_quorum
    return evolve(outcome, broken=_broken(outcome)) if protected else outcome


def _broken(outcome: Outcome) -> str:
    """How an outcome with PreVote and CheckQuorum differs from what it must be."""
    electable = bool(outcome.situation.electable)
    if outcome.live != electable:
        who = "somebody" if electable else "nobody"
        return f"{who} is electable, and writes were {'' if outcome.live else 'not '}committed"
    if outcome.elections or outcome.terms:
        return f"{outcome.terms} terms were begun although nothing could be gained"
    if outcome.recovery > HEAL:
        return f"nothing was committed within {HEAL:.0f} timeouts of the healing"
    return ""


def _world(size: int, config: Config, seed: int) -> World:
    return World(
        Random(seed),
        members=Members(voters=tuple(f"n{number}" for number in range(1, size + 1))),
        config=config,
        faults=Faults(),
        pace=Pace(network=0.01, disk=0.01, apply=0.001, turn=0.001, think=1.0),
        workload=Workload(Lists, lambda random: random.randbytes(1)),
        trace=Trace(),
    )


@define
class _Scene:
    situation: Situation
    world: World
    names: list[NodeId] = field(factory=list)
    """Who plays which server of the topology."""
    written: int = 0

    def prepare(self) -> None:
        """Wait for a leader and a healthy cluster; then leave some behind by one entry."""
        world, situation = self.world, self.situation
        views = world.observer.views
        self._until(lambda: all(view.commit for view in views.values()))
        leaders = [name for name, view in views.items() if view.role is Role.LEADER]
        leader = max(leaders, key=lambda name: views[name].term)
        self.names = [name for name in world.nodes if name != leader]
        self.names.insert(situation.leader, leader)
        fresh = [self.names[each] for each in sorted(situation.fresh)]
        world.network.isolate(fresh, list(world.nodes))
        commit = world.observer.commit
        self._write()
        self._until(lambda: all(views[name].commit > commit for name in fresh))

    def cut(self) -> None:
        """Leave only the links of the topology."""
        self.world.network.heal()
        for one, other in permutations(range(len(self.names)), 2):
            if (one, other) not in self.situation.topology.arcs:
                self.world.network.cut(self.names[one], self.names[other])

    def watch(self, duration: float) -> tuple[float, int, int]:
        """How long writes waited at most, how many leaders were elected, and terms begun."""
        begin, elections, term = self.world.now, self._elections(), self._term()
        self.pass_time(duration)
        return self.gap(begin), self._elections() - elections, self._term() - term

    def gap(self, begin: float) -> float:
        """The longest time since then in which nothing was committed."""
        times = [time for time, _ in self.world.observer.commits if time > begin]
        return max(after - before for before, after in pairwise([begin, *times, self.world.now]))

    def heal(self) -> float:
        """Open all links; the time until something is committed."""
        begin, commit = self.world.now, self.world.observer.commit
        self.world.network.heal()
        self._until(lambda: self.world.observer.commit > commit)
        return self.world.now - begin

    def pass_time(self, duration: float) -> None:
        """Let so much time pass."""
        end = self.world.now + duration
        while self.world.now < end:
            self.world.advance()

    def _until(self, done: Callable[[], bool]) -> None:
        end = self.world.now + PATIENCE
        while not done() and self.world.now < end:
            self.world.advance()

    def _write(self) -> None:
        """Clients write to whoever believes to lead."""
        world = self.world
        for name, view in world.observer.views.items():
            if view.role is Role.LEADER:
                self.written += 1
                command = b"list %d" % self.written
                world.post(world.nodes[name], Proposed(-self.written, (command,)))
        world.after(1 / WRITES, self._write)

    def _elections(self) -> int:
        return self.world.observer.counts["election"]

    def _term(self) -> Term:
        return max(view.term for view in self.world.observer.views.values())
