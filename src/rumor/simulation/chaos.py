"""One seed's run: troubles first, then a calm in which everything must come right.

In the troubles the invariants must hold; little can be said about what the lists say. Then the
network heals, what was held is released, and the promises about the end are called in:

``Convergence``   the lists of the living become equal and true: whoever runs is alive in all of
                  them, with its own incarnation, address and metadata, and nobody else is.
``Rest``          then nobody is accused any more, and there is nothing left to pass on.
``Delivery``      what a member says now is delivered by everybody.
``Farewell``      a member that leaves now is reported by everybody as having left, by nobody as
                  failed.
``Completeness``  a member that crashes now is reported as failed by everybody.
``Forgetting``    after the tombstone time the dead and departed are gone from all lists for good.

A core that raises is a violation too (``Exception``).
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from math import inf
from random import Random

from rumor.config import Config
from rumor.core.members import LIVE
from rumor.core.suspicion import suspicion_time
from rumor.effects import Notification
from rumor.messages import Gossip, Health, Name, Peer
from rumor.simulation.faults import ISOLATION_MAX, TOMBSTONE, Faults, draw_config
from rumor.simulation.host import Host, Mode
from rumor.simulation.invariants import Violation
from rumor.simulation.report import Finding, Report
from rumor.simulation.trace import Trace
from rumor.simulation.world import World
from rumor.wire import Wire

SETTLING_MAX = 400.0
"""Periods within which lists must be equal once the troubles are over."""

AFTERMATH = 20.0
"""Periods in which an accusation may still come from a probe that began in the troubles."""

REST = 60.0
"""Periods for which the calm is watched once lists are equal."""


WORD = "word"
"""What members say to all; often the same, for two equal events are two events."""

RECORDED_MAX = 500
"""Datagrams from the past that are kept to arrive again."""


def run(
    seed: int, *, nodes: int | None = None, periods: float = 150.0, trace: bool = False
) -> Report:
    """Run one seed: the same arguments always give the same run."""
    chaos = Chaos(seed, nodes=nodes, periods=periods, trace=trace)
    return chaos.run()


class Chaos:
    """One run."""

    def __init__(
        self, seed: int, *, nodes: int | None = None, periods: float = 150.0, trace: bool = False
    ) -> None:
        self.seed, self.periods = seed, periods
        self.random = random = Random(seed)
        size = random.choice((2, 3, 4, 5, 8, 12))
        self.names = [f"m{number}" for number in range(nodes if nodes is not None else size)]
        self.seeds = self.names[:2]
        self.faults = Faults.draw(random)
        config = draw_config(random)
        self.period = config.probe_interval
        self.notified: Counter[tuple[str, Name]] = Counter()
        self.world = World(random, config=config, trace=Trace(keep=trace), listen=self._listen)
        self.world.network.latency = self.period * 0.005
        self.recorded: list[tuple[Name, bytes]] = []
        self.replay = f"python -m rumor.simulation --seeds 1 --first {seed} --periods {periods:g}"
        if nodes is not None:
            self.replay += f" --nodes {nodes}"
        self.is_calm = False
        self.report = Report(seeds=1)

    def run(self) -> Report:
        """Troubles, then calm; what was found."""
        world, report = self.world, self.report
        try:
            self._troubles()
            self._calm()
        except Violation as violation:
            self._found(violation.promise, violation.detail)
        except Exception as error:  # noqa: BLE001  # whatever a core raises is a finding
            where = traceback.extract_tb(error.__traceback__)[-1]
            self._found("Exception", f"{error!r} at {where.name}, line {where.lineno}")
        report.steps, report.events = world.steps, world.events
        report.simulated, report.periods = world.now, world.now / self.period
        report.happenings.update(world.counts)
        report.digests[self.seed] = world.trace.digest
        report.timeline = world.trace.lines
        return report

    def _found(self, promise: str, detail: str) -> None:
        finding = Finding(self.seed, self.world.now, promise, detail, self.replay)
        self.report.violations.append(finding)

    def _listen(self, _now: float, _host: Host, notification: Notification) -> None:
        self.notified[type(notification).__name__, notification.member.name] += 1

    # --- troubles ---

    def _troubles(self) -> None:
        world, random = self.world, self.random
        for name in self.names:
            self._start(name)
            world.run(random.random() * self.period)
        self.faults.apply(world.network, self.period)
        end = world.now + self.periods * self.period
        while world.now < end and self.faults.timed:
            world.run(self.period * random.expovariate(1 / self.faults.interval))
            self._strike(random.choice(self.faults.timed))
        world.run(max(0.0, end - world.now))

    def _start(self, name: Name) -> None:
        host = self.world.hosts.get(name)
        if self.is_calm or (host is not None and host.up):
            return
        meta = self.random.randbytes(self.random.choice((0, 1, 20, 512)))
        self.world.start(name, meta=meta, seeds=[seed for seed in self.seeds if seed != name])

    def _strike(self, kind: str) -> None:
        """Let a trouble begin, and see to it that it ends."""
        world, random = self.world, self.random
        running = [host.name for host in world.up() if not host.left]
        if not running:
            return
        name, other = random.choice(running), random.choice(self.names)
        if kind == "move" and name in self.seeds:
            return  # a cluster whose seeds have all moved may never meet again, rightly
        lasts = self.period * ISOLATION_MAX * random.random() ** 2
        self.report.faults[kind] += 1
        match kind:
            case "crash" | "move":
                world.crash(name)
                if kind == "move":
                    world.move(name)
                world.after(lasts, self._start, name)
            case "leave":
                world.leave(name)
                world.after(lasts + world.config.leave_timeout, self._start, name)
            case "pause" | "block":
                mode = Mode.PAUSED if kind == "pause" else Mode.BLOCKED
                world.hold(name, mode)
                world.after(lasts, world.release, name)
            case "starve":
                least = self.period * random.random()
                world.hosts[name].lateness = (least, 3 * least)
                world.after(lasts, self._feed, name)
            case "partition":
                side = [each for each in self.names if random.random() < 0.5]
                world.network.sides = dict.fromkeys(side, 1)
                world.after(lasts, world.network.heal)
            case "cut":
                world.network.cuts.add((name, other))
                if random.random() < 0.5:
                    world.network.cuts.add((other, name))
                world.after(lasts, world.network.heal)
            case "describe":
                world.describe(name, random.randbytes(random.choice((0, 1, 20, 512))))
            case "say":
                world.say(name, WORD, random.randbytes(random.choice((0, 20, 512))))
            case "garbage":
                self._garbage(name)
            case "replay":
                self._replay(name)
            case _:
                raise AssertionError(kind)

    def _feed(self, name: Name) -> None:
        self.world.hosts[name].lateness = (0.0, 0.0)

    def _garbage(self, name: Name) -> None:
        """Bytes that are no datagram, and a datagram of another cluster."""
        random, world = self.random, self.world
        source = world.hosts[random.choice(self.names)].address
        world.inject(name, source, random.randbytes(random.randrange(64)))
        world.inject(name, source, world.wire.pack(Gossip())[:-1])
        world.inject(name, source, Wire("another").pack(Gossip()))

    def _replay(self, name: Name) -> None:
        """Let datagrams from the past arrive, some of them meant for others."""
        random, world = self.random, self.world
        self.recorded.extend(world.recent)
        del self.recorded[:-RECORDED_MAX]
        for source, data in random.choices(self.recorded, k=10):
            world.inject(name, world.hosts[source].address, data)

    # --- calm ---

    def _calm(self) -> None:
        world = self.world
        world.network.calm()
        for host in world.hosts.values():
            host.lateness = (0.0, 0.0)
            world.release(host.name)
        world.run(world.config.leave_timeout + self.period)  # whoever leaves has left
        gone = [] if self.random.random() < 0.5 else self.names[2:][-1:]
        for name in gone:
            if world.hosts[name].up:
                world.crash(name)
        for name in self.names:
            if name not in gone:
                self._start(name)
        self.is_calm = True
        took = self._await("Convergence", self._difference, within=SETTLING_MAX)
        self.report.settling.append(took)
        self.world.run(AFTERMATH * self.period)
        self._await("Convergence", self._difference, within=SETTLING_MAX)
        self._rest()
        self._delivery()
        self._farewell()
        self._completeness()
        self._forgetting()

    def _await(self, promise: str, lacks: Callable[[], str], *, within: float) -> float:
        """Let time pass until nothing is lacking; return the periods that it took."""
        took = self.world.run_until(
            lambda: not lacks(), within=within * self.period, look=self.period
        )
        if took == inf:
            raise Violation(promise, f"after {within:.0f} periods: {lacks()}")
        return took / self.period

    def _difference(self) -> str:
        """The first list that is not the truth; empty if all are."""
        truth = {host.name: self._list(host)[host.name] for host in self.world.up()}
        for host in self.world.up():
            for name in self.names:
                held, true = self._list(host).get(name), truth.get(name)
                if held != true and not (true is None and held and held.health not in LIVE):
                    return f"{host.name} holds {brief(held)} where {brief(true)} is true"
        return ""

    def _list(self, host: Host) -> Mapping[Name, Peer]:
        assert host.core is not None
        return host.core.members

    def _rest(self) -> None:
        before = self._accusations()
        self.world.run(REST * self.period)
        if (after := self._accusations()) != before:
            raise Violation("Rest", f"accused in the calm: {sorted((after - before).elements())}")
        busy = [
            host.name for host in self.world.up() if host.core and host.core.statistics().backlog
        ]
        if busy:
            raise Violation("Rest", f"{busy} still have something to pass on")
        if difference := self._difference():
            raise Violation("Rest", difference)

    def _accusations(self) -> Counter[tuple[str, Name]]:
        kinds = ("Suspected", "Failed", "Left")
        return Counter({key: n for key, n in self.notified.items() if key[0] in kinds})

    def _delivery(self) -> None:
        """One member says something: all hear it, by an exchange at the latest."""
        world, said = self.world, len(self.world.deliveries.times)
        world.say(self.names[0], WORD, b"")
        keys = list(world.deliveries.times)[said:]
        if not keys:
            raise Violation("Delivery", f"{self.names[0]} does not hear itself")
        names = [host.name for host in world.up()]
        within = 10 + 3 * world.config.exchange_interval / self.period
        self._await(
            "Delivery", lambda: world.deliveries.lacking(names, keys[0]) or "", within=within
        )

    def _farewell(self) -> None:
        """One member leaves: all say so, and nobody says that it failed."""
        name = self.names[0]
        failed = self.notified["Failed", name]
        self.world.leave(name)
        self._await("Farewell", lambda: self._not_held(name, Health.LEFT), within=30)
        self.world.run(REST * self.period)
        if self.notified["Failed", name] != failed:
            raise Violation("Farewell", f"{name} left and was reported as failed")
        if lacking := self._not_held(name, Health.LEFT):
            raise Violation("Farewell", lacking)

    def _completeness(self) -> None:
        """One member crashes: everybody finds out in time."""
        name = self.names[1]
        self.world.crash(name)
        if self.world.up():
            within = detection_max(self.world.config, len(self.names))
            took = self._await(
                "Completeness", lambda: self._not_held(name, Health.DEAD), within=within
            )
            self.report.detecting.append(took)

    def _forgetting(self) -> None:
        """Tombstones do not stay, and what they kept away stays away."""
        tombstone = self.world.config.tombstone_time
        if tombstone > TOMBSTONE * self.period:
            return
        self.world.run(tombstone + self.period)
        for _ in range(int(REST)):
            for host in self.world.up():
                ghosts = sorted(n for n in self._list(host) if not self.world.hosts[n].up)
                if ghosts:
                    raise Violation("Forgetting", f"{host.name} still knows {ghosts}")
            self.world.run(self.period)

    def _not_held(self, name: Name, health: Health) -> str:
        for host in self.world.up():
            held = self._list(host).get(name)
            if held is not None and held.health is not health:
                return f"{host.name} holds {held.name} for {held.health.name}, not {health.name}"
        return ""


def brief(peer: Peer | None) -> str:
    """Write a record on one line, its metadata by their length."""
    if peer is None:
        return "nothing"
    at = peer.address[0]
    return f"{peer.name} {peer.health.name}@{peer.incarnation} at {at} ({len(peer.meta)} bytes)"


def detection_max(config: Config, members: int) -> float:
    """How many periods may pass in a calm until everybody knows of a crash.

    Round robin bounds the time until the first accusation by two traversals; then the suspicion
    runs its longest time; then the news spreads, in the worst case by an exchange.
    """
    suspicion = suspicion_time(config.suspicion_multiplier, members, 1.0)
    spreading = 3 * config.exchange_interval / config.probe_interval
    return (2 * members - 1) + suspicion * config.suspicion_max_multiplier + 10 + spreading
