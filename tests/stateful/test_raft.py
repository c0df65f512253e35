"""Three cores under hypothesis' own hand: deliver, drop, repeat, sync, crash, time out, propose.

The simulator draws from a generator; here hypothesis chooses every single step, and shrinks what it
finds to a story of a few lines. The observer and its promises are the simulator's.
"""

from __future__ import annotations

import random

import hypothesis.strategies as st
from attrs import evolve
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from quorum.config import Config
from quorum.core.raft import Raft
from quorum.effects import Apply, Persist, Restore, Send, Snapshot, Trim
from quorum.events import (
    Applied,
    Compacted,
    MembersProposed,
    Persisted,
    Proposed,
    ReadRequested,
    Received,
    TransferRequested,
)
from quorum.messages import Members
from quorum.simulation.disks import Disk, Save
from quorum.simulation.invariants import Invariants

NAMES = ("a", "b", "c")
ABC = Members(voters=NAMES)
CONFIG = Config(heartbeat=0.1, election_timeout=0.5, snapshot_entries=6, tail_entries=1)

names = st.sampled_from(NAMES)


class Cluster(RuleBasedStateMachine):
    """Three servers, their disks, and the messages between them."""

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.tag = 0
        self.config = CONFIG
        self.disks = {name: Disk.bootstrap(ABC) for name in NAMES}
        self.observer = Invariants(self.disks)
        self.mail = []
        self.cores = {}
        for name in NAMES:
            self.start(name)

    def start(self, name):
        chance = random.Random(f"{name}{self.tag}")
        recovered = self.disks[name].load()
        self.cores[name] = Raft(name, recovered, self.config, now=self.now, random=chance)
        self.observer.started(name)
        self.step(name)

    def step(self, name, *events):
        """Step, tell the observer, and do what needs no disk."""
        core = self.cores[name]
        effects = core.step(events, now=self.now)
        for effect in effects:
            self.observer.ordered(name, effect)
        self.observer.stepped(name, core.statistics(), self.now)
        for effect in effects:
            match effect:
                case Send(to, message):
                    self.mail.append((name, to, message))
                case Persist() | Trim():
                    self.disks[name].queue.append(effect)
                case Snapshot(mark):
                    self.disks[name].queue.append(Save(mark, b""))
                case Apply(entries):
                    self.step(name, Applied(entries.last))
                case Restore(mark):
                    self.step(name, Applied(mark.index))
                case _:
                    pass

    def request(self, name, make):
        self.tag += 1
        self.step(name, make(self.tag))

    @rule(place=st.integers(0, 10**6), keep=st.booleans())
    def deliver(self, place, keep):
        """Any message on its way may arrive next, and may arrive again later."""
        if self.mail:
            place %= len(self.mail)
            sender, to, message = self.mail[place]
            if not keep:
                del self.mail[place]
            self.step(to, Received(sender, message))

    @initialize(name=names)
    def begin(self, name):
        """Somebody leads, and has committed the entry that opens its term."""
        self.elect(name, 60)

    @rule(name=names, limit=st.integers(5, 40))
    def elect(self, name, limit):
        """A timer runs out in a spell that may be healthy for long enough to elect."""
        for other in NAMES:  # whoever hears a leader ignores candidates: all wait that long
            self.now = max(self.now, self.cores[other].deadline)
        self.step(name)
        self.deliver_in_order(limit)

    @rule(limit=st.integers(1, 40))
    def deliver_in_order(self, limit):
        """A healthy spell: what is on its way arrives, and disks sync."""
        for name in NAMES:
            self.sync(name)
        for _ in range(limit):
            if not self.mail:
                break
            sender, to, message = self.mail.pop(0)
            self.step(to, Received(sender, message))
            for name in NAMES:
                self.sync(name)

    @rule(place=st.integers(0, 10**6))
    def drop(self, place):
        """Any message may be lost."""
        if self.mail:
            del self.mail[place % len(self.mail)]

    @rule(name=names)
    def sync(self, name):
        """A disk completes what waits for it."""
        disk = self.disks[name]
        if not disk.begin():
            return
        ticket = 0
        for order in disk.finish():
            match order:
                case Persist():
                    self.observer.synced(name, order)
                    ticket = order.ticket
                case Save(mark):
                    self.step(name, Compacted(mark))
                case Trim():
                    pass
        if ticket:
            self.step(name, Persisted(ticket))

    @rule(name=names, seed=st.integers(0, 3))
    def crash(self, name, seed):
        """A server dies, with any part of its unsynced writes, and restarts at once."""
        for order in self.disks[name].crash(random.Random(seed)):
            if isinstance(order, Persist):
                self.observer.synced(name, order)
        self.tag += 1
        self.start(name)

    @rule(name=names)
    def time_out(self, name):
        """A server's timer runs out."""
        self.now = max(self.now, self.cores[name].deadline)
        self.step(name)

    @rule(name=names, count=st.integers(1, 3))
    def propose(self, name, count):
        """A client proposes to anybody."""
        commands = tuple(b"%d.%d" % (self.tag, k) for k in range(count))
        self.request(name, lambda tag: Proposed(tag, commands))

    @rule(name=names)
    def read(self, name):
        """A client reads anywhere."""
        self.request(name, ReadRequested)

    @rule(name=names, to=names)
    def transfer(self, name, to):
        """An operator wants somebody else to lead."""
        self.request(name, lambda tag: TransferRequested(tag, to))

    @rule(name=names, voters=st.sets(names, min_size=1))
    def change(self, name, voters):
        """An operator wants other voters; the rest learn."""
        members = Members(voters=tuple(voters), learners=tuple({*NAMES} - voters))
        self.request(name, lambda tag: MembersProposed(tag, members))

    @invariant()
    def logs_are_sound(self):
        """What the log asserts of itself."""
        for core in self.cores.values():
            core._state.log.check()


class PlainCluster(Cluster):
    """Without the protections of the thesis: Raft as in the paper is as safe."""

    def __init__(self):
        super().__init__()
        self.config = evolve(CONFIG, pre_vote=False, check_quorum=False)
        for name in NAMES:
            self.start(name)


TestCluster = Cluster.TestCase
TestCluster.settings = settings(max_examples=80, stateful_step_count=50, deadline=None)
TestPlainCluster = PlainCluster.TestCase
TestPlainCluster.settings = settings(max_examples=80, stateful_step_count=50, deadline=None)
