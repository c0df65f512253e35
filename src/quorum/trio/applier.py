"""The state machine at work: committed runs go in, results and `Applied` come out.

A short run is applied within the step that committed it, and its callers are woken together. Long
ones, and whatever must wait for the disk, go through a task of their own that lets others run
between slices, so that heartbeats are not late. Orders are carried out in order either way.

Taking a snapshot keeps the loop busy for as long as `StateMachine.snapshot` takes; writing it
does not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any

import trio

from quorum.effects import Apply, Restore, Snapshot
from quorum.errors import MachineFailed
from quorum.events import Applied, Compacted
from quorum.machine import StateMachine
from quorum.messages import Entries, Index, Kind, Members, SnapshotMark
from quorum.storage import Storage
from quorum.trio.inbox import Inbox
from quorum.trio.pending import Pending
from quorum.trio.waiting import MakeError, Waiter

SLICE_ENTRIES_MAX = 1024
"""Entries applied before other tasks may run."""


class Applier:
    """Orders for one state machine, carried out in order."""

    def __init__(
        self, machine: StateMachine, storage: Storage, pending: Pending, inbox: Inbox
    ) -> None:
        self.index: Index = 0
        """Everything up to here has been applied."""
        self._machine = machine
        self._storage = storage
        self._pending = pending
        self._inbox = inbox
        self._orders: deque[Apply | Restore | Snapshot] = deque()
        self._news = trio.Event()
        self._watchers: list[tuple[Index, int, Waiter]] = []  # a heap
        self._watched = count()

    def perform(self, order: Apply | Restore | Snapshot) -> Sequence[Applied]:
        """Do this now if it is short (then here is the fact), else soon (then by the inbox)."""
        short = isinstance(order, Apply) and len(order.entries) <= SLICE_ENTRIES_MAX
        if self._orders or not short:
            self._orders.append(order)
            self._news.set()
            return ()
        assert isinstance(order, Apply)
        self._apply(order.entries)
        return (Applied(self.index),)

    async def wait(self, index: Index) -> None:
        """Wait until the machine has applied the entry at `index`."""
        if self.index >= index:
            await trio.lowlevel.checkpoint()
            return
        watcher = (index, next(self._watched), Waiter())
        heappush(self._watchers, watcher)
        try:
            await watcher[2].wait()
        except trio.Cancelled:
            self._watchers.remove(watcher)
            heapify(self._watchers)
            raise

    def close(self, error: MakeError) -> None:
        """Tell those who watch that nothing will be applied any more."""
        for _, _, waiter in self._watchers:
            waiter.fail(error())
        self._watchers.clear()

    async def run(self) -> None:
        """Work on what is not short, until cancelled or something fails."""
        async with trio.open_nursery() as nursery:
            while True:
                await self._news.wait()
                while self._orders:
                    match self._orders[0]:
                        case Apply(entries):
                            await self._apply_slices(entries)
                        case Restore(mark):
                            await self._restore(mark)
                        case Snapshot(mark):
                            nursery.start_soon(self._save, mark, self._take_snapshot())
                    self._orders.popleft()
                self._news = trio.Event()

    async def _apply_slices(self, entries: Entries) -> None:
        stop = entries.last + 1
        for start in range(entries.first, stop, SLICE_ENTRIES_MAX):
            self._apply(entries.slice(start, min(start + SLICE_ENTRIES_MAX, stop)))
            self._inbox.put(Applied(self.index))
            await trio.lowlevel.checkpoint()

    def _apply(self, entries: Entries) -> None:
        results = self._results(entries)
        self.index = entries.last
        self._pending.applied(entries, results)
        for index, members in _configurations(entries):
            if not members.joint:
                self._pending.configured(index)
        self._wake_watchers()

    def _results(self, entries: Entries) -> Sequence[Any]:
        """One result for each entry; the machine sees runs of commands only."""
        if entries.kinds.count(Kind.COMMAND) == len(entries):
            return self._ask_machine(entries)
        results: list[Any] = []
        start = entries.first
        for index, kind in enumerate(entries.kinds, entries.first):
            if kind != Kind.COMMAND:
                if start < index:
                    results += self._ask_machine(entries.slice(start, index))
                results.append(None)
                start = index + 1
        if start <= entries.last:
            results += self._ask_machine(entries.slice(start, entries.last + 1))
        return results

    def _ask_machine(self, run: Entries) -> Sequence[Any]:
        try:
            results = self._machine.apply(run)
        except Exception as error:
            raise MachineFailed(
                f"the state machine raised {error!r} while applying entries {run.first} to "
                f"{run.last}; its state can no longer be trusted, the server stops: mend the "
                f"machine, then restart it from its snapshot and log"
            ) from error
        if len(results) != len(run):
            raise MachineFailed(
                f"the state machine gave {len(results)} results for {len(run)} commands, entries "
                f"{run.first} to {run.last}; the server stops: mend the machine, then restart it"
            )
        return results

    def _take_snapshot(self) -> bytes:
        try:
            return self._machine.snapshot()
        except Exception as error:
            raise MachineFailed(
                f"the state machine raised {error!r} while taking a snapshot; the server stops: "
                f"mend the machine, then restart"
            ) from error

    async def _save(self, mark: SnapshotMark, data: bytes) -> None:
        await self._storage.save_snapshot(mark, data)
        self._inbox.put(Compacted(mark))

    async def _restore(self, mark: SnapshotMark) -> None:
        data = await self._storage.load_snapshot(mark)
        try:
            self._machine.restore(data)
        except Exception as error:
            raise MachineFailed(
                f"the state machine raised {error!r} while restoring the snapshot at index "
                f"{mark.index}; the server stops: mend the machine, then restart"
            ) from error
        self._pending.skipped(mark.index, mark.term)
        if not mark.members.joint:
            self._pending.configured(mark.index)
        self.index = mark.index
        self._inbox.put(Applied(mark.index))
        self._wake_watchers()

    def _wake_watchers(self) -> None:
        while self._watchers and self._watchers[0][0] <= self.index:
            heappop(self._watchers)[2].settle(self.index)


def _configurations(entries: Entries) -> list[tuple[Index, Members]]:
    if Kind.MEMBERS not in entries.kinds:
        return []
    return [
        (entry.index, Members.from_bytes(entry.payload))
        for entry in entries
        if entry.kind is Kind.MEMBERS
    ]
