"""What callers asked for, where it stands, and how each of them gets an answer.

A proposal goes through three stages. *Gathered*: what callers ask for between two steps of the core
becomes one `Proposed`. *Asked*: the core was told, and will admit or refuse. *Admitted*: the
commands have a place in our log, index and term; what is applied at that index later decides. With
the same term it was this command (the Log Matching Property, §5.3: an index and a term name one
entry), with another term the command is gone for good. So it is when an entry of a later term is
applied *before* its index: terms never fall along a log, so an entry of its own term cannot follow
any more. That is how a command ends whose place was cut off and never filled again. A server that
lost its leader may hear of neither, so from then on it waits `DOUBT_TIMEOUTS` election timeouts and
no longer.

A caller costs one `Waiter` and one wake-up; all callers of a batch are woken in one loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from math import inf
from typing import Any

from quorum.config import Config
from quorum.effects import Refuse
from quorum.errors import Overloaded
from quorum.events import (
    Event,
    MembersProposed,
    Proposed,
    ReadRequested,
    Tag,
    TransferRequested,
    UpgradeProposed,
)
from quorum.messages import Entries, Index, Members, NodeId, Term
from quorum.trio.waiting import (
    Group,
    MakeError,
    Waiter,
    interrupted,
    overdue,
    refused,
    skipped,
    superseded,
)

DOUBT_TIMEOUTS = 10
"""Election timeouts after losing the leadership for which a proposal waits for its verdict."""

COMMANDS_MAX = 1 << 16
"""Commands in one `propose_many`."""


class Pending:
    """All requests of one server that have no answer yet."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._tags = count(1)
        self._waiting = 0
        self._gathered: list[Group] = []
        self._readers: dict[tuple[bool, float], Group] = {}
        self._events: list[Event] = []
        self._asked: dict[Tag, Group] = {}
        self._admitted: list[Group] = []
        self._closed: MakeError | None = None
        self.deadline: float = inf
        """When `expire` is due next, by trio's clock."""

    def __len__(self) -> int:
        return self._waiting

    # Gathering: what callers ask for.

    def propose(self, command: bytes) -> Waiter:
        """Ask for one command to be replicated."""
        if not isinstance(command, bytes):
            raise TypeError(f"a command is bytes, not {type(command).__name__}")
        self._check_size(len(command))
        waiter = self._new_waiter()
        group = self._room(1, len(command))
        group.waiters.append(waiter)
        group.commands.append(command)
        return waiter

    def propose_many(self, commands: Sequence[bytes]) -> Waiter:
        """Ask for commands to be replicated next to each other, all or none."""
        if len(commands) > COMMANDS_MAX:
            raise ValueError(f"{len(commands)} commands in one call, the limit is {COMMANDS_MAX}")
        if set(map(type, commands)) != {bytes}:
            raise TypeError("commands are bytes, all of them")
        self._check_size(max(map(len, commands)))
        waiter = self._new_waiter(len(commands))
        group = self._room(len(commands), sum(map(len, commands)))
        group.waiters.append(waiter)
        group.commands.extend(commands)
        return waiter

    def read(self, *, lease: bool = False, max_age: float = 0.0) -> Waiter:
        """Ask for a read barrier; reads of one turn and kind share one round (thesis 6.4)."""
        waiter = self._new_waiter()
        self._readers.setdefault((lease, max_age), Group()).waiters.append(waiter)
        return waiter

    def change(self, members: Members, expected: Index | None) -> Waiter:
        """Ask for a change of members."""
        waiter = self._new_waiter()
        tag = self._ask(Group([waiter], change=True))
        self._events.append(MembersProposed(tag, members, expected))
        return waiter

    def upgrade(self, version: int) -> Waiter:
        """Ask for the cluster to go on to a version of the machine."""
        waiter = self._new_waiter()
        self._events.append(UpgradeProposed(self._ask(Group([waiter])), version))
        return waiter

    def transfer(self, to: NodeId) -> Waiter:
        """Ask for leadership to be handed over."""
        waiter = self._new_waiter()
        self._events.append(TransferRequested(self._ask(Group([waiter])), to))
        return waiter

    def gather(self) -> list[Event]:
        """Take what callers have asked for since the last time, as events for the core."""
        events, self._events = self._events, []
        for group in self._gathered:
            events.append(Proposed(self._ask(group), tuple(group.commands)))
            group.commands.clear()
        self._gathered.clear()
        for (lease, max_age), group in self._readers.items():
            events.append(ReadRequested(self._ask(group), lease, max_age))
        self._readers.clear()
        return events

    # Answers of the core.

    def admit(self, tag: Tag, first: Index, term: Term) -> None:
        """The request has a place in our log."""
        group = self._take(tag)
        group.first, group.stop, group.term = first, first + group.entries, term
        self._admitted.append(group)

    def answer(self, tag: Tag, index: Index) -> None:
        """The request may go ahead."""
        group = self._take(tag)
        self._waiting -= len(group.waiters)
        group.settle(index)

    def refuse(self, refusal: Refuse) -> None:
        """The request was not taken up."""
        self._fail(self._take(refusal.tag), lambda: refused(refusal))

    # Verdicts of the log.

    def applied(self, run: Entries, results: Sequence[Any]) -> None:
        """These entries were applied here; `results` has one item for each of them."""
        for group in self._admitted:
            if group.first <= run.last and group.first < group.stop:
                self._decide(group, run, results)
            elif group.first < group.stop and group.term < run.terms[-1]:
                self._fail(group, superseded)
        self._sweep()

    def configured(self, index: Index) -> None:
        """The configuration applied at this index is not joint: changes before it have ended."""
        for group in self._admitted:
            if group.change and group.first == group.stop <= index + 1:
                self._waiting -= len(group.waiters)
                group.settle(index)
        self._sweep()

    def skipped(self, index: Index, term: Term) -> None:
        """A snapshot took the place of all entries up to `index`: nobody here saw their fate.

        `term` is that of the entry at `index`: it decides about what was admitted behind it.
        """
        for group in self._admitted:
            if group.first <= index:
                self._fail(group, skipped)
            elif group.first < group.stop and group.term < term:
                self._fail(group, superseded)
        self._sweep()

    def doubt(self, now: float) -> None:
        """Who leads has changed: from now on verdicts may never come."""
        expires = now + DOUBT_TIMEOUTS * self._config.election_timeout
        for group in self._admitted:
            group.expires = min(group.expires, expires)
            self.deadline = min(self.deadline, group.expires)

    def expire(self, now: float) -> None:
        """Give up on verdicts that are overdue."""
        for group in self._admitted:
            if group.expires <= now:
                self._fail(group, overdue)
        self._sweep()
        self.deadline = min((group.expires for group in self._admitted), default=inf)

    def close(self, error: MakeError) -> None:
        """Answer everybody: the server stops. Whoever asks from now on gets this error at once."""
        self._closed = self._closed or error
        for group in self._admitted:
            self._fail(group, interrupted)
        for group in (*self._gathered, *self._readers.values(), *self._asked.values()):
            self._fail(group, error)
        self._admitted.clear()
        self._gathered.clear()
        self._readers.clear()
        self._asked.clear()
        self._events.clear()
        self.deadline = inf

    def raise_if_closed(self) -> None:
        """Raise what callers get since `close`, if it was called."""
        if self._closed is not None:
            raise self._closed()

    # In detail.

    def _check_size(self, size: int) -> None:
        if size > self._config.command_bytes_max:
            raise ValueError(
                f"a command of {size} bytes is above command_bytes_max "
                f"({self._config.command_bytes_max}); nothing was written"
            )

    def _new_waiter(self, many: int = 0) -> Waiter:
        self.raise_if_closed()
        if self._waiting >= self._config.pending_max:
            raise Overloaded(
                f"{self._waiting} requests wait for an answer here (pending_max); nothing was "
                f"written: back off, then retry"
            )
        self._waiting += 1
        return Waiter(many)

    def _room(self, entries: int, size: int) -> Group:
        """The group that these commands join: groups are admitted whole, so they stay small."""
        if self._gathered:
            group = self._gathered[-1]
            if (
                len(group.commands) + entries <= self._config.entries_max
                and group.size + size <= self._config.message_bytes_max
            ):
                group.size += size
                return group
        group = Group(size=size)
        self._gathered.append(group)
        return group

    def _ask(self, group: Group) -> Tag:
        tag = next(self._tags)
        self._asked[tag] = group
        return tag

    def _take(self, tag: Tag) -> Group:
        """The group that the core answers; an empty one if it was answered by `close` already."""
        return self._asked.pop(tag, None) or Group()

    def _decide(self, group: Group, run: Entries, results: Sequence[Any]) -> None:
        """Settle what the run says about this group, from `group.first` on."""
        start = group.first - run.first
        stop = min(group.stop, run.last + 1) - run.first
        assert start >= 0, "runs are applied without gaps, or `skipped` says so"
        happened = _count_from(run.terms, start, stop, group.term)
        if happened < stop - start:
            # A new leader overrules what follows its own log's end: this entry, hence the rest.
            group.first = group.stop
            self._hand_out(group, results[start : start + happened])
            self._fail(group, superseded)
            return
        group.first = run.first + stop
        if not group.change:
            self._hand_out(group, results[start:stop])

    def _hand_out(self, group: Group, results: Sequence[Any]) -> None:
        before = len(group.waiters)
        group.hand_out(results)
        self._waiting -= before - len(group.waiters)

    def _fail(self, group: Group, error: MakeError) -> None:
        self._waiting -= len(group.waiters)
        group.fail(error)

    def _sweep(self) -> None:
        self._admitted = [group for group in self._admitted if group.waiters]


def _count_from(terms: Sequence[Term], start: int, stop: int, term: Term) -> int:
    """How many terms from `start` on are `term`; equal ends mean all, as terms never decrease."""
    if terms[start] == term == terms[stop - 1]:
        return stop - start
    happened = start
    while happened < stop and terms[happened] == term:
        happened += 1
    return happened - start
