"""Where a server keeps what must survive it: term, vote, log and the newest snapshot.

`Storage` is the protocol; `MemoryStorage` forgets, `JournalStorage` does not. A storage makes no
decision: it does what `Persist` says, in order, and returns when it is durable.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from quorum.effects import Persist, Trim
from quorum.events import Recovered
from quorum.messages import SnapshotMark

__all__ = ["Recovered", "Storage"]


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

    async def save_snapshot(self, mark: SnapshotMark, data: bytes) -> None:
        """Make a snapshot durable beside the log.

        It comes into force by `Persist.reset` (one that the leader sent) or by `trim` (our own);
        until then `load` returns the older one.
        """
        ...

    async def load_snapshot(self, mark: SnapshotMark) -> bytes:
        """The snapshot saved with this mark."""
        ...

    async def trim(self, order: Trim) -> None:
        """Delete older snapshots, and the log before `order.first` where that is cheap."""
        ...

    async def close(self) -> None:
        """Let go of files. Nothing may follow."""
        ...
