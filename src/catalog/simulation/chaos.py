"""A run from one seed: troubles first, then calm, then the questions that only calm can answer.

While it lasts servers and clients are cut off in one direction or both, stand still, lose their
processes, leave and come back; clocks jump ahead; datagrams are lost and come twice; snapshots are
taken so often that whoever was away gets one. All the while users work (`workload`), and every
step is looked at (`invariants`).

Then all is healed, everybody is there again, and nobody changes anything. In the end:

``Progress``      a write and a read are answered.
``Convergence``   all servers have the same catalog, and all copies say what it says.
``Zombie``        the catalog has no instance that its agent does not have,
``Lost``          and lacks none that it has, and its checks are as the agent knows them.
``Gossip``        the health of every node is what gossip says.
``Abandoned``     sessions that nobody renews have ended.
``Linearizability``  some order explains what every user of the keys has seen.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from random import Random
from zlib import crc32

import trio
from attrs import define, field

import quorum
import rumor
from catalog.commands import DeregisterCheck, DeregisterService
from catalog.config import AgentConfig
from catalog.model import Status
from catalog.node.difference import difference
from catalog.server.autopilot import Rules
from catalog.simulation.invariants import Invariants, Violation
from catalog.simulation.loops import deterministic
from catalog.simulation.site import SERVERS, Agent
from catalog.simulation.workload import TTL, Workload
from catalog.simulation.world import World
from catalog.subscriptions import Subscription
from quorum.simulation.linearizability import unexplained

__all__ = ["Report", "run"]

CLIENTS = ("c1", "c2", "c3")
RAFT = quorum.Config(
    heartbeat=0.1,
    election_timeout=0.6,
    snapshot_entries=40,
    tail_entries=10,
    command_bytes_max=1 << 20,
)
CALM_SECONDS = 45.0
"""Longer than anything that the troubles leave behind takes: sessions, pauses, comparisons."""
PROGRESS_SECONDS = 15.0


@define
class Report:
    """What became of a seed."""

    seed: int
    violations: list[Violation] = field(factory=list)
    counts: Counter[str] = field(factory=Counter)
    seconds: float = 0.0
    """Of virtual time."""
    digest: int = 0
    """Equal for equal runs."""


def config_of(name: str) -> AgentConfig:
    """Return settings that make everything happen often."""
    return AgentConfig(
        name,
        cluster="simulated",
        gossip=rumor.Config.local(),
        raft=RAFT,
        sync_interval=5.0,
        reconcile_interval=5.0,
        autopilot=Rules(interval=2.0),
    )


def run(seed: int, *, seconds: float = 60.0) -> Report:
    """Play a seed; whatever promise is broken is in the report."""
    report, random = Report(seed), Random(seed)
    with deterministic(seed), quiet():
        observer = Invariants(lambda: world.now, [])
        world = World(random, config=config_of, watch=observer, clients=CLIENTS)
        observer.jumps = world.jumps
        workload = Workload(world, observer)
        workload.install(CLIENTS)
        try:
            Trial(world, workload, observer).play(seconds)
        except Exception as error:  # noqa: BLE001 - whatever it is, a promise is broken
            report.violations.append(violation_of(error))
        for name in world.sites:
            with suppress(Exception):  # what is broken already is known
                world.kill(name)
    report.counts = world.counts + observer.counts
    report.seconds = world.now
    report.digest = hash_of(observer)
    return report


def violation_of(error: BaseException) -> Violation:
    """Return the promise that an exception says is broken."""
    if isinstance(error, Violation):
        return error
    if isinstance(error, BaseExceptionGroup):
        found = [violation_of(one) for one in error.exceptions]
        return next((one for one in found if one.promise != "Exception"), found[0])
    return Violation("Exception", repr(error))


@contextmanager
def quiet() -> Iterator[None]:
    """Log nothing: in troubles everybody would have much to say."""
    loggers = [logging.getLogger(name) for name in ("catalog", "quorum", "rumor")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


async def write_probe(agent: Agent, done: dict[str, None]) -> None:
    """Write something, and say so when it is there."""
    with trio.move_on_after(PROGRESS_SECONDS):
        await agent.put(f"probe/{agent.name}", b"")
        done[agent.name] = None


def hash_of(observer: Invariants) -> int:
    """Return a number that two different runs hardly share."""
    return crc32(observer.truth.to_bytes())


@define
class Trial:
    """One world under troubles, and after them."""

    world: World
    workload: Workload
    observer: Invariants

    def play(self, seconds: float) -> None:
        """Do all of it."""
        world = self.world
        for name in world.sites:
            world.after(world.random.uniform(0.0, 2.0), world.start, name)
        world.run(5.0)
        troubles: list[Callable[[], None]] = [
            self.cut, self.cut, self.lose, self.freeze, self.freeze, self.jump,
            self.crash, self.crash, self.leave, world.network.heal,
        ]  # fmt: skip
        chosen = world.random.sample(troubles, world.random.randint(2, len(troubles)))
        until = world.now + seconds
        while world.now < until:
            world.run(world.random.uniform(0.2, 4.0))
            world.random.choice(chosen)()
            if world.random.random() < 0.3:
                world.network.heal()
        self.calm_down()
        self.check()

    # Troubles.

    def anybody(self) -> str:
        """Draw a machine; servers, and of these the leader, are drawn most."""
        random, leader = self.world.random, self.leader()
        if leader is not None and random.random() < 0.4:
            return leader
        return random.choice((*SERVERS, *self.world.sites))

    def leader(self) -> str | None:
        """Who leads by its own account."""
        for name in SERVERS:
            agent = self.world.sites[name].agent
            duties = None if agent is None else agent.duties
            if duties is not None and duties.replica.server.is_leader:
                return name
        return None

    def cut(self) -> None:
        """Cut off a machine, or two of them."""
        group = {self.anybody(): None, self.anybody(): None}
        one_way = self.world.random.random() < 0.3
        self.world.counts["cuts"] += 1
        self.world.network.cut(group, one_way=one_way)

    def lose(self) -> None:
        """Let datagrams be lost, come twice, and take their time."""
        network, random = self.world.network, self.world.random
        network.loss, network.repeats = random.uniform(0, 0.2), random.uniform(0, 0.2)
        network.delay = random.choice((0.002, 0.01, 0.05))

    def freeze(self) -> None:
        """Let a process stand still."""
        self.world.counts["pauses"] += 1
        self.world.freeze(self.anybody(), self.world.random.choice((0.5, 2.0, 8.0)))

    def jump(self) -> None:
        """Let a clock jump ahead."""
        self.world.counts["jumps"] += 1
        self.world.jump(self.anybody(), self.world.random.uniform(0.1, 4.0))

    def crash(self) -> None:
        """Kill a process, and start it again later."""
        name = self.anybody()
        if self.world.sites[name].process is not None:
            self.world.counts["crashes"] += 1
            self.world.kill(name)
            self.world.after(self.world.random.uniform(0.0, 10.0), self.world.start, name)

    def leave(self) -> None:
        """Let a client leave, and come back."""
        site = self.world.sites[self.world.random.choice(CLIENTS)]
        if site.process is not None and site.agent is not None:
            self.world.counts["farewells"] += 1
            agent = site.agent
            site.process.post(lambda: agent.nursery.start_soon(agent.leave))
            self.world.after(self.world.random.uniform(5.0, 20.0), self.world.start, site.name)

    # Calm.

    def calm_down(self) -> None:
        """Heal everything, have everybody back, and wait."""
        world = self.world
        self.workload.stopped = True
        world.network.heal()
        world.run(25.0)  # whoever is about to leave or to start does so
        for name, site in world.sites.items():
            site.frozen_until = 0.0
            world.start(name)
        world.run(CALM_SECONDS)

    def check(self) -> None:
        """Ask what only calm can answer."""
        self.check_progress()
        agents = [site.agent for site in self.world.sites.values()]
        assert None not in agents, "everybody is there"
        present = [agent for agent in agents if agent is not None]
        self.check_servers(present)
        self.check_copies()
        for agent in present:
            self.check_node(agent)
        left = [one.id for one in self.observer.truth.sessions()]
        if left:
            raise Violation("Abandoned", f"{left} are {CALM_SECONDS} s old, with {TTL} s to live")
        key = unexplained(self.workload.history)
        if key is not None:
            raise Violation("Linearizability", f"nothing explains what was seen of {key}")

    def check_progress(self) -> None:
        """Somebody writes at every agent."""
        done: dict[str, None] = {}
        for site in self.world.sites.values():
            agent = site.agent
            if agent is None or site.process is None:
                raise Violation("Progress", f"{site.name} does not come up")
            site.process.post(partial(agent.nursery.start_soon, write_probe, agent, done))
            self.world.network.wake(site)
        self.world.run(PROGRESS_SECONDS)
        if len(done) < len(self.world.sites):
            raise Violation("Progress", f"writes were answered at {list(done)} only")

    def check_servers(self, agents: list[Agent]) -> None:
        """All servers have the same catalog."""
        for agent in agents:
            if agent.duties is not None:
                registry = agent.duties.replica.registry
                if registry.applied != self.observer.truth.applied:
                    raise Violation("Convergence", f"{agent.name} is at {registry.applied}")
                self.observer.compare(agent.name, registry)

    def check_copies(self) -> None:
        """All copies say what the catalog says."""
        truth = self.observer.truth
        for (name, what), one in self.workload.subscriptions.items():
            if isinstance(one, Subscription):
                equal = one.view.instances == truth.lookup(what, healthy=False).instances
            else:
                equal = one.view == truth.key_update(what, None).changed
            if not equal:
                raise Violation("Convergence", f"{name} has another copy of {what}")

    def check_node(self, agent: Agent) -> None:
        """The catalog, gossip and the agent say the same of its node."""
        view = self.observer.truth.node(agent.name)
        todo = difference(agent.keeper.local, view, outputs=False)
        zombies = [one for one in todo if isinstance(one, DeregisterService | DeregisterCheck)]
        if todo:
            raise Violation("Zombie" if zombies else "Lost", f"{agent.name} has yet to do {todo}")
        assert view is not None
        if view.health is None or view.health.status is not Status.PASSING:
            raise Violation("Gossip", f"{agent.name} is alive, and {view.health}")
