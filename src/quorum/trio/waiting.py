"""One caller who waits, the group it waits in, and the words in which bad news is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Any, TypeAlias

import outcome
import trio
from attrs import define, field

from quorum.effects import Refusal, Refuse
from quorum.errors import (
    ChangeRefused,
    Indeterminate,
    NotLeader,
    Overloaded,
    ProposalError,
    QuorumError,
    Stopped,
    Superseded,
)
from quorum.messages import Index, Term

MakeError: TypeAlias = Callable[[], QuorumError]
"""Errors are made one a caller: a shared one would collect all their tracebacks."""


@define(eq=False)
class Waiter:
    """One task that waits for one answer. A cancelled one has no task any more."""

    many: int = 0
    """How many results make up the answer, as a list; 0: one result, as it is."""
    results: list[Any] = field(factory=list)
    """The results that have come so far, of `many`."""
    _task: trio.lowlevel.Task | None = field(default=None, init=False)

    async def wait(self) -> Any:
        """Sleep until `settle` or `fail`; return or raise what they were given."""
        self._task = trio.lowlevel.current_task()
        return await trio.lowlevel.wait_task_rescheduled(self._abort)

    def settle(self, result: object) -> None:
        """Let `wait` return this."""
        if self._task is not None:
            trio.lowlevel.reschedule(self._task, outcome.Value(result))
            self._task = None

    def fail(self, error: QuorumError) -> None:
        """Let `wait` raise this."""
        if self._task is not None:
            trio.lowlevel.reschedule(self._task, outcome.Error(error))
            self._task = None

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED


@define(eq=False)
class Group:
    """Callers who share one request to the core, and its fate."""

    waiters: list[Waiter] = field(factory=list)
    """Those without an answer; a group without any is done with."""
    commands: list[bytes] = field(factory=list)
    """The commands, while they are gathered."""
    size: int = 0
    """Their payload bytes."""
    change: bool = False
    """A change of members: it ends with the configuration that follows its entry."""
    first: Index = 0
    """Index of the first entry whose fate is open, once admitted."""
    stop: Index = 0
    """One past the index of the last entry, once admitted."""
    term: Term = 0
    expires: float = inf
    """When waiting is given up, by trio's clock."""

    @property
    def entries(self) -> int:
        """How many entries the callers wait for."""
        return sum(waiter.many or 1 for waiter in self.waiters)

    def settle(self, result: object) -> None:
        """Give this answer to all."""
        for waiter in self.waiters:
            waiter.settle(result)
        self.waiters.clear()

    def fail(self, error: MakeError) -> None:
        """Give this error to all."""
        for waiter in self.waiters:
            waiter.fail(_partly(waiter) if waiter.results else error())
        self.waiters.clear()

    def hand_out(self, results: Sequence[Any]) -> None:
        """Give one result to each of the first waiters, or as many as it waits for."""
        taken = served = 0
        for waiter in self.waiters:
            if taken == len(results):
                break
            if not waiter.many:
                waiter.settle(results[taken])
                taken += 1
            else:
                missing = waiter.many - len(waiter.results)
                waiter.results.extend(results[taken : taken + missing])
                taken = min(taken + missing, len(results))
                if len(waiter.results) < waiter.many:
                    break
                waiter.settle(waiter.results)
            served += 1
        del self.waiters[:served]


def refused(refusal: Refuse) -> ProposalError:
    """The core did not take the request up."""
    match refusal.reason:
        case Refusal.NOT_LEADER | Refusal.TRANSFERRING:
            return NotLeader(refusal.leader)
        case Refusal.OVERLOADED:
            return Overloaded(
                "too many bytes wait for a majority (uncommitted_bytes_max); nothing was written: "
                "back off, then retry"
            )
        case Refusal.UNKNOWN:
            return Indeterminate(
                "the leader to which it was passed on has not answered: it may have happened or "
                "may yet; read the state before a retry"
            )
        case (
            Refusal.CHANGE_PENDING
            | Refusal.CONFLICT
            | Refusal.UNFIT
            | Refusal.TOO_OLD
            | Refusal.PASSED
        ):
            return ChangeRefused(f"{refusal.reason.value}; nothing was changed")


def superseded() -> ProposalError:
    """Another term's entry was applied at its index."""
    return Superseded(
        "another leader's entry took the place of this one: it never happens; retry at will"
    )


def skipped() -> ProposalError:
    """A snapshot covers its index."""
    return Indeterminate(
        "a snapshot from the leader replaced this part of the log, so the outcome cannot be seen "
        "here: it may have happened; read the state before a retry"
    )


def overdue() -> ProposalError:
    """The leadership was lost, and the log has not decided."""
    return Indeterminate(
        "this server lost its leadership and no new leader has decided since: it may have "
        "happened or may yet; read the state before a retry"
    )


def interrupted() -> ProposalError:
    """The server stopped with the command in its log."""
    return Indeterminate(
        "this server stopped while the request was under way: it may have happened or may yet; "
        "read the state at another server before a retry"
    )


def stopped() -> QuorumError:
    """The server was stopped on purpose before it took the request up."""
    return Stopped("this server has stopped; nothing was written: ask another one")


def _partly(waiter: Waiter) -> ProposalError:
    return Indeterminate(
        f"the first {len(waiter.results)} of {waiter.many} commands happened, in order; the "
        f"others may or may not: read the state before a retry"
    )
