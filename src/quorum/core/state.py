"""A server's state: the box "State" of Figure 2, field by field, and what surrounds it.

The rules are functions over a `State` in the other files of this package; `raft.py` decides which
one hears of what. Here is only what they share: sending, taking notes for the end of the step, and
the cluster clock.

**The cluster clock.** A leader stamps every entry with cluster time: whole milliseconds that go on
from its log's last stamp, at the pace of its own clock, from the moment it was elected. So cluster
time never goes back, whoever leads; it stands still while nobody does; and a deadline written as
cluster time means the same on every replica, whatever their own clocks say.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from attrs import define, field

from quorum.config import Config
from quorum.core.gate import Gate
from quorum.core.log import Log
from quorum.core.progress import Progress
from quorum.effects import Announce, Effect, Refusal, Refuse, Role, Send
from quorum.events import Tag
from quorum.messages import AppendReply, Entries, Index, Kind, Message, NodeId, SnapshotMark, Term

if TYPE_CHECKING:
    from random import Random


@define
class Read:
    """A read that waits until our leadership is confirmed (thesis 6.4)."""

    index: Index
    round: int
    begun: float
    tags: tuple[Tag, ...]
    """Our own readers; empty when a follower asked."""
    asker: NodeId | None = None
    context: int = 0


@define
class Asked:
    """A follower's question to the leader on behalf of its callers."""

    tags: tuple[Tag, ...]
    begun: float
    deadline: float


@define
class Transfer:
    """A handing over of leadership under way (thesis 3.10)."""

    to: NodeId
    tag: Tag
    deadline: float
    sent: bool = False


@define(kw_only=True)
class State:
    """Everything that a server knows."""

    id: NodeId
    config: Config
    random: Random = field(repr=False)
    now: float

    # "Persistent state on all servers"
    term: Term
    """currentTerm"""
    vote: NodeId | None
    """votedFor"""
    log: Log
    """log[]"""
    gate: Gate
    machine_version: int
    """The highest version of commands that our machine understands."""

    # "Volatile state on all servers"
    commit: Index
    """commitIndex"""
    applied: Index
    """lastApplied, as the driver reported it"""
    applying: Index
    """Handed to the driver with `Apply` so far: applied <= applying <= commit."""
    role: Role = Role.FOLLOWER
    leader: NodeId | None = None
    heard: float = float("-inf")
    """When the leader of this term last spoke to us."""
    election_deadline: float = float("inf")

    # Candidates
    votes: dict[NodeId, bool] = field(factory=dict)
    pre_voting: bool = False
    """A follower asking who would vote for it (thesis 9.6)."""

    # "Volatile state on leaders"
    peers: dict[NodeId, Progress] = field(factory=dict)
    """nextIndex[] and matchIndex[]"""
    term_start: Index = 0
    """Where our term's no-op is: from here on entries commit by counting (§5.4.2)."""
    round: int = 0
    """Counts what we have sent to all, so that an answer proves when we still led."""
    rounds: deque[tuple[int, float]] = field(factory=deque)
    """When each round was sent, from the newest that a majority has answered on."""
    heartbeat_deadline: float = float("inf")
    commit_notice: float = float("inf")
    """When followers must hear of the newest commit, if nothing else brought it to them."""
    uncommitted_bytes: int = 0
    clock_base: int = 0
    clock_origin: float = 0.0
    transfer: Transfer | None = None

    # Reads
    reads: deque[Read] = field(factory=deque)
    """Leader: not confirmed yet, oldest round first."""
    early_reads: list[Tag | tuple[NodeId, int]] = field(factory=list)
    """Leader: came before our term's first commit (§8); taken up after it."""
    waiting_reads: deque[tuple[Index, tuple[Tag, ...]]] = field(factory=deque)
    """Confirmed, but our machine is not there yet."""
    asked: dict[int, Asked] = field(factory=dict)
    """Follower: sent to the leader, by context."""
    context: int = 0
    """The newest question's number; see `new_context`."""
    fresh: tuple[float, Index] = (float("-inf"), 0)
    """At that time, everything that was committed was at or below that index: the newest
    confirmed read."""

    # Proposals passed on
    forwarded: dict[int, Asked] = field(factory=dict)
    """Follower: sent to the leader and not answered, by context."""
    taken_up: dict[tuple[NodeId, int], None] = field(factory=dict)
    """Leader: what followers passed on in this term, oldest first."""

    # Snapshots
    snapshotting: bool = False
    unsnapshotted_bytes: int = 0

    # Notes for the end of the step
    out: list[Effect] = field(factory=list)
    mail: list[tuple[Send, bool]] = field(factory=list)
    """Messages of this step, and whether they need everything written so far to be durable."""
    hard_changed: bool = False
    """Term or vote changed in this step."""
    unsaved: Index | None = None
    """The first entry appended in this step."""
    run: Entries | None = None
    """The newest run cut out of the log, or put into it."""
    reset: SnapshotMark | None = None
    """A snapshot put in force in this step."""
    beat: bool = False
    """Send to every peer at the end of this step, even if there is nothing new."""
    announced: tuple[Role, Term, NodeId | None] = (Role.FOLLOWER, -1, None)
    because: str = ""

    def send(self, to: NodeId, message: Message, *, durable: bool = False) -> None:
        """Send a message; with `durable`, once all that was appended so far is on our disk."""
        self.mail.append((Send(to, message), durable))

    def reply(
        self, round: int, match: Index | None, hint: Index = 0, hint_term: Term = 0
    ) -> AppendReply:
        """An answer to the leader, with what it should know of us."""
        return AppendReply(self.term, round, match, hint, hint_term, self.machine_version)

    def acknowledge(self, to: NodeId, reply: AppendReply, *, durable: bool) -> None:
        """Answer the leader; a better answer in the same step replaces the one before."""
        if self.mail:
            last, needs = self.mail[-1]
            previous = last.message
            if (
                last.to == to
                and needs <= durable
                and type(previous) is AppendReply
                and previous.term == reply.term
                and previous.match is not None
                and reply.match is not None
                and previous.match <= reply.match
            ):
                self.mail.pop()
        self.send(to, reply, durable=durable)

    def append(self, kind: Kind, payloads: tuple[bytes, ...]) -> Index:
        """Append entries of our own term, stamped now; return the index of the first. Leaders only.

        "Leader Append-Only: a leader never overwrites or deletes entries in its log" (Figure 3).
        """
        first, count = self.log.last_index + 1, len(payloads)
        terms, stamps = (self.term,) * count, (self.stamp(),) * count
        run = Entries(first, terms, stamps, bytes((kind,)) * count, payloads)
        self.log.append(run)
        self.note_unsaved(run)
        self.uncommitted_bytes += sum(map(len, payloads))
        return first

    def note_unsaved(self, run: Entries) -> None:
        """A run was appended in this step."""
        if self.unsaved is None:
            self.unsaved, self.run = run.first, run

    def cut(self, start: Index, stop: Index) -> Entries:
        """Cut a run out of the log; the same run again is the same object.

        So the run that goes to every follower and to our own disk is packed to bytes once.
        """
        if self.run is None or self.run.first != start or self.run.last != stop - 1:
            self.run = self.log.slice(start, stop)
        return self.run

    def new_context(self) -> int:
        """A number for a question to the leader, so that the answer finds it.

        It is not used again in a later life of this server either: an answer may outlive whoever
        asked, and must not be taken for the answer to a newer question.
        """
        self.context = self.context + 1 if self.context else self.random.getrandbits(62)
        return self.context

    def refuse(self, tag: Tag, reason: Refusal) -> None:
        """Tell a caller that nothing was done."""
        leader = self.leader if self.leader != self.id else None
        self.out.append(Refuse(tag, reason, leader))

    def announce(self) -> None:
        """Say who leads, if that has changed since the last time."""
        view = (self.role, self.term, self.leader)
        if view != self.announced:
            self.announced = view
            self.out.append(Announce(*view, self.because))
        self.because = ""

    def restart_election_timer(self) -> None:
        """Choose the next election timeout "from a fixed interval" at random (§5.2)."""
        timeout = self.config.election_timeout / self.config.priority
        self.election_deadline = self.now + timeout + timeout * self.random.random()

    def stamp(self) -> int:
        """Cluster time, in milliseconds; leaders only."""
        elapsed = int((self.now - self.clock_origin) * 1000)
        return max(self.log.last_stamp, self.clock_base + elapsed)

    @property
    def is_leader(self) -> bool:
        """Whether this server leads its term."""
        return self.role is Role.LEADER

    @property
    def overloaded(self) -> bool:
        """Whether too much waits for a majority (`Config.uncommitted_bytes_max`)."""
        return self.uncommitted_bytes >= self.config.uncommitted_bytes_max

    @property
    def stalled(self) -> bool:
        """Whether a write has been under way for longer than `Config.disk_grace`."""
        return self.now - self.gate.stalled_since() >= self.config.disk_grace

    @property
    def leader_alive(self) -> bool:
        """Whether a leader spoke to us within the least election timeout (thesis 4.2.3)."""
        return self.now - self.heard < self.config.election_timeout
