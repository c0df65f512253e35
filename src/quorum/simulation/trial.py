"""One seed from start to verdict: break things, then heal a majority and demand progress.

The first phase looks for broken promises (safety). The second leaves a minority as broken as it is
and repairs the rest: within a bound there must be a leader, a new write must be acknowledged, all
who are whole must have the same log, and every call must have been answered (liveness). At the end
the clients' history is put to the linearizability checker, and the log is replayed on a fresh
machine, entry by entry: it must give the same results.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from attrs import define

from quorum.config import Config
from quorum.machine import StateMachine, snapshot_bytes
from quorum.messages import Members
from quorum.simulation.clients import Call, Client, Outcome, Session
from quorum.simulation.faults import Faults, Pace, draw_config
from quorum.simulation.invariants import Violation
from quorum.simulation.linearizability import TooHard, unexplained
from quorum.simulation.machines import ListsWorkload, Workload
from quorum.simulation.nemesis import Nemesis
from quorum.simulation.node import Node
from quorum.simulation.report import Finding, Report
from quorum.simulation.trace import Trace
from quorum.simulation.world import World

STEPS = 2_000
"""Steps of the first phase, unless told otherwise."""

CLIENTS_MAX = 4
"""Clients at a time; each seed draws how many."""

PATIENCE = 100
"""Election timeouts that a repaired majority may take to be back in order."""


def run(
    seed: int,
    *,
    steps: int = STEPS,
    nodes: int = 3,
    machine: Callable[[], StateMachine] | None = None,
    command: Callable[[Random], bytes] | None = None,
    faults: Faults | None = None,
    config: Config | None = None,
    trace: bool = False,
) -> Report:
    """Run one seed; equal arguments give equal runs, to the last bit.

    To try a machine of your own, give `machine`, which makes an empty one, and `command`, which
    draws a command; `report.violations` is then empty if every replica gave the same results and
    reached the same state through crashes, snapshots, partitions and elections, and nobody was told
    of anything that was not so. `faults` and `config` are drawn from the seed unless given.
    """
    if (machine is None) != (command is None):
        raise TypeError("a machine of your own needs commands of your own: give both or neither")
    random = Random(seed)
    workload = (
        ListsWorkload.draw(random)
        if machine is None or command is None
        else Workload(machine, command)
    )
    config = draw_config(random) if config is None else config
    faults = Faults.draw(random) if faults is None else faults
    names = [f"n{number}" for number in range(1, nodes + 3)]
    world = World(
        random,
        members=Members(voters=tuple(names[:nodes])),
        spares=names[nodes:] if "members" in faults.timed else (),
        config=config,
        faults=faults,
        pace=Pace.draw(random, config.election_timeout),
        priorities=random.choice(((1.0,), (1.0,), (1.0, 0.5, 0.25))),
        workload=workload,
        trace=Trace(keep=trace),
    )
    return _Trial(seed, steps, nodes, world, Nemesis(world)).report()


@define
class _Trial:
    seed: int
    steps: int
    size: int
    world: World
    nemesis: Nemesis
    stopped: bool = False

    def report(self) -> Report:
        world = self.world
        report = Report(seeds=1)
        try:
            self._chaos()
            self._settle()
            self._judge()
        except Violation as violation:
            report.violations.append(self._finding(violation.promise, violation.detail))
        except Exception as error:  # noqa: BLE001 - whatever a core or machine raises is a finding
            report.violations.append(self._finding("No exception", _where(error)))
        report.steps, report.inputs = world.steps, world.inputs
        report.commits = world.observer.commit
        report.operations = world.clients.counts
        report.faults, report.events = world.counts, world.observer.counts
        report.simulated = world.now
        report.digests[self.seed] = world.trace.digest
        report.timeline = world.trace.records
        return report

    def _finding(self, promise: str, detail: str) -> Finding:
        replay = (
            f"python -m quorum.simulation --first {self.seed} --seeds 1 --steps {self.steps} "
            f"--nodes {self.size} --trace"
        )
        world = self.world
        world.trace.note(world.now, "", f"VIOLATION of {promise}: {detail}")
        return Finding(self.seed, world.steps, world.now, promise, detail, replay)

    # Phase 1

    def _chaos(self) -> None:
        world = self.world
        known = isinstance(world.workload, ListsWorkload)
        random = world.random
        for number in range(random.randint(1, CLIENTS_MAX)):
            reads = random.choice((0.1, 0.3, 1.0) if number else (0.1, 0.3))  # somebody must write
            client = Client(reads, random.choice((0.0, 0.5, 1.0)))
            if known and random.random() < 0.4:
                client.session = Session()
            world.after(world.spread(world.pace.think), self._client, client)
        self.nemesis.begin()
        while world.steps < self.steps:
            world.advance()

    def _client(self, client: Client) -> None:
        """One client's turn: call, or wait on, or lose patience."""
        if self.stopped:
            return
        world = self.world
        calls = client.calls
        patience = world.config.election_timeout * 3
        if not any(call.outcome is Outcome.OPEN and call.trying for call in calls):
            client.calls = self._call(client)
        elif world.now - calls[0].tried > patience:
            world.clients.abandoned(calls)
        # Whoever was turned away waits a little longer.
        failed = any(call.outcome is Outcome.FAILED for call in calls)
        world.after(world.spread(world.pace.think * (5 if failed else 1)), self._client, client)

    def _call(self, client: Client) -> list[Call]:
        """Call the server that answered last time; else the leader that one hears of; or any.

        Clients that stay with a leader which others have given up find out whether it knows.
        """
        world, before, session = self.world, client.calls, client.session
        name = world.random.choice(list(world.nodes))
        if before and before[0].outcome is Outcome.OK:
            name = before[0].node
        elif world.leader is not None and not world.nodes[world.leader].frozen:
            name = world.leader if world.random.random() < 0.7 else name
        node = world.nodes[name]
        if not node.up:
            return []
        if session is not None and (session.asking or world.random.random() < 0.8):
            event, calls = world.clients.ask_in(session, name, world.now)
        else:
            event, calls = world.clients.ask(
                client,
                name,
                world.now,
                lambda age: world.observer.commit_at(max(0.0, world.now - age / node.rate)),
                world.config.election_timeout * world.random.random(),
            )
        world.post(node, event)
        return calls

    # Phase 2

    def _settle(self) -> None:
        world = self.world
        protected = world.config.pre_vote and world.config.check_quorum
        changing = "members" in world.faults.timed
        whole = self.nemesis.freeze()
        if changing and not protected:
            return  # without both, a removed server may disturb the others for ever (thesis 4.2.3)
        begin = world.now
        limit = begin + PATIENCE * world.config.election_timeout
        self._wait(limit, lambda: self._acknowledged_since(begin), "a new write is acknowledged")
        self.stopped = True
        self._wait(limit, lambda: self._converged(whole), "all who are whole agree")
        self._wait(limit, lambda: self._answered(whole), "every call is answered")

    def _wait(self, limit: float, done: Callable[[], bool], what: str) -> None:
        world = self.world
        while not done():
            for _ in range(20):
                world.advance()
            if world.now > limit:
                roles = ", ".join(
                    f"{name} {view.role.value} t{view.term} c{view.commit}"
                    for name, view in world.observer.views.items()
                )
                raise Violation("Liveness", f"not within {PATIENCE} timeouts: {what} ({roles})")

    def _acknowledged_since(self, begin: float) -> bool:
        calls = self.world.clients.calls
        return any(
            call.outcome is Outcome.OK and call.unique is not None and call.invoked > begin
            for call in calls[-500:]
        )

    def _converged(self, whole: list[Node]) -> bool:
        world = self.world
        return not self._members().joint and all(
            node.applied == world.observer.commit == world.observer.views[node.id].log.last
            for node in self._wanted(whole)
        )

    def _answered(self, whole: list[Node]) -> bool:
        """Nobody waits for an answer of a server that is whole, a member or not."""
        names = [node.id for node in whole]
        return not any(
            call.outcome is Outcome.OPEN and call.trying and call.node in names
            for call in self.world.clients.calls
        )

    def _members(self) -> Members:
        """The configuration that the most advanced of those who are whole goes by."""
        views = self.world.observer.views.items()
        whole = [view for name, view in views if not self.world.nodes[name].frozen]
        return max(whole, key=lambda view: view.commit).members[1]

    def _wanted(self, whole: list[Node]) -> list[Node]:
        """Those of whom something may be asked: nobody tells a removed server anything more."""
        return [node for node in whole if node.id in self._members().everyone]

    # Verdict

    def _judge(self) -> None:
        """What only the whole run can tell."""
        world = self.world
        if isinstance(world.workload, ListsWorkload):
            try:
                key = unexplained(world.clients.history())
            except TooHard:
                world.counts["history too concurrent to decide"] += 1
            else:
                if key is not None:
                    raise Violation("Linearizability", f"no order explains what clients saw: {key}")
        machine = world.workload.machine()
        results = world.observer.results()
        snapshots = {0: snapshot_bytes(machine)}
        for index in sorted(world.applied):
            (result,) = machine.apply(world.applied[index])
            if index in results and results[index] != result:
                raise Violation("State Machine Safety", f"replay differs at {index}")
            snapshots = {index: snapshot_bytes(machine)}
        last = max(snapshots)
        for node in world.nodes.values():
            if node.up and node.applied >= last and snapshot_bytes(node.machine) != snapshots[last]:
                raise Violation("State Machine Safety", f"{node.id} differs from a replay")


def _where(error: Exception) -> str:
    """An exception and the line that raised it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace else "?"
    return f"{type(error).__name__} in {place}: {error}"
