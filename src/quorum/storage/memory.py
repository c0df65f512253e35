"""A storage that lasts as long as its object: for tests, simulations and throw-away clusters.

Closing and loading the same object again is what a restart is to a disk. A process that ends takes
everything with it: such a server must come back under a new name (see `NodeId`).
"""

from __future__ import annotations

from collections.abc import Sequence

from quorum.effects import Persist, Trim
from quorum.errors import StorageError
from quorum.events import Recovered
from quorum.messages import Index, Members, SnapshotMark, Term
from quorum.storage.replay import Replay


class MemoryStorage:
    """Keeps everything in memory; what is given to it is "durable" at once."""

    inline = True
    """`persist` never waits: see `JournalStorage.inline`."""

    def __init__(self, *, members: Members | None = None) -> None:
        """`members` is the configuration that the cluster is bootstrapped with.

        It is empty (None) on a server that waits to be added.
        """
        mark = SnapshotMark(members=members if members is not None else Members())
        self._replay = Replay(mark=mark)
        self._snapshots: dict[tuple[Index, Term], bytes] = {}

    async def load(self) -> Recovered:
        """See `Storage.load`."""
        return self._replay.recovered()

    async def persist(self, batch: Sequence[Persist]) -> None:
        """See `Storage.persist`."""
        for order in batch:
            check_order(order, last=self._replay.last)
            self._replay.persist(order)

    async def save_snapshot(self, mark: SnapshotMark, data: bytes) -> None:
        """See `Storage.save_snapshot`."""
        self._snapshots[mark.index, mark.term] = data

    async def load_snapshot(self, mark: SnapshotMark) -> bytes:
        """See `Storage.load_snapshot`."""
        try:
            return self._snapshots[mark.index, mark.term]
        except KeyError:
            raise StorageError(f"no snapshot was saved at index {mark.index}") from None

    async def trim(self, order: Trim) -> None:
        """See `Storage.trim`."""
        self._replay.trim(order)
        for key in [key for key in self._snapshots if key[0] < self._replay.mark.index]:
            del self._snapshots[key]

    async def close(self) -> None:
        """See `Storage.close`; `load` opens it again."""


def check_order(order: Persist, *, last: Index) -> Index:
    """Assert that a write leaves no gap after index `last`; return the log's new last index."""
    if order.reset is not None:
        last = order.reset.index
    if not order.entries:
        return last
    assert order.entries.first <= last + 1, "entries follow what is in the log"
    return order.entries.last
