"""The disk: what must be durable goes in, `Persisted` comes out.

While one write is under way the next ones gather, and become one write together (group commit). A
storage that would not keep anybody waiting (`inline`: memory, or a disk that syncs faster than two
task switches) is used within the step itself, so that a lone proposal costs no switch.
"""

from __future__ import annotations

from collections.abc import Sequence

import trio

from quorum.effects import Persist, Trim
from quorum.events import Persisted
from quorum.storage import Storage
from quorum.trio.inbox import Inbox


class Disk:
    """Orders for one storage, carried out in order."""

    def __init__(self, storage: Storage, inbox: Inbox) -> None:
        self._storage = storage
        self._inbox = inbox
        self._persists: list[Persist] = []
        self._trim: Trim | None = None
        self._busy = False
        self._news = trio.Event()

    async def persist(self, order: Persist) -> Sequence[Persisted]:
        """Make this durable: at once (then here is the fact), or soon (then it is in the inbox)."""
        if self._busy or not self._storage.inline:
            self._persists.append(order)
            self._wake()
            return ()
        await self._storage.persist((order,))
        return (Persisted(order.ticket),)

    def trim(self, order: Trim) -> None:
        """Delete what a snapshot has made superfluous, soon; the newest order counts."""
        self._trim = order
        self._wake()

    async def run(self) -> None:
        """Write, until cancelled or the storage fails."""
        while True:
            await self._news.wait()
            while self._persists:
                batch, self._persists = self._persists, []
                await self._storage.persist(batch)
                self._inbox.put(Persisted(batch[-1].ticket))
            if self._trim is not None:
                order, self._trim = self._trim, None
                await self._storage.trim(order)
            if not self._persists and self._trim is None:
                self._news = trio.Event()
                self._busy = False

    def _wake(self) -> None:
        self._busy = True
        self._news.set()
