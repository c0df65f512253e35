"""A group of cores that talk in memory, at the test's pace."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import pytest
from attrs import define, field

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
    Role,
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
    Proposed,
    Received,
    Recovered,
    SnapshotArrived,
    SnapshotSent,
    TransferRequested,
)
from quorum.messages import Entries, Members, Message, NodeId, SnapshotMark


@define
class Group:
    """Cores, a perfect machine under each, and a network that the test may disturb."""

    config: Config
    nodes: dict[NodeId, Raft] = field(factory=dict)
    now: float = 0.0
    mail: list[tuple[NodeId, NodeId, Message]] = field(factory=list)
    """On its way: sender, receiver, message."""
    writes: dict[NodeId, list[Persist]] = field(factory=dict)
    """Not durable yet, while `slow_disks` holds the node."""
    slow_disks: set[NodeId] = field(factory=set)
    snapshots: list[tuple[NodeId, SendSnapshot]] = field(factory=list)
    applied: dict[NodeId, list[bytes]] = field(factory=dict)
    log: list[tuple[NodeId, Effect]] = field(factory=list)
    """Every effect, with who gave it."""
    tag: int = 0

    def add(self, name: NodeId, members: Members, recovered: Recovered | None = None) -> Raft:
        """Start a node."""
        if recovered is None:
            recovered = Recovered(mark=SnapshotMark(members=members))
        chance = random.Random(name)
        node = Raft(name, recovered, self.config, now=self.now, random=chance)
        self.nodes[name] = node
        self.applied.setdefault(name, [])
        self.writes.setdefault(name, [])
        return node

    def step(self, name: NodeId, *events: Event) -> list[Effect]:
        """Step one node, and do what it orders, but for what the network does."""
        effects = self.nodes[name].step(events, now=self.now)
        follow_up: list[Event] = []
        for effect in effects:
            self.log.append((name, effect))
            match effect:
                case Send(to, message):
                    self.mail.append((name, to, message))
                case Persist(ticket):
                    if name in self.slow_disks:
                        self.writes[name].append(effect)
                    else:
                        follow_up.append(Persisted(ticket))
                case Apply(entries):
                    commands = [e.payload for e in entries if e.kind == 0]
                    self.applied[name].extend(commands)
                    follow_up.append(Applied(entries.last))
                case Restore(mark):
                    follow_up.append(Applied(mark.index))
                case Snapshot(mark):
                    follow_up.append(Compacted(mark))
                case SendSnapshot():
                    self.snapshots.append((name, effect))
                case Admit() | Answer() | Refuse() | Announce() | Trim():
                    pass
        if follow_up:
            effects += self.step(name, *follow_up)
        return effects

    def deliver(self, only: Callable[[NodeId, NodeId, Message], bool] | None = None) -> int:
        """Deliver what is on its way now (that the filter lets through); drop the rest."""
        mail, self.mail = self.mail, []
        passed = [post for post in mail if only is None or only(*post)]
        for sender, to, message in passed:
            if to in self.nodes:
                self.step(to, Received(sender, message))
        return len(passed)

    def settle(self, only: Callable[[NodeId, NodeId, Message], bool] | None = None) -> None:
        """Deliver until nothing is on its way."""
        for _ in range(1000):
            if not self.deliver(only):
                return
        raise AssertionError("the group does not come to rest")

    def pass_time(
        self, seconds: float, only: Callable[[NodeId, NodeId, Message], bool] | None = None
    ) -> None:
        """Let time pass, with every timer that falls into it."""
        end = self.now + seconds
        while True:
            name = min(self.nodes, key=lambda name: self.nodes[name].deadline)
            if self.nodes[name].deadline > end:
                break
            self.now = max(self.now, self.nodes[name].deadline)
            self.step(name)
            self.settle(only)
        self.now = end

    def elect(self, name: NodeId) -> None:
        """Make this node the leader: let somebody be elected, who hands over."""
        while self.leader() is None:
            self.pass_time(self.config.election_timeout)
        leader = self.leader()
        if leader is not None and leader != name:
            self.tag += 1
            self.step(leader, TransferRequested(self.tag, name))
            self.settle()
            self.pass_time(self.config.heartbeat)
        assert self.leader() == name

    def leader(self) -> NodeId | None:
        """Who leads the newest term."""
        leading = [n for n in self.nodes.values() if n.statistics().role is Role.LEADER]
        newest = max(leading, key=lambda node: node.statistics().term, default=None)
        return newest.statistics().id if newest else None

    def propose(self, name: NodeId, *commands: bytes) -> int:
        """Propose at a node, without delivering anything; return the tag."""
        self.tag += 1
        self.step(name, Proposed(self.tag, commands))
        return self.tag

    def sync(self, name: NodeId) -> None:
        """A slow disk completes all its writes."""
        if self.writes[name]:
            last = self.writes[name][-1].ticket
            self.writes[name].clear()
            self.step(name, Persisted(last))

    def send_snapshots(self) -> None:
        """Bring the snapshots on their way to their receivers."""
        orders, self.snapshots = self.snapshots, []
        for sender, order in orders:
            arrived = SnapshotArrived(sender, order.term, order.round, order.mark)
            self.step(order.to, arrived)
            self.step(sender, SnapshotSent(order.to, order.mark, ok=True))

    def effects(self, name: NodeId, kind: type) -> list[Effect]:
        """All effects of a kind that a node gave so far."""
        return [effect for who, effect in self.log if who == name and isinstance(effect, kind)]


@pytest.fixture
def make_group() -> Callable[..., Group]:
    """A group of voters by these names, with nobody elected yet."""

    def make(names: Iterable[NodeId] = "abc", config: Config | None = None) -> Group:
        group = Group(config or Config())
        members = Members(voters=tuple(names))
        for name in members.voters:
            group.add(name, members)
        return group

    return make


@pytest.fixture
def run() -> Callable[..., Entries]:
    """A run of commands: `run(first, term, b"x", b"y")`."""

    def make(first: int, term: int, *payloads: bytes) -> Entries:
        count = len(payloads)
        return Entries(first, (term,) * count, (0,) * count, bytes(count), payloads)

    return make


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest tests/quorum/test_traces.py --rewrite` records the golden conversations anew."""
    parser.addoption("--rewrite", action="store_true", help="record golden conversations anew")


@pytest.fixture
def rewrite(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are to be written instead of compared."""
    return bool(request.config.getoption("--rewrite", default=False))
