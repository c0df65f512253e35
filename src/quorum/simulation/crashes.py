"""A crash at every moment of a scripted history, enumerated, not sampled.

A moment is just before or after an effect of a server is done: a message sent, a write handed to
the disk, the disk's sync, a run applied, a snapshot taken. The script is the same every time, so
the moments of a server can be counted in a quiet run, and then be tried one by one: the server dies
there, comes back on what its disk has, and the script must still come to its end, with every
promise kept (`invariants`) and every acknowledged write in the machine.

The rig is a driver with nothing left to chance: messages, syncs and machines take their turns in
one queue, first come, first served, and time passes only when nothing else is left to do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any, TypeAlias

from attrs import Factory, define, evolve, field, frozen

from quorum.config import Config
from quorum.core.raft import Raft
from quorum.effects import (
    Admit,
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
    Received,
    SnapshotArrived,
    SnapshotSent,
    Tag,
)
from quorum.machine import snapshot_bytes
from quorum.messages import Entries, Index, InstallSnapshot, Kind, Members, NodeId, Term
from quorum.simulation.disks import Disk, Save
from quorum.simulation.invariants import Invariants, Violation
from quorum.simulation.machines import Lists

CONFIG = Config(snapshot_entries=6, tail_entries=1, commit_delay=0.01, entries_max=2)
PATIENCE = 40.0
"""Virtual seconds in which each part of the script must succeed, whatever crashed."""

Outcome: TypeAlias = str | None
"""Of a request: "ok", "no" (it did not happen), "lost" (unknown), or None while it is open."""


@frozen
class Crash:
    """When power fails, and for how long."""

    server: NodeId
    moment: int
    written: bool = False
    """Whether what was on its way to the disk reached it all the same."""
    again: int = 0
    """Then again, so many moments after the restart."""
    down: float = 1.5
    """Seconds; by default long enough for the others to elect."""


class _PowerCut(Exception):
    """Power fails in the middle of what a server does."""


class _Luck(Random):
    """All or nothing."""

    def __init__(self, *, all_: bool) -> None:
        super().__init__(0)
        self._all = all_

    def randint(self, a: int, b: int) -> int:
        """The most or the least."""
        return b if self._all else a


@define(eq=False)
class Server:
    """A core, its disk and its machine."""

    name: NodeId
    disk: Disk
    core: Raft | None = None
    machine: Lists = field(factory=Lists)
    moments: int = 0
    """Counts the moments at which it could crash, over all its lives."""
    unwritten: set[int] = field(factory=set)
    """Those at which something was on its way to the disk."""
    life: int = 0
    syncing: bool = False


@define(eq=False)
class Rig:
    """Servers, and one queue for everything that happens."""

    crash: Crash | None = None
    config: Config = CONFIG
    now: float = 0.0
    servers: dict[NodeId, Server] = Factory(dict)
    cut: set[NodeId] = Factory(set)
    """Servers that no message reaches or leaves."""
    outcomes: dict[Tag, Outcome] = Factory(dict)
    crashes: int = 0
    observer: Invariants = Factory(lambda: Invariants({}))
    _tasks: deque[tuple[Server, int, Callable[..., None], tuple[Any, ...]]] = Factory(deque)
    _admitted: dict[tuple[NodeId, Index], tuple[Tag, Term]] = Factory(dict)
    _asked: dict[NodeId, set[Tag]] = Factory(dict)
    _restarts: list[tuple[float, Server]] = Factory(list)
    _tag: Tag = 0

    def add(self, *names: NodeId, members: Members) -> None:
        """Servers with new disks."""
        for name in names:
            self.servers[name] = Server(name, Disk.bootstrap(members))
        self.observer.disks = {name: server.disk for name, server in self.servers.items()}
        for name in names:
            self._start(self.servers[name])

    # Asking

    def ask(self, name: NodeId, make: Callable[[Tag], Event]) -> Outcome:
        """Put a request to a server and wait for its outcome."""
        self._tag += 1
        tag = self._tag
        server = self.servers[name]
        if server.core is None:
            return "no"
        self.outcomes[tag] = None
        self._asked.setdefault(name, set()).add(tag)
        self._do(server, self._step, make(tag))
        self.wait(lambda: self.outcomes[tag] is not None, "an answer", limit=3.0, strict=False)
        return self.outcomes[tag] or "lost"

    def leader(self) -> NodeId:
        """Wait until somebody leads a majority, and say who."""
        self.wait(lambda: self._leading() is not None, "a leader")
        name = self._leading()
        assert name is not None
        return name

    def _leading(self) -> NodeId | None:
        newest: tuple[Term, NodeId] | None = None
        for name, server in self.servers.items():
            if server.core is not None and name not in self.cut:
                state = server.core.statistics()
                if state.leader == name and (newest is None or state.term > newest[0]):
                    newest = (state.term, name)
        return newest and newest[1]

    def wait(
        self, done: Callable[[], bool], what: str, *, limit: float = PATIENCE, strict: bool = True
    ) -> None:
        """Let things happen until this is so."""
        end = self.now + limit
        while not done():
            if self._tasks:
                server, life, act, arguments = self._tasks.popleft()
                if server.life == life:
                    self._do(server, act, *arguments)
            elif not self._pass_time(end):
                if strict:
                    raise Violation("Liveness", f"not within {limit} s: {what}")
                return

    def _pass_time(self, end: float) -> bool:
        up = [server for server in self.servers.values() if server.core is not None]
        alarms = [(server.core.deadline, server) for server in up if server.core is not None]
        at, server = min([*alarms, *self._restarts], key=lambda pair: pair[0])
        if at > end:
            self.now = end
            return False
        self.now = max(self.now, at)
        if (at, server) in self._restarts:
            self._restarts.remove((at, server))
            self._start(server)
        else:
            self._do(server, self._step)
        return True

    # Living and dying

    def _start(self, server: Server) -> None:
        chance = Random(f"{server.name} {server.life}")
        server.core = Raft(
            server.name, server.disk.load(), self.config, now=self.now, random=chance
        )
        server.machine = Lists()
        self.observer.started(server.name)
        self._do(server, self._step)

    def _do(self, server: Server, act: Callable[..., None], *arguments: Any) -> None:
        try:
            act(server, *arguments)
        except _PowerCut:
            self._die(server)

    def _moment(self, server: Server) -> None:
        server.moments += 1
        if server.disk.queue:
            server.unwritten.add(server.moments)
        crash = self.crash
        if crash is not None and (crash.server, crash.moment) == (server.name, server.moments):
            raise _PowerCut

    def _die(self, server: Server) -> None:
        assert self.crash is not None
        self.crashes += 1
        for order in server.disk.crash(_Luck(all_=self.crash.written)):
            if isinstance(order, Persist):
                self.observer.synced(server.name, order)
        server.core, server.syncing = None, False
        server.life += 1
        for tag in self._asked.pop(server.name, ()):
            self.outcomes[tag] = self.outcomes[tag] or "lost"
        self._restarts.append((self.now + self.crash.down, server))
        again = self.crash.again
        moment = server.moments + again if again else 0
        self.crash = evolve(self.crash, moment=moment, again=0)

    def _later(self, server: Server, act: Callable[..., None], *arguments: Any) -> None:
        self._tasks.append((server, server.life, act, arguments))

    # Effects

    def _step(self, server: Server, *events: Event) -> None:
        core = server.core
        if core is None:
            return
        effects = core.step(events, now=self.now)
        for effect in effects:
            self.observer.ordered(server.name, effect)
        self.observer.stepped(server.name, core.statistics(), self.now)
        for effect in effects:
            self._moment(server)
            self._perform(server, effect)
        self._moment(server)

    def _perform(self, server: Server, effect: Effect) -> None:
        match effect:
            case Send(to, message):
                if to in self.servers and not {server.name, to} & self.cut:
                    self._later(self.servers[to], self._step, Received(server.name, message))
            case Persist() | Trim():
                self._write(server, effect)
            case Apply() | Snapshot() | Restore():
                self._later(server, self._work, effect)
            case Admit(tag, first, term):
                self._admitted[server.name, first] = (tag, term)
            case Answer(tag):
                self.outcomes[tag] = "ok"
            case Refuse(tag):
                self.outcomes[tag] = "no"
            case SendSnapshot():
                self._stream(server, effect)
            case _:
                pass

    def _write(self, server: Server, order: Persist | Trim | Save) -> None:
        server.disk.queue.append(order)
        if not server.syncing:
            server.syncing = True
            self._later(server, self._sync)

    def _sync(self, server: Server) -> None:
        self._moment(server)
        server.syncing = False
        server.disk.begin()
        events: list[Event] = []
        ticket = 0
        for order in server.disk.finish():
            match order:
                case Persist():
                    self.observer.synced(server.name, order)
                    ticket = order.ticket
                case Save(mark, _, str(sender), term, round_):
                    events.append(SnapshotArrived(sender, term, round_, mark))
                case Save(mark):
                    events.append(Compacted(mark))
                case Trim():
                    pass
        self._moment(server)
        self._step(server, *events, *([Persisted(ticket)] if ticket else []))

    def _work(self, server: Server, task: Apply | Snapshot | Restore) -> None:
        self._moment(server)
        match task:
            case Apply(entries):
                self._apply(server, entries)
                self._moment(server)
                self._step(server, Applied(entries.last))
            case Snapshot(mark):
                data = snapshot_bytes(server.machine)
                self.observer.snapshotted(server.name, mark.index, data)
                self._write(server, Save(mark, data))
            case Restore(mark):
                server.machine.restore(server.disk.snapshots[mark.index][1])
                for name, index in list(self._admitted):
                    if name == server.name and index <= mark.index:
                        self.outcomes[self._admitted.pop((name, index))[0]] = "lost"
                self._moment(server)
                self._step(server, Applied(mark.index))

    def _apply(self, server: Server, entries: Entries) -> None:
        for entry in entries:
            if entry.kind is Kind.COMMAND:
                self.observer.applied(server.name, entry.index, server.machine.command(entry))
            tag, term = self._admitted.pop((server.name, entry.index), (0, 0))
            if tag:
                self.outcomes[tag] = "ok" if term == entry.term else "no"

    def _stream(self, server: Server, order: SendSnapshot) -> None:
        word = InstallSnapshot(order.term, order.round, order.mark)
        self._perform(server, Send(order.to, word))
        to = self.servers[order.to]
        held = server.disk.snapshots.get(order.mark.index)
        ok = to.core is not None and held is not None and not {server.name, to.name} & self.cut
        if ok and held is not None:
            save = Save(order.mark, held[1], server.name, order.term, order.round)
            self._later(to, self._write, save)
        self._later(server, self._step, SnapshotSent(order.to, order.mark, ok))
