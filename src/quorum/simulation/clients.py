"""Clients that call the cluster and write down what they saw.

A call ends in one of three ways, and the difference is the whole point: *ok* (with a result),
*failed* (it certainly did not happen and never will), *unknown* (it may have happened, or may yet).
A call whose server died, or that took too long, is unknown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from enum import Enum
from random import Random
from typing import Any

from attrs import Factory, define

from quorum.effects import Admit, Refusal, Refuse
from quorum.events import Event, Proposed, ReadRequested, Tag
from quorum.machine import StateMachine
from quorum.messages import Index, NodeId, Term
from quorum.simulation.invariants import Violation
from quorum.simulation.linearizability import Operation
from quorum.simulation.machines import Workload


class Outcome(Enum):
    """How a call ended."""

    OPEN = "open"
    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


@define(eq=False)
class Call:
    """One command, or one read, of one client."""

    node: NodeId
    tag: Tag
    key: str
    unique: int | None
    """The command's number; None for a read."""
    invoked: float
    floor: Index
    """Of a write: the highest index acknowledged to anybody when it was called. Of a read: the
    highest index that anybody knew to be committed."""
    stale: bool = False
    """A read that asked for a state of bounded age, not for the newest."""
    outcome: Outcome = Outcome.OPEN
    returned: float = float("inf")
    result: Any = None
    index: Index = 0


@define
class Clients:
    """All calls of a run, open and closed."""

    workload: Workload
    random: Random
    reads: float = 0.3
    """Chance that a call is a read."""
    leases: float = 0.5
    """Chance that a read trusts a leader's lease, where the cluster has leases."""
    calls: list[Call] = Factory(list)
    counts: Counter[str] = Factory(Counter)
    acknowledged: Index = 0
    """The highest index whose result any client has seen."""
    _tag: Tag = 0
    _unique: int = 0
    _open: dict[Tag, list[Call]] = Factory(dict)
    _placed: dict[NodeId, dict[Index, tuple[Term, Call]]] = Factory(dict)

    def ask(
        self, node: NodeId, now: float, commit_at: Callable[[float], Index], age: float
    ) -> tuple[Event, list[Call]]:
        """A new call to this server: the event to post, and the call or calls that it makes.

        `commit_at` tells what anybody knew to be committed so many seconds ago by the server's
        clock; `age` is the staleness that a reader puts up with, if it does.
        """
        self._tag += 1
        if self.random.random() < self.reads:
            key, _ = self.workload.write(self.random, self._unique)
            stale = self.random.random() < 0.2
            age = age if stale else 0.0
            calls = [Call(node, self._tag, key, None, now, commit_at(age), stale)]
            lease = self.random.random() < self.leases
            event: Event = ReadRequested(self._tag, lease=lease, max_age=age)
        else:
            calls, commands = [], []
            for _ in range(self.random.choice((1, 1, 1, 3))):
                self._unique += 1
                key, command = self.workload.write(self.random, self._unique)
                commands.append(command)
                calls.append(Call(node, self._tag, key, self._unique, now, self.acknowledged))
            event = Proposed(self._tag, tuple(commands))
        self.calls.extend(calls)
        self._open[self._tag] = calls
        return event, calls

    def admitted(self, node: NodeId, admit: Admit) -> None:
        """The commands of a call have their places in a log."""
        for index, call in enumerate(self._open.get(admit.tag, ()), admit.first):
            call.index = index
            before = self._placed.setdefault(node, {}).get(index)
            if before is not None:
                # Its server has something else at that place now; another's log may still have it.
                self._close(before[1], Outcome.UNKNOWN, float("inf"))
            self._placed[node][index] = (admit.term, call)

    def refused(self, refuse: Refuse, now: float) -> None:
        """Nothing was written, or nobody knows."""
        unknown = refuse.reason is Refusal.UNKNOWN
        for call in self._open.pop(refuse.tag, ()):
            if unknown:
                self._close(call, Outcome.UNKNOWN, float("inf"))
            else:
                self._close(call, Outcome.FAILED, now)
            self.counts[f"refused: {refuse.reason.value}"] += 1

    def applied(self, node: NodeId, index: Index, term: Term, result: Any, now: float) -> None:
        """A server applied an entry: whoever waits for this index learns its fate."""
        placed = self._placed.get(node, {}).pop(index, None)
        if placed is None:
            return
        expected, call = placed
        if term != expected:
            self.counts["superseded"] += 1
            self._close(call, Outcome.FAILED, now)
            return
        if index <= call.floor:
            raise Violation(
                "Linearizability",
                f"a write called after entry {call.floor} was acknowledged went before it",
            )
        self.acknowledged = max(self.acknowledged, index)
        self._close(call, Outcome.OK, now, result)

    def answered(self, tag: Tag, machine: StateMachine, applied: Index, now: float) -> None:
        """A server says that this read may look at its machine, which stands at `applied`."""
        for call in self._open.pop(tag, ()):
            if applied < call.floor:
                raise Violation(
                    "Read linearizability",
                    f"{call.node} answered a read at {applied} that was asked when {call.floor} "
                    "was committed",
                )
            self._close(call, Outcome.OK, now, self.workload.read(machine, call.key))

    def restored(self, node: NodeId, index: Index) -> None:
        """A snapshot jumped over these entries: what became of them is not known here."""
        placed = self._placed.get(node, {})
        for place in [place for place in placed if place <= index]:
            self._close(placed.pop(place)[1], Outcome.UNKNOWN, float("inf"))

    def crashed(self, node: NodeId) -> None:
        """A server died with everything that it had not answered."""
        self._placed.pop(node, None)
        for tag, calls in list(self._open.items()):
            if calls[0].node == node:
                del self._open[tag]
                for call in calls:
                    self._close(call, Outcome.UNKNOWN, float("inf"))

    def abandoned(self, calls: list[Call]) -> None:
        """The client lost patience."""
        for call in calls:
            placed = self._placed.get(call.node, {})
            if call.index in placed and placed[call.index][1] is call:
                del placed[call.index]  # somebody else's call may be at that place by now
            self._open.pop(call.tag, None)
            self._close(call, Outcome.UNKNOWN, float("inf"))

    def history(self) -> list[Operation]:
        """What the linearizability checker needs: failed calls did not happen."""
        return [
            Operation(
                call.key,
                call.invoked,
                call.returned,
                call.unique,
                call.result if call.outcome is Outcome.OK else None,
            )
            for call in self.calls
            if call.outcome is not Outcome.FAILED and not call.stale
        ]

    def _close(self, call: Call, outcome: Outcome, now: float, result: Any = None) -> None:
        if call.outcome is Outcome.OPEN:
            call.outcome, call.returned, call.result = outcome, now, result
            self.counts["read" if call.unique is None else "write"] += 1
            self.counts[outcome.value] += 1
