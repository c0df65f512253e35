"""Broken rules of the registry: `python -m tests.sabotage.registry` says what each breaks.

The rows are mistakes that somebody could make, and some that Consul or its clients have made. What
must notice is the simulator of the whole registry, from seeds as they come.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from math import inf
from typing import Any

import pytest
import trio
from attrs import evolve, frozen
from tests.sabotage.rows import Row, Verdict, broken

from catalog.commands import DeregisterService
from catalog.node import keeper
from catalog.node.difference import difference
from catalog.node.keeper import Keeper
from catalog.registry import Registry
from catalog.registry.history import History
from catalog.registry.keys import KeyTable
from catalog.registry.locks import Locks
from catalog.requests import Consistency
from catalog.server import leases, reconcile
from catalog.server.leases import SessionClock
from catalog.server.replica import Replica
from catalog.server.watch import WatchedRegistry
from catalog.simulation import run
from catalog.subscriptions import Following

SEEDS_MAX = 20
"""Far above what most rows need today: the generator's draws change with the simulator."""

SECONDS = 60.0


@frozen
class Troubles:
    """Runs of the registry's simulator, seed by seed, until one breaks such a promise."""

    promises: str
    """A regular expression for the names of those promises."""
    first: int = 0
    """Rows that only a rare mix of troubles shows begin near one."""

    def watch(self, row: Row) -> Verdict:
        """See `Watcher.watch`."""
        with pytest.MonkeyPatch.context() as patch:
            row.break_rule(patch)
            for count in range(1, SEEDS_MAX + 1):
                violations = run(self.first + count - 1, seconds=SECONDS).violations
                if violations:
                    promise = violations[0].promise
                    caught = re.fullmatch(self.promises, promise) is not None
                    return Verdict(f"simulation: {promise}", caught, count)
        return Verdict(f"simulation: {self.promises}", caught=False, seeds=SEEDS_MAX)


# --- locks and sessions -----------------------------------------------------------------------


@broken(Troubles("Lock-delay"))
def lock_delay_ignored(patch: pytest.MonkeyPatch) -> None:
    """Gives a lock to the next one at once, while its former holder may not know yet."""
    acquire = Locks.acquire

    def sabotaged(locks: Locks, command: Any, index: int, _: int) -> Any:
        return acquire(locks, command, index, 1 << 60)

    patch.setattr(Locks, "acquire", sabotaged)


@broken(Troubles("Replica|Lock-delay"))
def lock_delay_not_in_snapshots(patch: pytest.MonkeyPatch) -> None:
    """Keeps lock-delays in memory only, as Consul does: a restored server knows of none."""
    patch.setattr(Locks, "image", lambda _: ())


@broken(Troubles("Exclusion"))
def lock_taken_from_its_holder(patch: pytest.MonkeyPatch) -> None:
    """Lets whoever asks last have the lock."""
    acquire = Locks.acquire

    def sabotaged(locks: Locks, command: Any, index: int, stamp: int) -> Any:
        refused = acquire(locks, command, index, stamp)
        if refused is not None and locks.sessions.get(command.session) is not None:
            lock = locks.keys.next_lock(command.key)
            locks.keys.write(command.key, b"", 0, index, session=command.session, lock_index=lock)
            return None
        return refused

    patch.setattr(Locks, "acquire", sabotaged)


@broken(Troubles("Fencing"))
def fencing_token_not_counted(patch: pytest.MonkeyPatch) -> None:
    """Gives every holder the same number, so that a late one cannot be told from the holder."""
    patch.setattr(KeyTable, "next_lock", lambda *_: 1)


@broken(Troubles("TTL"))
def session_expires_early(patch: pytest.MonkeyPatch) -> None:
    """Ends a session before the time that its owner may count on."""
    patch.setattr(leases, "GRACE_FACTOR", 0.5)


@broken(Troubles("TTL"))
def renewal_not_noted(patch: pytest.MonkeyPatch) -> None:
    """Answers a renewal, and goes on counting from when the session began."""
    patch.setattr(SessionClock, "renew", lambda *_, **__: True)


@broken(Troubles("Abandoned"))
def session_never_expires(patch: pytest.MonkeyPatch) -> None:
    """Leaves the locks of the dead locked for ever."""
    patch.setattr(SessionClock, "follow", lambda *_, **__: None)


# --- reading ----------------------------------------------------------------------------------


@broken(Troubles("Linearizability"))
def default_read_without_barrier(patch: pytest.MonkeyPatch) -> None:
    """Answers a default read with what this server has, as if it were the newest."""
    prepare = Replica._prepare

    async def sabotaged(
        replica: Replica, consistency: Consistency, max_stale: float | None = None
    ) -> float:
        if consistency is Consistency.STALE:
            return await prepare(replica, consistency, max_stale)
        await trio.lowlevel.checkpoint()
        return 0.0

    patch.setattr(Replica, "_prepare", sabotaged)


@broken(Troubles("Linearizability"))
def compare_and_set_without_comparing(patch: pytest.MonkeyPatch) -> None:
    """Writes whatever index the caller wants to compare with."""
    put = KeyTable.put
    patch.setattr(
        KeyTable, "put", lambda table, command, index: put(table, evolve(command, cas=None), index)
    )


@broken(Troubles("Age"))
def age_hidden(patch: pytest.MonkeyPatch) -> None:
    """Says of every stale answer that it is as of now."""
    patch.setattr(Replica, "age", property(lambda _: 0.0))


@broken(Troubles("Age"))
def age_counts_from_arrival(patch: pytest.MonkeyPatch) -> None:
    """Forgets that an answer may have waited for a process that stood still."""
    take = Following._take

    def sabotaged(following: Any, news: Any, *, asked: float) -> None:
        take(following, evolve(news, held=inf), asked=asked)

    patch.setattr(Following, "_take", sabotaged)


@broken(Troubles("Index"))
def answered_without_news(patch: pytest.MonkeyPatch) -> None:
    """Answers a question that is to wait for news at once."""

    async def sabotaged(_: Replica, __: object, ___: int, found: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return found

    patch.setattr(Replica, "_wait_above", sabotaged)


# --- subscriptions ----------------------------------------------------------------------------


@broken(Troubles("Order|Copy|Convergence"))
def change_left_out(patch: pytest.MonkeyPatch) -> None:
    """Sends only the newest of several changes since the last answer."""
    since = History.since

    def sabotaged(history: History, name: str, after: int) -> Any:
        found = since(history, name, after)
        return found if found is None else found[-1:]

    patch.setattr(History, "since", sabotaged)


@broken(Troubles("Order|Copy|Convergence"))
def history_complete_after_restore(patch: pytest.MonkeyPatch) -> None:
    """Takes its history for complete although a snapshot was put in its place."""
    put_in_place = WatchedRegistry._put_in_place

    def sabotaged(registry: Any, *arguments: Any) -> None:
        put_in_place(registry, *arguments)
        registry._history.floor = 0

    patch.setattr(WatchedRegistry, "_put_in_place", sabotaged)


# --- registrations and gossip -----------------------------------------------------------------


@broken(Troubles("Zombie|Registration"))
def deregistered_left_there(patch: pytest.MonkeyPatch) -> None:
    """Never removes what only the catalog has."""
    patch.setattr(
        keeper,
        "difference",
        lambda *arguments, **options: tuple(
            one
            for one in difference(*arguments, **options)
            if not isinstance(one, DeregisterService)
        ),
    )


@broken(Troubles("Lost|Zombie"))
def catalog_never_compared(patch: pytest.MonkeyPatch) -> None:
    """Writes when asked to, and never looks whether it is still there."""

    async def sabotaged(_: Keeper) -> None:
        await trio.sleep_forever()

    patch.setattr(Keeper, "run", sabotaged)


@broken(Troubles("Gossip|Lost"))
def recovery_not_noticed(patch: pytest.MonkeyPatch) -> None:
    """Leaves a node critical that gossip has found alive again."""
    member = reconcile._reconcile_member

    def sabotaged(one: Any, view: Any) -> Iterator[Any]:
        if one.health is not reconcile.Health.ALIVE or view is None:
            yield from member(one, view)

    patch.setattr(reconcile, "_reconcile_member", sabotaged)


# --- replication ------------------------------------------------------------------------------


@broken(Troubles("Replica"))
def machine_looks_at_its_clock(patch: pytest.MonkeyPatch) -> None:
    """Applies an entry by the time at which this server happens to apply it."""
    perform = Registry._perform

    def sabotaged(registry: Registry, command: Any, index: int, _: int) -> Any:
        return perform(registry, command, index, int(trio.current_time() * 1000))

    patch.setattr(Registry, "_perform", sabotaged)


ROWS: dict[str, Row] = {row.name: row for row in list(vars().values()) if isinstance(row, Row)}

if __name__ == "__main__":
    from tests.sabotage.__main__ import main

    sys.exit(main(rows=ROWS))
