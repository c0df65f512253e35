"""A storage that lasts as long as its object: for tests, simulations and throw-away clusters.

Closing and loading the same object again is what a restart is to a disk. A process that ends takes
everything with it: such a server must come back under a new name (see `NodeId`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import trio
from attrs import define, field, frozen

from quorum.effects import Persist, Trim
from quorum.errors import StorageError
from quorum.events import Recovered
from quorum.machine import SnapshotData
from quorum.messages import Index, Members, SnapshotMark, Term
from quorum.storage.replay import Outline, Replay


@frozen
class MemorySnapshot:
    """A `StoredSnapshot` of bytes in memory."""

    data: bytes

    @property
    def size(self) -> int:
        """See `StoredSnapshot.size`."""
        return len(self.data)

    async def read(self, offset: int, size: int) -> bytes:
        """See `StoredSnapshot.read`; never waits."""
        return self.data[offset : offset + size]

    def close(self) -> None:
        """See `StoredSnapshot.close`."""


@define
class MemoryIncoming:
    """An `IncomingSnapshot` in memory; `keep` gets the whole when it is saved."""

    keep: Callable[[bytes], None]
    data: bytearray = field(factory=bytearray)

    @property
    def size(self) -> int:
        """See `IncomingSnapshot.size`."""
        return len(self.data)

    async def write(self, data: bytes) -> None:
        """See `IncomingSnapshot.write`; never waits."""
        self.data += data

    async def save(self) -> None:
        """See `IncomingSnapshot.save`."""
        self.keep(bytes(self.data))

    def discard(self) -> None:
        """See `IncomingSnapshot.discard`."""
        self.data.clear()


class MemoryStorage:
    """Keeps everything in memory; what is given to it is "durable" at once."""

    inline = True
    """See `Storage.inline`: `persist` never waits."""

    def __init__(self, *, members: Members | None = None) -> None:
        """`members` is the configuration that the cluster is bootstrapped with.

        It is empty (None) on a server that waits to be added.
        """
        mark = SnapshotMark(members=members if members is not None else Members())
        self._replay = Replay(Outline(mark=mark))
        self._snapshots: dict[tuple[Index, Term], bytes] = {}

    async def load(self) -> Recovered:
        """See `Storage.load`."""
        return self._replay.recovered()

    async def persist(self, batch: Sequence[Persist]) -> None:
        """See `Storage.persist`."""
        for order in batch:
            if order.reset is not None:
                self._check_saved(order.reset)
            self._replay.persist(order)

    async def save_snapshot(self, mark: SnapshotMark, data: SnapshotData) -> None:
        """See `Storage.save_snapshot`; here all of it is in memory, of course."""
        whole = data if isinstance(data, bytes) else await trio.to_thread.run_sync(b"".join, data)
        self._snapshots[mark.index, mark.term] = whole

    async def receive_snapshot(self, mark: SnapshotMark) -> MemoryIncoming:
        """See `Storage.receive_snapshot`."""
        return MemoryIncoming(partial(self._snapshots.__setitem__, (mark.index, mark.term)))

    async def open_snapshot(self, mark: SnapshotMark) -> MemorySnapshot:
        """See `Storage.open_snapshot`."""
        try:
            return MemorySnapshot(self._snapshots[mark.index, mark.term])
        except KeyError:
            raise StorageError(f"no snapshot was saved at index {mark.index}") from None

    async def trim(self, order: Trim) -> None:
        """See `Storage.trim`."""
        if not self._replay.outline.overtook(order):
            self._check_saved(order.mark)
        self._replay.trim(order)
        for key in [key for key in self._snapshots if key[0] < self._replay.outline.mark.index]:
            del self._snapshots[key]

    async def close(self) -> None:
        """See `Storage.close`; `load` opens it again."""

    def _check_saved(self, mark: SnapshotMark) -> None:
        if mark.index > 0 and (mark.index, mark.term) not in self._snapshots:
            raise StorageError(f"the snapshot at index {mark.index} was not saved")
