"""Coordinates that agents tell the leader, written in batches at a bounded rate.

Each flush writes the newest of each node, and of so many nodes only; the rest waits for the next.
"""

from __future__ import annotations

import logging
from itertools import islice
from typing import Final

import trio

import quorum
from catalog.commands import COORDINATES_MAX, SetCoordinates
from catalog.errors import Busy
from catalog.model import Coordinate
from catalog.wire import encode
from quorum import QuorumError, Server

__all__ = ["Places"]

log = logging.getLogger("catalog")

FLUSH_COMMANDS_MAX: Final = 5
"""Log entries in one flush, of `COORDINATES_MAX` nodes each; Consul's numbers."""
WAITING_MAX: Final = 65_536
"""Nodes whose coordinates wait; more are refused."""


class Places:
    """Coordinates on their way into the catalog."""

    def __init__(self, server: Server, *, interval: float) -> None:
        self._server = server
        self._interval = interval
        self._waiting: dict[str, Coordinate] = {}

    def note(self, coordinate: Coordinate) -> None:
        """Have a coordinate written soon; a leader that falls before it is loses it."""
        if not self._server.is_leader:
            raise quorum.NotLeader(self._server.leader)
        if len(self._waiting) >= WAITING_MAX and coordinate.node not in self._waiting:
            raise Busy(f"the coordinates of {WAITING_MAX} nodes wait to be written")
        self._waiting[coordinate.node] = coordinate

    async def run(self) -> None:
        """Write what waits, for ever."""
        while True:
            await trio.sleep(self._interval)
            if not self._server.is_leader:
                self._waiting.clear()
            for _ in range(FLUSH_COMMANDS_MAX):
                names = list(islice(self._waiting, COORDINATES_MAX))
                if not names:
                    break
                batch = tuple(self._waiting.pop(name) for name in names)
                try:
                    await self._server.propose(encode(SetCoordinates(batch)))
                except QuorumError as error:
                    log.info("%d coordinates were not written: %s", len(batch), error)
                    break
