"""When a leader does its rounds: on becoming leader, on gossip's news, and once in a while."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import trio

from catalog.errors import CatalogError
from catalog.node.roster import Roster
from quorum import Announce, QuorumError, Server, Stopped

__all__ = ["GRACE_SECONDS", "Rounds"]

log = logging.getLogger("catalog")

RETRY_SECONDS: Final = 0.5
GRACE_SECONDS: Final = 60.0
"""For so long after its start an agent takes nobody's absence from gossip for a departure."""


class Rounds:
    """The rhythm of one duty; work that came to nothing is tried again soon."""

    def __init__(self, server: Server, roster: Roster, *, interval: float) -> None:
        self._server = server
        self._roster = roster
        self._interval = interval
        self._bell = trio.Event()

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do the work whenever there is a reason and this server leads, for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow_roles)
            nursery.start_soon(self._follow_roster)
            while True:
                self._bell = trio.Event()
                wait = self._interval
                if self._server.is_leader:
                    try:
                        await work()
                    except (QuorumError, CatalogError) as error:
                        log.info("a leader's duty was interrupted: %s", error)
                        wait = min(wait, RETRY_SECONDS)
                with trio.move_on_after(wait):
                    await self._bell.wait()

    async def _follow_roles(self) -> None:
        seen: Announce | None = None
        with suppress(Stopped):
            while True:
                seen = await self._server.wait_role_change(seen)
                self._bell.set()

    async def _follow_roster(self) -> None:
        while True:
            await self._roster.wait_change()
            self._bell.set()
