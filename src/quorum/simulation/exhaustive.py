"""Every order of events of a small cluster, up to a depth: bounded exhaustive search of real cores.

Published model checking found the bugs of Python's Raft libraries with two or three nodes and 8 to
25 events. So this search tries every order of them: any message on its way arrives next, or twice;
any server times out, sends a heartbeat, takes a request, completes a write, or loses power and
starts again with what its disk has; and, if the budget says so, is asked to read, or to replace
the first server by the last. What is bounded is how often (`Budget`), so that the depth is
spent on histories that differ. Breadth first: what it finds, it finds by a shortest history.

Three things need no case of their own, for they lead nowhere that the search does not come anyway:
a message lost is one that never arrives; a server that is down is one to which nothing happens; and
by symmetry the first server to time out is the first by name.

A global state is a tuple of numbers: of the servers' local states (`local`), of the messages on
their way, of what is left of the budget, and of what history must not forget (`History`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from attrs import define, evolve, field, frozen

from quorum.messages import (
    AppendEntries,
    AppendReply,
    Entries,
    Message,
    NodeId,
    VoteReply,
)
from quorum.simulation.invariants import Violation, is_quorum
from quorum.simulation.local import Local, LogEntry, Outcome, Post, Servers, digest


@frozen
class Budget:
    """How often each may happen in one history."""

    timeouts: int = 2
    """For each server."""
    requests: int = 1
    heartbeats: int = 1
    crashes: int = 1
    repeats: int = 1
    """Messages that arrive a second time."""
    instant_disks: bool = False
    """Writes complete at once, which halves the events that a history needs."""
    reads: int = 0
    """Linearizable reads, of whoever believes that it leads."""
    changes: int = 0
    """Changes of members: the last server, which is no founder then, for the first."""
    protected: bool = False
    """PreVote and CheckQuorum are on; a leader's timeout is the silence of its majority."""


@frozen
class History:
    """What must be remembered although no server may: who led, and what was ever committed."""

    leaders: tuple[tuple[int, NodeId], ...] = ()
    committed: tuple[tuple[LogEntry, int], ...] = ()
    """Each entry with the term in which it was committed."""
    floors: tuple[tuple[int, int], ...] = ()
    """What was committed when each read was asked for, by its tag."""


World: TypeAlias = tuple[tuple[Local, ...], tuple[int, ...], tuple[int, ...], int]
"""Servers, messages on their way, what is left of the budget, and the history."""

Path: TypeAlias = tuple[Any, ...]
"""How a state was reached: the last move, and the path before it."""

Move: TypeAlias = tuple[str, int, int]
"""What happens, to which server, and with which message; of a read, minus its tag."""


@define
class Search:
    """The result of a search, and its tables."""

    nodes: int = 3
    budget: Budget = field(factory=Budget)
    states: int = 1
    transitions: int = 0
    depth: int = 0
    """Every history of so many events was tried."""
    complete: bool = False
    """There is no longer history within the budget."""
    violation: Violation | None = None
    history: list[str] = field(factory=list)
    """The shortest history that breaks a promise."""
    _names: tuple[NodeId, ...] = ()
    _servers: Servers = field(factory=lambda: Servers(()))
    _posts: list[Post] = field(factory=list)
    _post_numbers: dict[Any, int] = field(factory=dict)
    _histories: list[History] = field(factory=lambda: [History()])
    _history_numbers: dict[History, int] = field(factory=lambda: {History(): 0})
    _outcomes: dict[tuple[int, str, int], tuple[Outcome, tuple[int, ...]]] = field(factory=dict)
    _matching: set[tuple[int, int]] = field(factory=set)

    @property
    def local_states(self) -> int:
        """How many different states single servers were in."""
        return len(self._servers)

    def run(self, depth: int, enough: Callable[[], bool] = lambda: False) -> None:
        """Search all histories of up to `depth` events, until `enough` says so."""
        one = self.budget
        self._names = tuple("abcdefg"[: self.nodes])
        founders = self._names[:-1] if one.changes else self._names
        self._servers = Servers(founders, protected=one.protected, rounds=bool(one.reads))
        left = (one.timeouts,) * self.nodes
        left += (one.requests, one.heartbeats, one.crashes, one.repeats, one.reads, one.changes)
        start: World = (tuple(map(self._servers.boot, self._names)), (), left, 0)
        visited = {self._key(start)}
        frontier: list[tuple[World, Path]] = [(start, ())]
        while frontier and self.depth < depth:
            reached: list[tuple[World, Path]] = []
            for world, path in frontier:
                if enough():
                    self.states = len(visited)
                    return
                for move in self._moves(world):
                    try:
                        successor = self._make(world, move)
                    except Exception as error:  # noqa: BLE001 - whatever a core raises is a find
                        self._found(error, (move, path))
                        self.states = len(visited)
                        return
                    if successor is None:
                        continue
                    self.transitions += 1
                    key = self._key(successor)
                    if key not in visited:
                        visited.add(key)
                        reached.append((successor, (move, path)))
            frontier = reached
            if frontier:
                self.depth += 1
        self.states = len(visited)
        self.complete = not frontier

    @staticmethod
    def _key(world: World) -> tuple[int, ...]:
        servers, mail, left, history = world
        return (*[server.number for server in servers], history, *left, *mail)

    def _moves(self, world: World) -> Iterator[Move]:
        servers, mail, left, _ = world
        requests, heartbeats, crashes, repeats, reads, changes = left[self.nodes :]
        places = {name: place for place, name in enumerate(self._names)}
        for post in dict.fromkeys(mail):
            place = places[self._posts[post][1]]
            yield "receives", place, post
            if repeats:
                yield "receives, not for the last time,", place, post
        founders = self._servers.members.voters
        spent = sum(left[: self.nodes]) < self.nodes * self.budget.timeouts
        first = not spent and founders == self._names
        for place, server in enumerate(servers):
            if server.disk.queue:
                yield "completes a write", place, -1
            if server.leads:
                if requests:
                    yield "takes a request", place, -1
                if heartbeats:
                    yield "sends heartbeats", place, -1
                if reads:
                    yield "is asked to read", place, -1 - reads
                if changes:
                    yield "changes the members", place, -1
            may_expire = self.budget.protected if server.leads else True
            if may_expire and left[place] and not (first and place):
                yield "times out", place, -1
            if crashes:
                yield "loses power and restarts", place, -1

    def _make(self, world: World, move: Move) -> World | None:
        """The state after a move; None when it differs from this one by a lost message only."""
        servers, mail, left, history = world
        what, place, post = move
        before = servers[place]
        outcome, sends = self._outcome(before, what, post)
        after = outcome.after
        if post >= 0:
            if after is before and not sends:
                return None
            if what == "receives":
                mail = _without(mail, post)
        if after is not before:
            servers = (*servers[:place], after, *servers[place + 1 :])
            if after.disk.term > before.disk.term:
                mail = tuple(each for each in mail if not self._dead(self._posts[each], after))
        if sends:
            mail = tuple(sorted(mail + sends))
        if what == "is asked to read":
            asked = self._histories[history]
            floor = (-post, len(asked.committed))
            history = self._remember(evolve(asked, floors=(*asked.floors, floor)))
        history = self._check(servers, before, outcome, history)
        return servers, mail, self._spend(left, what, place), history

    def _spend(self, left: tuple[int, ...], what: str, place: int) -> tuple[int, ...]:
        match what:
            case "times out":
                spent = place
            case "takes a request":
                spent = self.nodes
            case "sends heartbeats":
                spent = self.nodes + 1
            case "loses power and restarts":
                spent = self.nodes + 2
            case "receives, not for the last time,":
                spent = self.nodes + 3
            case "is asked to read":
                spent = self.nodes + 4
            case "changes the members":
                spent = self.nodes + 5
            case _:
                return left
        return (*left[:spent], left[spent] - 1, *left[spent + 1 :])

    @staticmethod
    def _dead(post: Post, receiver: Local) -> bool:
        """Whether a message is an answer that its receiver will ignore for ever."""
        message = post[2]
        return (
            post[1] == receiver.name
            and isinstance(message, AppendReply | VoteReply)
            and message.term < receiver.disk.term
        )

    def _outcome(self, before: Local, what: str, post: int) -> tuple[Outcome, tuple[int, ...]]:
        key = (before.number, "receives" if post >= 0 else what, post)
        known = self._outcomes.get(key)
        if known is None:
            outcome = self._compute(before, what, post)
            while self.budget.instant_disks and outcome.after.disk.queue:
                done = self._servers.synced(outcome.after)
                elected = outcome.elected or done.elected
                answers = outcome.answers + done.answers
                outcome = Outcome(done.after, outcome.sends + done.sends, elected, answers)
            sends = tuple(map(self._number, outcome.sends))
            known = self._outcomes[key] = outcome, sends
        return known

    def _compute(self, before: Local, what: str, post: int) -> Outcome:
        servers = self._servers
        match what:
            case "completes a write":
                return servers.synced(before)
            case "times out":
                return servers.timeout(before)
            case "sends heartbeats":
                return servers.heartbeat(before)
            case "takes a request":
                return servers.request(before)
            case "is asked to read":
                return servers.read(before, -post)
            case "changes the members":
                return servers.change(before, self._names[1:])
            case "loses power and restarts":
                return Outcome(servers.restart(before.name, before.disk), (), elected=False)
            case _:
                return servers.receive(before, self._posts[post])

    def _number(self, post: Post) -> int:
        key = digest(post)
        number = self._post_numbers.setdefault(key, len(self._posts))
        if number == len(self._posts):
            self._posts.append(post)
        return number

    # What must hold between servers

    def _check(
        self, servers: tuple[Local, ...], before: Local, outcome: Outcome, number: int
    ) -> int:
        after = outcome.after
        for tag, index in outcome.answers:
            floor = dict(self._histories[number].floors)[tag]
            if index < floor:
                raise Violation("Read linearizability", f"{after.name} read {index} after {floor}")
        for _, _, message in outcome.sends:
            if isinstance(message, AppendReply) and message.match:
                _check_acknowledged(servers, after, message.term, message.match)
        if after is before:
            return number
        if after.log != before.log:
            for other in servers:
                pair = (after.number, other.number)
                if other is not after and pair not in self._matching:
                    _check_matching(after, other)
                    self._matching.add(pair)
        if after.match and after.match != before.match:
            _check_match(servers, after)
        news = outcome.elected or after.state.commit > before.state.commit
        if not news:
            return number
        history = self._histories[number]
        if outcome.elected:
            history = _elect(history, after)
        if after.state.commit > before.state.commit:
            force = before if before.leads else after  # a leader may step down as it commits
            history = _commit(history, servers, force, after)
        return self._remember(history)

    def _remember(self, history: History) -> int:
        """The number of a history."""
        fresh = self._history_numbers.setdefault(history, len(self._histories))
        if fresh == len(self._histories):
            self._histories.append(history)
        return fresh

    def _found(self, error: Exception, path: Path) -> None:
        self.violation = (
            error if isinstance(error, Violation) else Violation("No exception", repr(error))
        )
        while path:
            (what, place, post), path = path
            about = ""
            if post >= 0:
                about = f" {_short(self._posts[post][2])} from {self._posts[post][0]}"
            self.history.append(f"{self._names[place]} {what}{about}")
        self.history.reverse()


def _without(mail: tuple[int, ...], post: int) -> tuple[int, ...]:
    place = mail.index(post)
    return mail[:place] + mail[place + 1 :]


def _check_acknowledged(servers: tuple[Local, ...], name: Local, term: int, match: int) -> None:
    """What is acknowledged to a leader is what the leader has there."""
    for leader in servers:
        leads = leader.leads and leader.state.term == term
        if leads and name.durable[:match] != leader.log[:match]:
            raise Violation("Acknowledgement", f"{name.name} acknowledged {match}, has not")


def _check_matching(one: Local, other: Local) -> None:
    """Same index and term: same entry, and the same before it (§5.3)."""
    for index in range(min(len(one.log), len(other.log)), 0, -1):
        if one.log[index - 1][0] == other.log[index - 1][0]:
            if one.log[:index] != other.log[:index]:
                raise Violation("Log Matching", f"{one.name} and {other.name} differ below {index}")
            return


def _check_match(servers: tuple[Local, ...], leader: Local) -> None:
    """A leader knows of a follower only what is true and durable there."""
    matches = dict(leader.match)
    for peer in servers:
        match = matches.get(peer.name, 0)
        if peer.disk.term <= leader.state.term and peer.durable[:match] != leader.log[:match]:
            raise Violation("Match", f"{leader.name} believes {peer.name} has {match}")


def _elect(history: History, leader: Local) -> History:
    term = leader.state.term
    for led, name in history.leaders:
        if led == term:
            raise Violation("Election Safety", f"{name} and {leader.name} lead term {term}")
    for index, (entry, committed) in enumerate(history.committed, 1):
        if committed < term and leader.log[index - 1 : index] != (entry,):
            raise Violation("Leader Completeness", f"{leader.name} leads without entry {index}")
    return evolve(history, leaders=tuple(sorted((*history.leaders, (term, leader.name)))))


def _commit(history: History, servers: tuple[Local, ...], force: Local, server: Local) -> History:
    """What a commit adds; `force` has the role and the members by which it was decided."""
    commit, term = server.state.commit, server.state.term
    known = len(history.committed)
    for index in range(min(commit, known)):
        if server.log[index] != history.committed[index][0]:
            raise Violation(
                "State Machine Safety", f"{server.name} committed another entry {index + 1}"
            )
    if commit <= known:
        return history
    if not force.leads or server.log[commit - 1][0] != term:
        raise Violation("Commit", f"{server.name} counted replicas of an older term's {commit}")
    holders = {
        each.name
        for each in servers
        if len(each.durable) >= commit and each.durable[:commit] == server.log[:commit]
    }
    if not is_quorum(force.state.log.members, holders):
        raise Violation("Commit", f"{server.name} committed {commit}, durable on {sorted(holders)}")
    news = tuple((entry, term) for entry in server.log[known:commit])
    return evolve(history, committed=history.committed + news)


def _short(message: Message) -> str:
    """A message in a line."""
    if not isinstance(message, AppendEntries):
        return str(message)
    entries: Entries = message.entries
    run = f"{entries.first}..{entries.last} of terms {list(entries.terms)}" if entries else "none"
    return (
        f"AppendEntries(term={message.term}, after {message.previous_index} of term "
        f"{message.previous_term}, commit={message.commit}, entries {run})"
    )
