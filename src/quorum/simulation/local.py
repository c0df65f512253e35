"""One server's part of an exhaustive search: its states, and what each event makes of them.

A server is a function of its state and an event, so each pair needs to be computed only once,
however many global states it occurs in. For that a state is kept as a value: it is copied before a
step (`fork`), freed of what cannot matter in the search (`_normalise`), and found again by its
contents (`digest`).

What cannot matter here: clocks and timers (a timeout is an event like any other, and may happen at
any time), round numbers where nobody reads (they serve reads, and servers that come back, which
none does here), and the absolute numbers of tickets. With PreVote and CheckQuorum one thing about
time does matter: whether a server has heard a leader since its last timeout. And a timeout of a
leader is that its majority has been silent for so long.
"""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Any, TypeAlias

import attrs
from attrs import define, evolve, frozen

from quorum.config import Config
from quorum.core.raft import Raft
from quorum.core.state import State
from quorum.effects import Answer, Apply, Persist, Role, Send
from quorum.events import (
    Applied,
    Event,
    MembersProposed,
    Persisted,
    Proposed,
    ReadRequested,
    Received,
    Tag,
)
from quorum.messages import (
    AppendEntries,
    AppendReply,
    Entries,
    Index,
    Members,
    Message,
    NodeId,
    RequestVote,
    Term,
    VoteReply,
)
from quorum.simulation.disks import Disk
from quorum.simulation.invariants import Violation

PLAIN = Config(pre_vote=False, check_quorum=False, entries_max=1, commit_delay=10**6)
"""Plain Raft, which allows every history that PreVote and CheckQuorum allow, and more; an entry a
message, so that logs can differ anywhere; and commits are told by heartbeats only, which the search
sends whenever it likes."""

PROTECTED = evolve(PLAIN, pre_vote=True, check_quorum=True)
"""The same with PreVote and CheckQuorum."""

LogEntry: TypeAlias = tuple[Term, bytes]
Post: TypeAlias = tuple[NodeId, NodeId, Message]
"""Sender, receiver, message."""


class Steady(Random):
    """No chance at all: timeouts are drawn by the search."""

    def random(self) -> float:
        """The least."""
        return 0.0


@define(eq=False)
class Local:
    """A server's state as a value; never changed once it is made."""

    number: int
    """Equal states have equal numbers."""
    name: NodeId
    state: State
    disk: Disk
    log: tuple[LogEntry, ...]
    durable: tuple[LogEntry, ...]
    match: tuple[tuple[NodeId, Index], ...]

    @property
    def leads(self) -> bool:
        """Whether it leads its term."""
        return self.state.role is Role.LEADER


@frozen
class Outcome:
    """What an event makes of a server."""

    after: Local
    sends: tuple[Post, ...]
    elected: bool
    """It leads now, and did not before."""
    answers: tuple[tuple[Tag, Index], ...] = ()
    """Reads that may go ahead, and the index that each is good for."""


def fork(value: Any) -> Any:
    """A copy that shares what cannot change: whatever has a hash, and runs of entries."""
    kind = type(value)
    if kind.__hash__ is not None or kind is Entries:
        return value
    if kind is dict:
        return {key: fork(item) for key, item in value.items()}
    if kind is list or kind is deque:
        return kind(map(fork, value))
    if kind is bytearray:
        return bytearray(value)
    twin = object.__new__(kind)
    for each in attrs.fields(kind):
        setattr(twin, each.name, fork(getattr(value, each.name)))
    return twin


def digest(value: Any) -> Any:
    """A hashable value, equal for equal contents."""
    kind = type(value)
    if attrs.has(kind):
        fields = attrs.fields(kind)
        values = [digest(getattr(value, each.name)) for each in fields if each.eq]
        return (kind.__name__, *values)
    if kind is list or kind is deque or kind is tuple:
        return tuple(map(digest, value))
    if kind is dict:
        return tuple((key, digest(item)) for key, item in value.items())
    if kind is bytearray:
        return bytes(value)
    return value


def _normalise(state: State, disk: Disk, *, rounds: bool) -> None:
    """Put in one form what differs between histories and makes no difference to the future.

    Round numbers do make a difference with `rounds`.
    """
    past, gate = state.gate.persisted, state.gate
    gate.issued, gate.persisted, gate.hard = gate.issued - past, 0, max(0, gate.hard - past)
    for write in gate._writes:  # noqa: SLF001 - the search looks into everything
        write.ticket -= past
    gate._held = deque((max(0, ticket - past), send) for ticket, send in gate._held)  # noqa: SLF001
    disk.queue = [
        evolve(order, ticket=order.ticket - past) if isinstance(order, Persist) else order
        for order in disk.queue
    ]
    for peer in state.peers.values():
        peer.told = 0
        peer.contact = 0.0
        if not rounds:
            peer.since = peer.acked = 0
    if not rounds:
        state.round = 0
    state.rounds.clear()
    state.fresh = (float("-inf"), 0)
    state.election_deadline = state.heartbeat_deadline = state.commit_notice = float("inf")
    if not state.config.check_quorum:
        state.heard = float("-inf")
    state.run = None


def _calm(message: Message) -> Message:
    """The message without its round."""
    match message:
        case AppendEntries() | AppendReply():
            return evolve(message, round=0)
        case _:
            return message


class Servers:
    """Every local state that was met, and every local transition.

    The cluster is founded by `founders`; with `rounds`, round numbers are part of a state.
    """

    def __init__(
        self, founders: tuple[NodeId, ...], *, protected: bool = False, rounds: bool = False
    ) -> None:
        self.members = Members(voters=founders)
        self._config = PROTECTED if protected else PLAIN
        self._rounds = rounds
        self._chance = Steady()
        self._known: dict[Any, Local] = {}

    def boot(self, name: NodeId) -> Local:
        """A server that has never run."""
        founder = name in self.members.voters
        return self.restart(name, Disk.bootstrap(self.members if founder else Members()))

    def restart(self, name: NodeId, disk: Disk) -> Local:
        """A server that starts on what its disk holds; writes under way are lost.

        That a write survives although nobody was told is not a case of its own: it is a write that
        completed just before, and whatever was sent on account of it got lost.
        """
        disk = fork(disk)
        disk.queue.clear()
        raft = Raft(name, disk.load(), self._config, now=0.0, random=self._chance)
        raft.step((), now=0.0)
        return self._intern(raft._state, disk)  # noqa: SLF001

    def synced(self, before: Local) -> Outcome:
        """The oldest write under way is durable."""
        disk = fork(before.disk)
        disk.writing = 1
        (order,) = disk.finish()
        assert isinstance(order, Persist), "nothing else is written in this search"
        was = before.disk
        if order.term < was.term:
            raise Violation("Term durability", f"{before.name} went back to term {order.term}")
        if order.term == was.term and was.vote not in (None, order.vote):
            raise Violation(
                "Vote durability",
                f"{before.name} voted for {was.vote} and {order.vote} in term {order.term}",
            )
        return self._step(before, disk, Persisted(order.ticket))

    def timeout(self, before: Local) -> Outcome:
        """It has heard of no leader for long enough; or, a leader, of no majority."""
        alarm = "heartbeat_deadline" if before.leads else "election_deadline"
        return self._step(before, fork(before.disk), alarm=alarm, silence=True)

    def heartbeat(self, before: Local) -> Outcome:
        """The leader's heartbeat is due."""
        return self._step(before, fork(before.disk), alarm="heartbeat_deadline")

    def request(self, before: Local) -> Outcome:
        """A client proposes a command."""
        return self._step(before, fork(before.disk), Proposed(0, (before.name.encode(),)))

    def read(self, before: Local, tag: Tag) -> Outcome:
        """A client wants to read."""
        return self._step(before, fork(before.disk), ReadRequested(tag))

    def change(self, before: Local, voters: tuple[NodeId, ...]) -> Outcome:
        """Somebody wants these to be the voters."""
        event = MembersProposed(0, Members(voters=voters))
        return self._step(before, fork(before.disk), event)

    def receive(self, before: Local, post: Post) -> Outcome:
        """A message arrives."""
        return self._step(before, fork(before.disk), Received(post[0], post[2]))

    def _step(
        self, before: Local, disk: Disk, *events: Event, alarm: str = "", silence: bool = False
    ) -> Outcome:
        raft = Raft.__new__(Raft)
        raft._state = state = fork(before.state)  # noqa: SLF001
        if alarm:
            setattr(state, alarm, state.now)
        if silence:
            state.heard = float("-inf")
            for peer in state.peers.values():
                peer.contact = float("-inf")
        sends: list[Post] = []
        answers: list[tuple[Tag, Index]] = []
        applied = state.applied
        for effect in raft.step(events, now=0.0):
            match effect:
                case Send(to, message):
                    _check_said(before.name, disk, to, message)
                    sends.append((before.name, to, message if self._rounds else _calm(message)))
                case Answer(tag, index):
                    answers.append((tag, index))
                case Persist():
                    disk.queue.append(effect)
                case Apply(entries):
                    if entries.first != applied + 1 or entries.last > disk.last:
                        raise Violation(
                            "State Machine Safety", f"{before.name} applied {entries.first} early"
                        )
                    applied = entries.last
                case _:
                    pass
        if applied != state.applied:
            more = raft.step((Applied(applied),), now=0.0)
            assert not [each for each in more if isinstance(each, Send)]
            answers.extend((each.tag, each.index) for each in more if isinstance(each, Answer))
        after = self._intern(state, disk)
        _check_local(before, after)
        new_term = not before.leads or before.state.term != state.term
        return Outcome(after, tuple(sends), after.leads and new_term, tuple(answers))

    def _intern(self, state: State, disk: Disk) -> Local:
        _normalise(state, disk, rounds=self._rounds)
        state.log.check()
        varying = ("random", "config", "because", "announced")
        key = (
            digest(disk),
            *(
                digest(getattr(state, each.name))
                for each in attrs.fields(State)
                if each.name not in varying
            ),
        )
        known = self._known.get(key)
        if known is None:
            mine, theirs = state.log.slice(1, state.log.last_index + 1), disk.load().entries
            known = self._known[key] = Local(
                len(self._known),
                state.id,
                state,
                disk,
                tuple(zip(mine.terms, mine.payloads, strict=True)),
                tuple(zip(theirs.terms, theirs.payloads, strict=True)),
                tuple((name, peer.match) for name, peer in state.peers.items()),
            )
        return known

    def __len__(self) -> int:
        return len(self._known)


def _check_said(name: NodeId, disk: Disk, to: NodeId, message: Message) -> None:
    """Figure 2: state is "updated on stable storage before responding to RPCs"."""
    match message:
        case RequestVote(pre_vote=True) | VoteReply(pre_vote=True):
            return
        case VoteReply(granted=True) if (disk.term, disk.vote) != (message.term, to):
            raise Violation("Vote durability", f"{name} told {to} of a vote that is not on disk")
        case AppendReply(match=int(match)) if disk.last < match:
            raise Violation("Acknowledgement", f"{name} acknowledged {match}, has {disk.last}")
        case _:
            pass
    if disk.term < message.term:
        raise Violation("Term durability", f"{name} spoke in {message.term}, has {disk.term}")


def _check_local(before: Local, after: Local) -> None:
    """What one server's step must keep, whatever the others do."""
    name, was, now = before.name, before.state, after.state
    if now.term < was.term:
        raise Violation("Term durability", f"{name} went from term {was.term} to {now.term}")
    if now.commit < was.commit or now.commit > len(after.log):
        raise Violation("Commit", f"{name} went from {was.commit} to {now.commit}")
    if after.log[: was.commit] != before.log[: was.commit]:
        raise Violation("State Machine Safety", f"{name} replaced a committed entry")
    kept = min(len(before.log), len(after.log))
    if len(after.log) < len(before.log) and after.log == before.log[:kept]:
        raise Violation("Log Matching", f"{name} truncated entries that do match")
    if before.leads and after.leads and was.term == now.term:
        if after.log[: len(before.log)] != before.log:
            raise Violation("Leader Append-Only", f"{name} overwrote its log")
        matches = dict(before.match)
        for peer, match in after.match:
            if match < matches.get(peer, 0):
                raise Violation("Match", f"{name} forgot that {peer} has {matches[peer]}")
    for peer, progress in now.peers.items():
        if progress.match >= progress.next:
            raise Violation("Match", f"{name}: next is not above match for {peer}")
    if after.leads and not before.leads and (after.disk.term, after.disk.vote) != (now.term, name):
        raise Violation("Vote durability", f"{name} leads {now.term} by a vote not on disk")
