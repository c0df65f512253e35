"""Where a server keeps what must survive it: term, vote, log and the newest snapshot.

`Storage` is the protocol; `MemoryStorage` forgets, `JournalStorage` does not. A storage makes no
decision: it does what `Persist` says, in order, and returns when it is durable.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from quorum.effects import Persist, Trim
from quorum.events import Recovered
from quorum.machine import SnapshotData
from quorum.messages import SnapshotMark

__all__ = ["CHUNK_BYTES", "IncomingSnapshot", "Recovered", "Storage", "StoredSnapshot"]

CHUNK_BYTES = 1 << 20
"""Bytes of a snapshot that are asked of a storage at a time."""


class StoredSnapshot(Protocol):
    """A durable snapshot, open for reading, also when it is deleted meanwhile."""

    @property
    def size(self) -> int:
        """Bytes in it."""
        ...

    async def read(self, offset: int, size: int) -> bytes:
        """So many bytes from this place, fewer only where it ends. Raise `StorageError`."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class IncomingSnapshot(Protocol):
    """A snapshot that comes in pieces; it is nowhere until it is saved, whatever happens."""

    @property
    def size(self) -> int:
        """Bytes so far."""
        ...

    async def write(self, data: bytes) -> None:
        """Add the next bytes. Raise `SnapshotFailed` if they could not be kept."""
        ...

    async def save(self) -> None:
        """Make it durable; see `Storage.save_snapshot`."""
        ...

    def discard(self) -> None:
        """Let go of what is not saved; may be called twice, and after `save`."""
        ...


class Storage(Protocol):
    """What a driver needs of a disk."""

    @property
    def inline(self) -> bool:
        """Whether the next `persist` is expected to return without letting other tasks run.

        The driver then calls it within the step, and a lone proposal costs no task switch; while
        it lasts, everything else waits. So say True only for what takes less than two switches
        (some 100 µs): memory, or a disk that syncs that fast. False is always right.
        """
        ...

    async def load(self) -> Recovered:
        """Read back what was durable. Raise `CorruptJournal` rather than guess."""
        ...

    async def persist(self, batch: Sequence[Persist]) -> None:
        """Make a batch durable, in order: one write, one sync. It is durable when this returns.

        After an error nothing more is acknowledged: a failed sync may have dropped data that a
        second sync would report as written.
        """
        ...

    async def save_snapshot(self, mark: SnapshotMark, data: SnapshotData) -> None:
        """Make a snapshot durable beside the log, while writes go on.

        It comes into force by `Persist.reset` (one that the leader sent) or by `trim` (our own);
        until then `load` returns the older one. What is not bytes is iterated over in a worker
        thread, and never whole in memory. If that raises, so does this. Raise `SnapshotFailed` if
        there is no such snapshot now and all else is as it was; any other error ends the server.
        """
        ...

    async def receive_snapshot(self, mark: SnapshotMark) -> IncomingSnapshot:
        """Begin to keep a snapshot that comes from elsewhere, a piece at a time."""
        ...

    async def open_snapshot(self, mark: SnapshotMark) -> StoredSnapshot:
        """Open the snapshot saved with this mark, once it was found to be undamaged."""
        ...

    async def trim(self, order: Trim) -> None:
        """Delete older snapshots, and the log before `order.first` where that is cheap."""
        ...

    async def close(self) -> None:
        """Let go of files. Nothing may follow."""
        ...
