"""Clients that call the cluster and write down what they saw.

A call ends in one of three ways, and the difference is the whole point: *ok* (with a result),
*failed* (it certainly did not happen and never will), *unknown* (it may have happened, or may yet).
A call whose server died, or that took too long, is unknown.

A client with a session (thesis 6.3) does not leave it there: it sends the same command again, to
any server, until it has the result; now and then once more after that. All the same the command
must be applied once. A session may end meanwhile; then what was not answered is unknown, and the
client opens another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from enum import Enum
from random import Random
from typing import Any

from attrs import Factory, define

from quorum.effects import Admit, Refusal, Refuse
from quorum.envelope import command_request, open_request
from quorum.events import Event, Proposed, ReadRequested, Tag
from quorum.machine import Failed, StateMachine
from quorum.messages import Index, NodeId, Term
from quorum.sessions import EXPIRED
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
class Session:
    """A client's session, as the client knows it."""

    id: int = 0
    """0: not open."""
    sequence: int = 0
    """Of the newest command."""
    call: Call | None = None
    """The newest command, or the request to open the session."""

    @property
    def asking(self) -> bool:
        """Whether the newest command has no answer yet."""
        return self.call is not None and self.call.outcome is Outcome.OPEN


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
    session: Session | None = None
    """Where it is repeated until it is answered."""
    command: bytes = b""
    """What is repeated; or the request to open a session."""
    trying: bool = True
    """A try is under way."""
    tried: float = Factory(lambda call: call.invoked, takes_self=True)
    """When it began."""
    unsure: bool = False
    """An earlier try may have been applied."""
    outcome: Outcome = Outcome.OPEN
    returned: float = float("inf")
    result: Any = None
    index: Index = 0

    @property
    def opening(self) -> bool:
        """Whether it asks for a session."""
        return bool(self.command) and self.session is None


@define
class Client:
    """One client, and its habits."""

    reads: float
    """Chance that a call is a read."""
    leases: float
    """Chance that a read trusts a leader's lease, where the cluster has leases."""
    session: Session | None = None
    """If it has one."""
    calls: list[Call] = Factory(list)
    """The newest."""


@define
class Clients:
    """All calls of a run, open and closed."""

    workload: Workload
    random: Random
    calls: list[Call] = Factory(list)
    counts: Counter[str] = Factory(Counter)
    acknowledged: Index = 0
    """The highest index whose result any client has seen."""
    _tag: Tag = 0
    _unique: int = 0
    _open: dict[Tag, list[Call]] = Factory(dict)
    _placed: dict[NodeId, dict[Index, tuple[Term, Call]]] = Factory(dict)

    def ask(
        self,
        client: Client,
        node: NodeId,
        now: float,
        commit_at: Callable[[float], Index],
        age: float,
    ) -> tuple[Event, list[Call]]:
        """A new call to this server: the event to post, and the call or calls that it makes.

        `commit_at` tells what anybody knew to be committed so many seconds ago by the server's
        clock; `age` is the staleness that a reader puts up with, if it does.
        """
        self._tag += 1
        if self.random.random() < client.reads:
            key, _ = self.workload.write(self.random, self._unique)
            stale = self.random.random() < 0.2
            age = age if stale else 0.0
            calls = [Call(node, self._tag, key, None, now, commit_at(age), stale)]
            lease = self.random.random() < client.leases
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

    def ask_in(self, session: Session, node: NodeId, now: float) -> tuple[Event, list[Call]]:
        """A call in a session: to open it, a new command, or the last one once more."""
        self._tag += 1
        call = session.call
        if call is not None and call.outcome is Outcome.OPEN:
            self.counts["repeated"] += 1
            self._open.pop(call.tag, None)
            call.node, call.tag, call.index = node, self._tag, 0
            call.trying, call.tried = True, now
        else:
            if call is not None and call.outcome is Outcome.OK:
                if call.opening:
                    session.id = call.result[0]
                elif self.random.random() < 0.2:
                    self.counts["repeated although answered"] += 1
                    return Proposed(self._tag, (call.command,)), [call]
            call = session.call = self._new_call(session, node, now)
        self._open[self._tag] = [call]
        return Proposed(self._tag, (call.command,)), [call]

    def _new_call(self, session: Session, node: NodeId, now: float) -> Call:
        """The request to open a session, or a command in it."""
        if session.id:
            self._unique += 1
            session.sequence += 1
            key, command = self.workload.write(self.random, self._unique)
            call = Call(node, self._tag, key, self._unique, now, self.acknowledged)
            call.session = session
            call.command = command_request(session.id, session.sequence, session.sequence, command)
        else:
            call = Call(node, self._tag, "", None, now, self.acknowledged)
            call.command = open_request()
        self.calls.append(call)
        return call

    def admitted(self, node: NodeId, admit: Admit) -> None:
        """The commands of a call have their places in a log."""
        for index, call in enumerate(self._open.get(admit.tag, ()), admit.first):
            call.index = index
            before = self._placed.setdefault(node, {}).get(index)
            if before is not None and before[1] is not call:
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
        self._supersede(node, index, term, now)
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

    def _supersede(self, node: NodeId, index: Index, term: Term, now: float) -> None:
        """Terms never fall along a log: behind this entry there are none of older terms."""
        placed = self._placed.get(node, {})
        for place in [place for place in placed if place > index and placed[place][0] < term]:
            self.counts["superseded"] += 1
            self._close(placed.pop(place)[1], Outcome.FAILED, now)

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

    def placed(self, node: NodeId) -> dict[Index, tuple[Term, Call]]:
        """What waits for the verdict of this server's log, by its place there."""
        return dict(self._placed.get(node, {}))

    def give_up(self, node: NodeId, doubtful: dict[Index, tuple[Term, Call]]) -> None:
        """These have waited for too long since their leader was lost."""
        placed = self._placed.get(node, {})
        for index, pair in doubtful.items():
            if placed.get(index) is pair:
                self._close(placed.pop(index)[1], Outcome.UNKNOWN, float("inf"))

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
            if call.outcome is not Outcome.FAILED and not call.stale and not call.opening
        ]

    def _close(self, call: Call, outcome: Outcome, now: float, result: Any = None) -> None:
        if call.outcome is not Outcome.OPEN:
            return
        session = call.session
        if session is not None and outcome is not Outcome.OK:
            call.trying, call.unsure = False, call.unsure or outcome is Outcome.UNKNOWN
            return  # its client will ask again
        if session is not None and isinstance(result, Failed):
            if result != EXPIRED:
                raise Violation("Exactly once", f"{call.command!r} was refused: {result.reason}")
            self.counts["session ended"] += 1
            session.id = session.sequence = 0
            outcome = Outcome.UNKNOWN if call.unsure else Outcome.FAILED
            now, result = float("inf") if call.unsure else now, None
        call.outcome, call.returned, call.result = outcome, now, result
        kind = "session" if call.opening else "read" if call.unique is None else "write"
        self.counts[kind] += 1
        self.counts[outcome.value] += 1
