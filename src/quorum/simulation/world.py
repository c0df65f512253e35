"""The simulated world: a queue of happenings in virtual time, and servers that live in it.

Everything random comes from one generator, everything timed from one queue, so a seed decides the
whole run. The servers are real cores (`quorum.core.raft.Raft`); the world is their driver, and does
with each effect what a driver does: writes go to a disk that takes time, messages through the real
wire format to a network that takes chances, entries to a machine that lags behind.

After every step the observer (`invariants`) compares all that everybody knows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any

from attrs import evolve

from quorum import wire
from quorum.config import Config
from quorum.core.raft import Raft
from quorum.effects import (
    Admit,
    Announce,
    Answer,
    Apply,
    Effect,
    Persist,
    Refuse,
    Restore,
    Send,
    SendSnapshot,
    Snapshot,
    Trim,
)
from quorum.events import (
    Applied,
    Compacted,
    Event,
    Persisted,
    ReadRequested,
    Received,
    SnapshotArrived,
    SnapshotSent,
)
from quorum.machine import SnapshotData, go_by, machine_version, restore_bytes
from quorum.messages import (
    Entries,
    Index,
    InstallSnapshot,
    Kind,
    Members,
    Message,
    NodeId,
    SnapshotMark,
    read_version,
)
from quorum.simulation.clients import Clients
from quorum.simulation.disks import Disk, Save
from quorum.simulation.faults import Faults, Pace
from quorum.simulation.invariants import Invariants, Violation
from quorum.simulation.machines import Workload
from quorum.simulation.network import Network
from quorum.simulation.node import Node
from quorum.simulation.trace import Flight, Trace

ROUNDING = 1e-7
"""Seconds that a sum of floating-point times may be off."""

DOUBT_TIMEOUTS = 10
"""Election timeouts after a change of leader for which a command waits for its verdict."""

SPINS_MAX = 50
"""Steps in a row for a deadline that stays in the past before the core is said to spin."""


class World:
    """Servers, disks, a network, and the time they live in."""

    def __init__(
        self,
        random: Random,
        *,
        members: Members,
        spares: Iterable[NodeId] = (),
        config: Config,
        faults: Faults,
        pace: Pace,
        priorities: Sequence[float] = (1.0,),
        workload: Workload,
        trace: Trace,
    ) -> None:
        self.random, self.config, self.pace, self.trace = random, config, pace, trace
        self.faults = faults
        self.workload = workload
        self.now = 0.0
        self.steps = self.inputs = 0
        self.counts: Counter[str] = Counter()
        self.network = Network(random, pace.network, faults, self.counts)
        self.nodes = {
            name: Node(
                id=name,
                config=evolve(config, priority=random.choice(priorities)),
                disk=Disk.bootstrap(bootstrap),
                machine=workload.machine(),
            )
            for bootstrap, names in ((members, members.everyone), (Members(), spares))
            for name in names
        }
        disks = {name: node.disk for name, node in self.nodes.items()}
        self.observer = Invariants(disks)
        self.clients = Clients(workload, random)
        self.applied: dict[Index, Entries] = {}
        """Every command that any server was told to apply, by index."""
        self.leader: NodeId | None = None
        """Who last said that it leads: a hint for clients."""
        self._queue: list[tuple[float, int, Node | None, int, Callable[..., None], Any]] = []
        self._sequence = count()
        for node in self.nodes.values():
            self.start(node)

    # Time

    def after(
        self, delay: float, act: Callable[..., None], *arguments: Any, node: Node | None = None
    ) -> None:
        """Do this later; if a server is named, only if it still lives the same life then."""
        life = node.life if node is not None else 0
        entry = (self.now + delay, next(self._sequence), node, life, act, arguments)
        heappush(self._queue, entry)

    def advance(self) -> None:
        """Let the next thing happen."""
        self.now, _, node, life, act, arguments = heappop(self._queue)
        if node is None or node.life == life:
            act(*arguments)

    def spread(self, usual: float) -> float:
        """A duration around a usual one."""
        return usual * self.random.uniform(0.1, 2)

    # Servers

    def start(self, node: Node) -> None:
        """Boot a server on its disk, with a clock of its own."""
        if node.up:
            return
        node.rate = 1 + self.random.uniform(-1, 1) * self.faults.drift
        node.offset = self.random.uniform(0, 1000)
        node.machine = self.workload.machine()
        node.core = Raft(
            node.id,
            node.disk.load(),
            node.config,
            now=node.local(self.now),
            random=Random(self.random.getrandbits(64)),
            machine_version=machine_version(node.machine),
        )
        self.observer.started(node.id)
        self.trace.note(self.now, node.id, "starts")
        self._turn_soon(node)

    def crash(self, node: Node, because: str) -> None:
        """Kill a server; it comes back after a while, unless it is frozen."""
        if not node.up:
            return
        self.counts[because] += 1
        node.die()
        lost = len(node.disk.queue)
        for order in node.disk.crash(self.random):
            lost -= 1
            if isinstance(order, Persist):
                self.observer.synced(node.id, order)
        self.counts["unsynced write lost"] += lost
        self.clients.crashed(node.id)
        self.trace.note(self.now, node.id, f"dies ({because}), {lost} writes lost")
        if not node.frozen:
            patience = self.config.election_timeout
            delay = patience * self.random.choice((0, 0.1, 1, 3)) * self.random.random()
            self.after(delay, self.start, node)

    def post(self, node: Node, event: Event) -> None:
        """Put an event into a server's mailbox."""
        if node.up:
            node.mail.append(event)
            self._turn_soon(node)

    def _turn_soon(self, node: Node) -> None:
        if not node.turn_due:
            node.turn_due = True
            self.after(self.spread(self.pace.turn), self._turn, node, node=node)

    def _turn(self, node: Node) -> None:
        """The server takes all its mail, steps once, and does what it is told."""
        core = node.core
        assert core is not None
        if self.now < node.paused_until - ROUNDING:
            self.after(node.paused_until - self.now, self._turn, node, node=node)
            return
        node.turn_due = False
        events, node.mail = node.mail, []
        self.steps += 1
        self.inputs += len(events)
        effects = core.step(events, now=self._local(node))
        statistics = core.statistics()
        self.trace.stepped(self.now, statistics, events, effects)
        for effect in effects:
            self.observer.ordered(node.id, effect)
        self.observer.stepped(node.id, statistics, self.now)
        self._count_leases(events, effects)
        life = node.life
        deadly = self.random.random() < self.faults.crash_in_effects
        fatal = self.random.randint(0, len(effects)) if deadly else -1
        for place, effect in enumerate(effects):
            if place == fatal:
                break
            self._perform(node, effect)
        if fatal >= 0:
            self.crash(node, "crash between effects")
        if node.life == life:
            self._set_alarm(node)

    def _count_leases(self, events: list[Event], effects: list[Effect]) -> None:
        """A read that is answered in the step in which it came was answered without a round."""
        leased = [
            event.tag
            for event in events
            if isinstance(event, ReadRequested) and event.lease and not event.max_age
        ]
        if leased and len(self.nodes) > 1:
            answered = [effect.tag for effect in effects if isinstance(effect, Answer)]
            self.observer.counts["read under a lease"] += len({*leased} & {*answered})

    def _local(self, node: Node) -> float:
        """The server's clock; at an alarm not a rounding error before the deadline."""
        local = node.local(self.now)
        assert node.core is not None
        return node.core.deadline if abs(node.core.deadline - local) < ROUNDING else local

    def _set_alarm(self, node: Node) -> None:
        at = node.alarm()
        node.spins = node.spins + 1 if at <= self.now else 0
        if node.spins > SPINS_MAX:
            raise Violation("Deadline", f"{node.id} stays past its deadline, step after step")
        if at == float("inf") or (node.wake is not None and node.wake <= at):
            return
        node.wake = max(at, self.now)
        self.after(node.wake - self.now, self._alarm, node, node.wake, node=node)

    def _alarm(self, node: Node, wake: float) -> None:
        if node.wake != wake:
            return  # an earlier alarm was set after this one
        node.wake = None
        if node.alarm() <= self.now + ROUNDING:
            self._turn_soon(node)
        else:
            self._set_alarm(node)

    # Effects

    def _perform(self, node: Node, effect: Effect) -> None:
        match effect:
            case Send(to, message):
                self._send(node, to, message)
            case Persist() | Trim():
                node.disk.queue.append(effect)
                self._write(node)
            case Apply(entries):
                for place, kind in enumerate(entries.kinds, entries.first):
                    if kind == Kind.COMMAND and place not in self.applied:
                        self.applied[place] = entries.slice(place, place + 1)
                self._assign(node, effect)
            case Snapshot():
                self._assign(node, effect)
            case Restore(mark):
                self._assign(node, (effect, node.disk.snapshots[mark.index][1]))
            case Admit():
                self.clients.admitted(node.id, effect)
            case Answer(tag):
                self.clients.answered(tag, node.machine, node.applied, self.now)
            case Refuse():
                self.clients.refused(effect, self.now)
            case SendSnapshot():
                self._send_snapshot(node, effect)
            case Announce(leader=leader):
                self.leader = leader if leader is not None else self.leader
                # Whoever put callers' commands into its log may lead no more: they wait a while.
                patience = DOUBT_TIMEOUTS * self.config.election_timeout
                doubtful = self.clients.placed(node.id)
                self.after(patience, self.clients.give_up, node.id, doubtful, node=node)

    def _send(self, node: Node, to: NodeId, message: Message) -> None:
        delays = self.network.copies(node.id, to)
        if delays and to in self.nodes:
            data = wire.encode(message)
            for delay in delays:
                flight = self.trace.sent(self.now, node.id, to, message, delay)
                self.after(delay, self._deliver, node.id, self.nodes[to], data, flight)
        else:
            self.trace.sent(self.now, node.id, to, message, None)

    def _deliver(self, sender: NodeId, node: Node, data: bytes, flight: Flight | None) -> None:
        arrived = self.network.open(sender, node.id)
        self.trace.ended(flight, arrived=arrived and node.up)
        if arrived:
            self.post(node, Received(sender, wire.decode(data)))

    # Disk

    def _write(self, node: Node) -> None:
        if node.disk.begin():
            slow = 100 if self.now < node.slow_until else 1
            self.after(self.spread(self.pace.disk) * slow, self._written, node, node=node)

    def _written(self, node: Node) -> None:
        if self.random.random() < self.faults.disk_error:
            self.crash(node, "disk error")
            return
        ticket = 0
        for order in node.disk.finish():
            match order:
                case Persist():
                    self.observer.synced(node.id, order)
                    ticket = order.ticket
                case Save(mark, _, str(sender), term, round_):
                    self.post(node, SnapshotArrived(sender, term, round_, mark))
                case Save(mark):
                    self.post(node, Compacted(mark))
                case Trim():
                    pass
        if ticket:
            self.post(node, Persisted(ticket))
        self._write(node)

    # Machine

    def _assign(self, node: Node, task: Apply | Snapshot | tuple[Restore, bytes]) -> None:
        node.tasks.append(task)
        if len(node.tasks) == 1:
            self.after(self.spread(self.pace.apply), self._work, node, node=node)

    def _work(self, node: Node) -> None:
        match node.tasks[0]:
            case Apply(entries):
                self._apply(node, entries)
                node.applied = entries.last
                self.post(node, Applied(node.applied))
            case Snapshot(mark):
                self._take(node, mark, node.machine.snapshot())
            case (Restore(mark), data):
                node.machine = self.workload.machine()
                go_by(node.machine, mark.version, mark.index)
                restore_bytes(node.machine, data)
                node.applied = mark.index
                self.clients.restored(node.id, mark.index)
                self.post(node, Applied(mark.index))
        node.tasks.popleft()
        if node.tasks:
            self.after(self.spread(self.pace.apply), self._work, node, node=node)

    def _take(self, node: Node, mark: SnapshotMark, data: SnapshotData) -> None:
        """Save a snapshot; chunks are made later, when the machine has gone on."""
        if not isinstance(data, bytes):
            pause = self.spread(self.pace.apply + self.pace.disk)
            self.after(pause, lambda: self._take(node, mark, b"".join(data)), node=node)
            return
        self.observer.snapshotted(node.id, mark.index, data)
        node.disk.queue.append(Save(mark, data))
        self._write(node)

    def _apply(self, node: Node, entries: Entries) -> None:
        start = entries.first
        while start <= entries.last:
            kinds = entries.kinds[start - entries.first :]
            command = kinds[0] == Kind.COMMAND
            length = next((k for k, kind in enumerate(kinds) if (kind == 0) != command), len(kinds))
            run = entries.slice(start, start + length)
            for entry in () if command else run:
                if entry.kind is Kind.VERSION:
                    go_by(node.machine, read_version(entry.payload), entry.index)
            results = node.machine.apply(run) if command else [None] * length
            assert len(results) == length, "a machine gives one result for each command"
            for index, term, result in zip(
                range(start, start + length), run.terms, results, strict=True
            ):
                if command and self.observer.applied(node.id, index, result):
                    self._check_once(index, entries.payloads[index - entries.first], result)
                self.clients.applied(node.id, index, term, result, self.now)
            start += length

    def _check_once(self, index: Index, command: bytes, result: object) -> None:
        """Thesis 6.3: a command is applied once, however often its client sends it."""
        if self.workload.repeats(command, result):
            raise Violation("Exactly once", f"entry {index} shows something done twice: {result}")

    # Snapshots between servers

    def _send_snapshot(self, node: Node, order: SendSnapshot) -> None:
        self._send(node, order.to, InstallSnapshot(order.term, order.round, order.mark))
        held = node.disk.snapshots.get(order.mark.index)
        delay = self.spread(self.pace.network * 4)
        self.after(delay, self._snapshot_sent, node, order, held and held[1], node=node)

    def _snapshot_sent(self, node: Node, order: SendSnapshot, data: bytes | None) -> None:
        to = self.nodes[order.to]
        both = self.network.open(node.id, to.id) and self.network.open(to.id, node.id)
        ok = data is not None and to.up and both and self.random.random() >= self.faults.loss
        self.counts["snapshot transfer failed"] += not ok
        if ok and data is not None:
            to.disk.queue.append(Save(order.mark, data, node.id, order.term, order.round))
            self._write(to)
        self.post(node, SnapshotSent(order.to, order.mark, ok))
