"""The state machine at work: committed runs go in, results and `Applied` come out.

A short run is applied within the step that committed it, and its callers are woken together. Long
ones, and whatever must wait for the disk, go through a task of their own that lets others run
between slices, so that heartbeats are not late. Orders are carried out in order either way.

Taking a snapshot keeps the loop busy for as long as `StateMachine.snapshot` takes. A machine that
returns chunks makes them in the storage's thread, while entries are applied here. A snapshot that
could not be saved costs nothing but the room in the log: it is tried again.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any

import trio

from quorum.effects import Apply, Restore, Snapshot
from quorum.errors import MachineFailed, MachineTooOld, SnapshotFailed, StorageError
from quorum.events import Applied, Compacted, NotCompacted
from quorum.machine import RestoresInChunks, SnapshotData, StateMachine, go_by
from quorum.messages import Entries, Index, Kind, Members, SnapshotMark, read_version
from quorum.storage import CHUNK_BYTES, Storage, StoredSnapshot
from quorum.trio.counters import Counters
from quorum.trio.inbox import Inbox
from quorum.trio.pending import Pending
from quorum.trio.waiting import MakeError, Waiter

log = logging.getLogger("quorum")

SNAPSHOT_RETRY = 10.0
"""Seconds after which a snapshot that could not be saved may be taken anew."""

SLICE_ENTRIES_MAX = 1024
"""Entries applied before other tasks may run."""


class Applier:
    """Orders for one state machine, carried out in order."""

    def __init__(
        self,
        machine: StateMachine,
        storage: Storage,
        pending: Pending,
        inbox: Inbox,
        counters: Counters,
    ) -> None:
        self.index: Index = 0
        """Everything up to here has been applied."""
        self._machine = machine
        self._storage = storage
        self._pending = pending
        self._inbox = inbox
        self._counters = counters
        self._closed = False
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
        """Tell those who watch that nothing will be applied any more; give up snapshots."""
        self._closed = True
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
                if kind == Kind.VERSION:
                    self._go_by(read_version(entries.payloads[index - entries.first]), index)
                results.append(None)
                start = index + 1
        if start <= entries.last:
            results += self._ask_machine(entries.slice(start, entries.last + 1))
        return results

    def _go_by(self, version: int, index: Index) -> None:
        try:
            go_by(self._machine, version, index)
        except MachineTooOld:
            raise
        except Exception as error:
            raise MachineFailed(
                f"the state machine raised {error!r} while going on to version {version} at entry "
                f"{index}; the server stops: mend the machine, then restart"
            ) from error

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

    def _take_snapshot(self) -> SnapshotData:
        try:
            data = self._machine.snapshot()
            return data if isinstance(data, bytes) else self._chunks(iter(data))
        except Exception as error:
            raise _no_snapshot(error) from error

    def _chunks(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """The machine's chunks, until the server stops; runs in the storage's thread."""
        while not self._closed:
            try:
                chunk = next(chunks, None)
                if chunk is None:
                    return
                if not isinstance(chunk, bytes):
                    raise TypeError(f"a chunk is bytes, not {type(chunk).__name__}")  # noqa: TRY301 - the machine's error like any other
            except Exception as error:
                raise _no_snapshot(error) from error
            yield chunk
        raise _Abandoned

    async def _save(self, mark: SnapshotMark, data: SnapshotData) -> None:
        try:
            await self._storage.save_snapshot(mark, data)
        except _Abandoned:
            return
        except SnapshotFailed as error:
            self._counters.snapshots_not_saved += 1
            log.error("%s; it is tried again", error)  # noqa: TRY400 - a fact, not a bug
            await trio.sleep(SNAPSHOT_RETRY)
            self._inbox.put(NotCompacted(mark))
        else:
            self._counters.snapshots_taken += 1
            self._inbox.put(Compacted(mark))

    async def _restore(self, mark: SnapshotMark) -> None:
        self._go_by(mark.version, mark.index)
        snapshot = await self._storage.open_snapshot(mark)
        try:
            await self._put_in_place(snapshot)
        except StorageError:
            raise
        except Exception as error:
            raise MachineFailed(
                f"the state machine raised {error!r} while restoring the snapshot at index "
                f"{mark.index}; the server stops: mend the machine, then restart"
            ) from error
        finally:
            snapshot.close()
        self._pending.skipped(mark.index, mark.term)
        if not mark.members.joint:
            self._pending.configured(mark.index)
        self.index = mark.index
        self._inbox.put(Applied(mark.index))
        self._wake_watchers()

    async def _put_in_place(self, snapshot: StoredSnapshot) -> None:
        machine = self._machine
        if not isinstance(machine, RestoresInChunks):
            machine.restore(await snapshot.read(0, snapshot.size))
            return

        def chunks() -> Iterator[bytes]:
            for offset in range(0, snapshot.size, CHUNK_BYTES):
                yield trio.from_thread.run(snapshot.read, offset, CHUNK_BYTES)

        put_in_place = await trio.to_thread.run_sync(machine.restore_chunks, chunks())
        put_in_place()

    def _wake_watchers(self) -> None:
        while self._watchers and self._watchers[0][0] <= self.index:
            heappop(self._watchers)[2].settle(self.index)


class _Abandoned(Exception):
    """The server stops: the snapshot under way is of no use any more."""


def _no_snapshot(error: Exception) -> MachineFailed:
    return MachineFailed(
        f"the state machine raised {error!r} while taking a snapshot; the server stops: mend the "
        f"machine, then restart"
    )


def _configurations(entries: Entries) -> list[tuple[Index, Members]]:
    if Kind.MEMBERS not in entries.kinds:
        return []
    return [
        (entry.index, Members.from_bytes(entry.payload))
        for entry in entries
        if entry.kind is Kind.MEMBERS
    ]
