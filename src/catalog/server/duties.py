"""What a server does for those who run the cluster: each operation to whoever answers it."""

from __future__ import annotations

from typing import Any

import trio

from catalog.operations import (
    Health,
    Join,
    OpenSnapshot,
    Peers,
    ReadSnapshot,
    RemovePeer,
    RestoreChunk,
    TransferLeadership,
    UpdateCoordinate,
)
from catalog.requests import Consistency, RenewSession, Request
from catalog.server.expiry import Expiry
from catalog.server.pilot import Pilot
from catalog.server.places import Places
from catalog.server.replica import Replica
from catalog.server.restoring import encode_chunk
from catalog.server.shelf import Shelf

__all__ = ["Duties"]


class Duties:
    """Answers requests: operations here, all others by the replica."""

    def __init__(self, replica: Replica, pilot: Pilot, expiry: Expiry, places: Places) -> None:
        self.replica = replica
        self.pilot = pilot
        self._expiry = expiry
        self._places = places
        self._shelf = Shelf()

    async def answer(self, request: Request[Any]) -> Any:
        """Answer a request; raise what `quorum` raises, or a `CatalogError`."""
        match request:
            case RenewSession(session):
                return await self._expiry.renew(session)
            case UpdateCoordinate(coordinate):
                return self._places.note(coordinate)
            case Join():
                return await self.pilot.admit(request)
            case Peers(consistency):
                if consistency is not Consistency.STALE:
                    await self.replica.barrier()
                return self.pilot.peers()
            case RemovePeer(name):
                return await self.pilot.remove(name)
            case TransferLeadership(to):
                return await self.pilot.transfer(to)
            case Health():
                return self.pilot.report()
            case OpenSnapshot():
                self._shelf.check_room()
                await self.replica.barrier()
                registry = self.replica.registry
                applied, chunks = registry.applied, registry.snapshot()
                data = await trio.to_thread.run_sync(b"".join, chunks)
                return self._shelf.put(data, applied)
            case ReadSnapshot(token, offset):
                return self._shelf.read(token, offset)
            case RestoreChunk():
                return await self.replica.server.propose(encode_chunk(request))
            case _:
                return await self.replica.answer(request)
