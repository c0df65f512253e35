"""The end of sessions whose TTL is over, brought about by the leader.

When a session expires is decided in `catalog.server.leases`, what its end means in the registry.
With a new leader every session has a whole lifetime before it.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from math import inf
from typing import Final

import trio

import quorum
from catalog.commands import DestroySession, batches
from catalog.kv import Session
from catalog.server.leases import SessionClock
from catalog.server.replica import Replica
from catalog.wire import encode
from quorum import Announce, QuorumError, Stopped

__all__ = ["Expiry"]

log = logging.getLogger("catalog")

RETRY_SECONDS: Final = 0.5
COALESCE_SECONDS: Final = 0.1
"""Between two looks at the sessions there are: they may come by the thousand."""


class Expiry:
    """Ends sessions while this server leads."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._clock = SessionClock()
        self._term = 0
        """In which the clock was begun."""
        self._bell = trio.Event()

    async def run(self) -> None:
        """End sessions when their time is over, for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow_roles)
            nursery.start_soon(self._follow_sessions)
            while True:
                self._bell = trio.Event()
                deadline = inf
                if self._replica.server.is_leader:
                    try:
                        await self._tend()
                        deadline = self._clock.deadline
                    except QuorumError as error:
                        log.info("the expiry of sessions was interrupted: %s", error)
                        deadline = trio.current_time() + RETRY_SECONDS
                with trio.move_on_at(deadline):
                    await self._bell.wait()

    async def renew(self, session_id: str) -> Session | None:
        """Give a session another lifetime; `None`: there is none of this id, or it has expired."""
        server = self._replica.server
        if not server.is_leader:
            raise quorum.NotLeader(server.leader)
        await self._begin()
        await self._replica.barrier()  # it may have been created a moment ago
        session = self._replica.registry.session(session_id)
        if session is None or session.ttl is None:
            return session
        if self._clock.renew(session_id, now=trio.current_time()):
            return session
        self._follow()
        return session if self._clock.renew(session_id, now=trio.current_time()) else None

    async def _tend(self) -> None:
        await self._begin()
        self._follow()
        expired = self._clock.expired(now=trio.current_time())
        for command in batches(map(DestroySession, expired)):
            await self._replica.server.propose(encode(command))
        if expired:
            log.info("%d sessions expired", len(expired))

    async def _begin(self) -> None:
        """Begin to count, once for each term of leading, when the replica has everything."""
        term = self._replica.server.term
        if self._term != term:
            await self._replica.barrier()
            self._clock, self._term = SessionClock(), term
            self._follow()

    def _follow(self) -> None:
        self._clock.follow(self._replica.registry.sessions(), now=trio.current_time())

    async def _follow_roles(self) -> None:
        seen: Announce | None = None
        with suppress(Stopped):
            while True:
                seen = await self._replica.server.wait_role_change(seen)
                self._bell.set()

    async def _follow_sessions(self) -> None:
        while True:
            await self._replica.registry.wait_change(("sessions", ""))
            self._bell.set()
            await trio.sleep(COALESCE_SECONDS)
