"""What must hold after every step, with the paper's names (Figure 3), and what must hold on disk.

The observer knows everything at once, which no server does: every log, every disk, every term's
leader, every commit. Checks look only at what a step changed, so they cost little and can run after
each one. A check that fails raises `Violation`, which names the promise that was broken.

    Election Safety        "at most one leader can be elected in a given term"
    Leader Append-Only     "a leader never overwrites or deletes entries in its log"
    Log Matching           "if two logs contain an entry with the same index and term, then the logs
                           are identical in all entries up through the given index"
    Leader Completeness    "if a log entry is committed in a given term, then that entry will be
                           present in the logs of the leaders for all higher-numbered terms"
    State Machine Safety   "if a server has applied a log entry at a given index to its state
                           machine, no other server will ever apply a different log entry for the
                           same index"

The others are what these stand on: votes, terms and acknowledgements are durable before they are
said, commits are durable on a majority, configurations overlap, reads are fresh.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from attrs import Factory, define, field

from quorum.core.raft import Statistics
from quorum.effects import Apply, Effect, Persist, Restore, Role, Send, SendSnapshot, Snapshot
from quorum.messages import (
    AppendReply,
    Entries,
    Index,
    InstallSnapshot,
    Kind,
    Members,
    Message,
    NodeId,
    RequestVote,
    Term,
    VoteReply,
)
from quorum.simulation.disks import Disk
from quorum.simulation.logs import Chain, Ledger, Log


class Violation(Exception):
    """A promise was broken: which, and how."""

    def __init__(self, promise: str, detail: str) -> None:
        self.promise, self.detail = promise, detail
        super().__init__(f"{promise}: {detail}")


@define
class View:
    """What the observer remembers of one server's present life."""

    log: Log
    role: Role = Role.FOLLOWER
    term: Term = 0
    commit: Index = 0
    applying: Index = 0
    """Up to here the server has ordered entries to be applied."""
    members: tuple[Index, Members] = (0, Members())
    match: dict[NodeId, Index] = field(factory=dict)


@define
class Invariants:
    """The observer. `started`, `ordered`, `stepped` and the rest are told it as they happen."""

    disks: Mapping[NodeId, Disk]
    views: dict[NodeId, View] = Factory(dict)
    ledger: Ledger = Factory(Ledger)
    counts: Counter[str] = Factory(Counter)
    """Interesting things that happened, so that a run in which nothing did shows."""
    committed: list[tuple[Term, Chain]] = Factory(lambda: [(0, 0)])
    """The one true log: what anybody has ever committed, by index."""
    commits: list[tuple[float, Index]] = Factory(lambda: [(0.0, 0)])
    """When (true time) anybody first knew how much to be committed."""
    _leaders: dict[Term, NodeId] = Factory(dict)
    _votes: dict[tuple[NodeId, Term], NodeId] = Factory(dict)
    _terms: dict[NodeId, Term] = Factory(dict)
    """The newest durable term of each server, whatever its disk says later."""
    _tips: list[tuple[Term, Index]] = Factory(list)
    """How far the log was committed, by the term in which it was."""
    _results: dict[Index, Any] = Factory(dict)
    _snapshots: dict[Index, bytes] = Factory(dict)

    @property
    def commit(self) -> Index:
        """The highest index that anybody knows to be committed."""
        return len(self.committed) - 1

    # Life and death

    def started(self, name: NodeId) -> None:
        """A server starts on its disk."""
        recovered = self.disks[name].load()
        if recovered.term < self._terms.get(name, 0):
            raise Violation("Term durability", f"{name} forgot term {self._terms[name]}")
        vote = self._votes.get((name, recovered.term))
        if vote is not None and recovered.vote != vote:
            raise Violation("Vote durability", f"{name} forgot its vote for {vote}")
        log = Log.recovered(self.ledger, recovered)
        if log is None:
            raise Violation("Log Matching", f"{name} recovered a log that nobody wrote")
        self.views[name] = View(log, term=recovered.term, members=log.members)

    def synced(self, name: NodeId, order: Persist) -> None:
        """A write of this server has become durable (at a sync, or by luck before a crash)."""
        if order.term < self._terms.get(name, 0):
            raise Violation("Term durability", f"{name} went back to term {order.term}")
        self._terms[name] = order.term
        if order.vote is not None:
            vote = self._votes.setdefault((name, order.term), order.vote)
            if vote != order.vote:
                raise Violation(
                    "Vote durability",
                    f"{name} voted for {vote} and for {order.vote} in term {order.term}",
                )

    # What a step says

    def ordered(self, name: NodeId, effect: Effect) -> None:
        """The server gave this order; called for each effect of a step, in order."""
        match effect:
            case Send(to, message):
                self._check_message(name, to, message)
            case SendSnapshot(to, term, round, mark):
                self._check_message(name, to, InstallSnapshot(term, round, mark))
            case Persist():
                self._check_persist(name, effect)
            case Apply(entries):
                self._check_apply(name, entries)
            case Restore(mark):
                view = self.views[name]
                if mark.index <= view.applying and view.applying:
                    raise Violation("State Machine Safety", f"{name} went back to {mark.index}")
                if mark.index > self.commit or self.committed[mark.index][0] != mark.term:
                    raise Violation("Snapshot", f"{name} restores what was never committed, {mark}")
                view.applying = mark.index
                self.counts["snapshot in force"] += 1
            case Snapshot(mark) if mark.index != self.views[name].applying:
                raise Violation("Snapshot", f"{name} ordered one out of place, {mark.index}")
            case _:
                pass

    def commit_at(self, time: float) -> Index:
        """What anybody knew to be committed at this true time."""
        return self.commits[bisect_right(self.commits, time, key=lambda pair: pair[0]) - 1][1]

    def stepped(self, name: NodeId, statistics: Statistics, now: float) -> None:
        """A step is complete; compare with the state before it."""
        view = self.views[name]
        before = (view.role, view.term)
        members = view.members
        view.role, view.term, view.members = statistics.role, statistics.term, view.log.members
        if (statistics.members_index, statistics.members) != view.members:
            raise Violation(
                "Configuration",
                f"{name} goes by the one at {statistics.members_index}, its log says "
                f"{view.members[0]}",
            )
        if statistics.last_index != view.log.last:
            raise Violation(
                "Persistence",
                f"{name} has entries up to {statistics.last_index}, wrote up to {view.log.last}",
            )
        if not statistics.applied <= view.applying <= statistics.commit:
            raise Violation("State Machine Safety", f"{name} applies {view.applying} too early")
        if view.role is Role.LEADER:
            if before != (Role.LEADER, view.term):
                self._check_elected(name, view)
            elif view.members[0] > members[0]:
                self._check_change(name, view, members, statistics.commit)
            if not view.members[1].is_voter(name) and statistics.commit >= view.members[0]:
                raise Violation("Configuration", f"{name} leads a cluster that it has left")
            self._check_match(name, view, statistics)
        elif before[0] is Role.LEADER:
            self.counts["step-down"] += 1
        if statistics.commit != view.commit:
            led = view.role is Role.LEADER and before == (Role.LEADER, view.term)
            if led:
                # By the configuration from before the step: one that it appended is not older than
                # what it committed.
                self._check_counted(name, view, statistics.commit, members[1])
            elif statistics.commit > self.commit and before[0] is not Role.LEADER:
                raise Violation("Commit", f"{name} committed {statistics.commit} before a leader")
            self._check_commit(name, view, statistics.commit)
            if self.commit > self.commits[-1][1]:
                self.commits.append((now, self.commit))

    # The machine

    def applied(self, name: NodeId, index: Index, result: Any) -> bool:
        """A machine gave this result; return whether it is the first to apply this entry."""
        news = index not in self._results
        first = self._results.setdefault(index, result)
        if first != result:
            raise Violation(
                "State Machine Safety",
                f"entry {index} gave {result!r} on {name} and {first!r} elsewhere: the machine is "
                "not deterministic, or was fed differently",
            )
        return news

    def snapshotted(self, name: NodeId, index: Index, data: bytes) -> None:
        """A machine was saved."""
        self.counts["snapshot taken"] += 1
        if self._snapshots.setdefault(index, data) != data:
            raise Violation("State Machine Safety", f"{name} differs from others at {index}")

    def results(self) -> dict[Index, Any]:
        """The result of every command applied anywhere, by index."""
        return self._results

    # Details

    def _check_message(self, name: NodeId, to: NodeId, message: Message) -> None:
        """Figure 2: state is "updated on stable storage before responding to RPCs"."""
        disk = self.disks[name]
        match message:
            case RequestVote(pre_vote=True) | VoteReply(pre_vote=True):
                return  # a question and its answer bind nobody
            case VoteReply(term=term, granted=True) if self._votes.get((name, term)) != to:
                raise Violation(
                    "Vote durability", f"{name} told {to} of a vote in {term} that is not on disk"
                )
            case AppendReply(term=term, match=int(match)):
                self._check_acknowledged(name, term, match)
            case _:
                pass
        if disk.term < message.term:
            raise Violation(
                "Term durability",
                f"{name} spoke in term {message.term} with {disk.term} on its disk",
            )

    def _check_acknowledged(self, name: NodeId, term: Term, match: Index) -> None:
        disk = self.disks[name]
        if disk.last < match:
            raise Violation(
                "Acknowledgement", f"{name} has {disk.last} on its disk and acknowledged {match}"
            )
        leader = self.views.get(self._leaders.get(term, ""))
        if leader is not None and (leader.role, leader.term) == (Role.LEADER, term):
            self._check_same(name, leader.log, match)

    def _check_same(self, name: NodeId, log: Log, index: Index) -> None:
        """What this server has on its disk at `index` is what the leader's log has there."""
        expected, actual = log.at(index), self.disks[name].term_at(index)
        if expected is not None and actual is not None and expected[0] != actual:
            raise Violation(
                "Acknowledgement",
                f"{name} has term {actual} at {index}, its leader {expected[0]}",
            )

    def _check_persist(self, name: NodeId, order: Persist) -> None:
        view = self.views[name]
        log = view.log
        if order.reset is not None and not log.reset(order.reset):
            raise Violation("Snapshot", f"{name} installed one that nobody could have taken")
        entries = order.entries
        if entries is None:
            return
        if entries.first <= log.last:
            self.counts["truncation"] += 1
            if (view.role, view.term) == (Role.LEADER, order.term):
                raise Violation("Leader Append-Only", f"{name} overwrote entry {entries.first}")
            if entries.first <= view.commit:
                raise Violation("State Machine Safety", f"{name} dropped a committed entry")
            kept = log.at(entries.first)
            if kept is not None and kept[0] == entries.terms[0]:
                raise Violation("Log Matching", f"{name} truncated entries that do match")
        stamps = (log.last_stamp, *entries.stamps)
        if any(late < early for early, late in pairwise(stamps)) and entries.first > log.last:
            raise Violation("Cluster clock", f"{name} appends entries stamped {stamps}")
        mismatch = log.write(entries)
        if mismatch is not None:
            raise Violation("Log Matching", f"{name} has another entry at {mismatch}")
        if Kind.MEMBERS in entries.kinds:
            self._check_configurations(name, entries)

    def _check_configurations(self, name: NodeId, entries: Entries) -> None:
        """§6: from C_old over C_old,new to C_new, so that majorities always overlap."""
        if entries.first <= self.views[name].log.mark.index:
            return
        log = self.views[name].log
        chain = [members for index, members in log.configurations if index >= entries.first]
        earlier = [members for index, members in log.configurations if index < entries.first]
        for old, new in zip([*earlier[-1:], *chain], chain, strict=False):
            self.counts["joint configuration"] += new.joint
            same = old.voters == new.voters and (not new.joint or old.joint)
            enters = new.joint and not old.joint and new.outgoing == old.voters
            if old.voters and not same and not enters:
                raise Violation("Configuration", f"{name} went from {old} to {new}")

    def _check_apply(self, name: NodeId, entries: Entries) -> None:
        view = self.views[name]
        if entries.first != view.applying + 1:
            raise Violation("State Machine Safety", f"{name} skipped or repeated {entries.first}")
        if entries.last > self.disks[name].last:
            raise Violation("State Machine Safety", f"{name} applies what its disk lacks")
        view.applying = entries.last
        for index, term in enumerate(entries.terms, entries.first):
            if (self.views[name].log.at(index) or (term,))[0] != term:
                raise Violation("State Machine Safety", f"{name} applies what it never wrote")

    def _check_elected(self, name: NodeId, view: View) -> None:
        self.counts["election"] += 1
        leader = self._leaders.setdefault(view.term, name)
        if leader != name:
            raise Violation("Election Safety", f"{leader} and {name} lead term {view.term}")
        if self._votes.get((name, view.term)) != name:
            raise Violation("Vote durability", f"{name} leads {view.term} by a vote not on disk")
        voted = {voter for voter in self.disks if self._votes.get((voter, view.term)) == name}
        if not is_quorum(view.members[1], voted):
            raise Violation("Election", f"{name} leads {view.term} by the votes of {sorted(voted)}")
        view.match = {}
        index = max((index for term, index in self._tips if term < view.term), default=0)
        mine = view.log.at(index)
        if view.log.last < index or (mine is not None and mine != self.committed[index]):
            raise Violation("Leader Completeness", f"{name} leads without entry {index}")

    def _check_change(
        self, name: NodeId, view: View, before: tuple[Index, Members], commit: Index
    ) -> None:
        """A leader begins a change when the one before is over, and it has committed itself (§6).

        The latter is the correction of 2015 to the thesis' chapter 4.
        """
        entry = view.log.at(commit)
        if commit < before[0] or (entry is not None and entry[0] != view.term):
            raise Violation("Configuration", f"{name} changes members with {commit} committed")
        old, new = before[1], view.members[1]
        promoted = set(new.voters) - set(old.voters)
        if promoted and set(old.voters) < set(new.voters) and promoted <= set(old.joining):
            self.counts["learner promoted"] += 1

    def _check_match(self, name: NodeId, view: View, statistics: Statistics) -> None:
        for peer, match in statistics.match:
            known = view.match.get(peer, 0)
            if match < known and match:
                raise Violation("Match", f"{name} forgot that {peer} has {known}, says {match}")
            if match > known and peer in self.disks:
                disk = self.disks[peer]
                if disk.last < match and disk.term <= view.term:
                    raise Violation("Match", f"{name} believes {peer} has {match}: {disk.last}")
                if disk.term <= view.term:
                    self._check_same(peer, view.log, match)
        view.match = dict(statistics.match)

    def _check_commit(self, name: NodeId, view: View, commit: Index) -> None:
        """Commit goes forward only, over entries that are there, and as everybody else's did."""
        if commit < view.commit or commit > view.log.last:
            raise Violation("Commit", f"{name} moved from {view.commit} to {commit}")
        known = self.commit
        for index in range(max(view.commit + 1, view.log.first - 1), commit + 1):
            entry = view.log.at(index)
            assert entry is not None, "a commit is within the log"
            if index <= known and entry != self.committed[index]:
                raise Violation("State Machine Safety", f"{name} committed another entry {index}")
            if index > known:
                if index != len(self.committed):
                    raise Violation("Commit", f"{name} committed {index} out of the blue")
                self.committed.append(entry)
        view.commit = commit
        if commit > known:
            self._tips.append((view.term, commit))

    def _check_counted(self, name: NodeId, view: View, commit: Index, members: Members) -> None:
        """§5.4.2: "only log entries from the leader's current term are committed by counting"."""
        entry = view.log.at(commit)
        if entry is None or entry[0] != view.term:
            raise Violation("Commit", f"{name} counted replicas of an older term's {commit}")
        durable = {peer for peer, disk in self.disks.items() if self._holds(disk, commit, entry[0])}
        if not is_quorum(members, durable):
            raise Violation(
                "Commit", f"{name} committed {commit}, durable only on {sorted(durable)}"
            )

    @staticmethod
    def _holds(disk: Disk, index: Index, term: Term) -> bool:
        return disk.mark.index >= index or disk.term_at(index) == term


def is_quorum(members: Members, names: set[NodeId]) -> bool:
    """Whether these servers are a majority; of both sets, when joint (§6). No learner counts."""
    return bool(members.voters) and all(
        sum(voter in names for voter in voters) * 2 > len(voters)
        for voters in (members.voters, members.outgoing)
        if voters
    )
