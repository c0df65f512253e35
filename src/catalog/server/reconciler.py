"""The leader's standing duty: what gossip knows of nodes, the catalog must say too.

What to write is decided in `catalog.server.reconcile`; here is when: on becoming leader,
whenever gossip has news, and in full once in a while.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Final

import trio

from catalog.commands import DeregisterNode, Operation, batches
from catalog.node.roster import Roster
from catalog.server.reconcile import MemberView, reconcile
from catalog.server.replica import Replica
from catalog.wire import encode
from quorum import Announce, QuorumError, Stopped

__all__ = ["Reconciler"]

log = logging.getLogger("catalog")

RETRY_SECONDS: Final = 0.5
GRACE_SECONDS: Final = 60.0
"""For so long after its start an agent takes nobody's absence from gossip for a departure."""


class Reconciler:
    """Carries gossip into the catalog while this server leads."""

    def __init__(self, replica: Replica, roster: Roster, *, interval: float) -> None:
        self._replica = replica
        self._roster = roster
        self._interval = interval
        self._begun = trio.current_time()
        self._bell = trio.Event()

    async def run(self) -> None:
        """Reconcile whenever there is a reason, for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow_roles)
            nursery.start_soon(self._follow_roster)
            while True:
                self._bell = trio.Event()
                wait = self._interval
                if self._replica.server.is_leader:
                    try:
                        await self._reconcile()
                    except QuorumError as error:
                        log.info("reconciliation was interrupted: %s", error)
                        wait = RETRY_SECONDS
                with trio.move_on_after(wait):
                    await self._bell.wait()

    async def _reconcile(self) -> None:
        await self._replica.barrier()
        server = self._replica.server
        operations = reconcile(self._replica.registry, self._members(), leader=server.id)
        for command in batches(self._prudent(operations)):
            applied = await server.propose(encode(command))
            if not applied.ok:
                log.info("reconciliation: %s", applied.detail)

    def _members(self) -> dict[str, MemberView]:
        members = {}
        for name, known in self._roster.known.items():
            try:
                members[name] = known.to_view()
            except (TypeError, ValueError) as error:
                log.warning("member %r describes itself as no node may: %s", name, error)
        return members

    def _prudent(self, operations: tuple[Operation, ...]) -> list[Operation]:
        """Leave out the removal of nodes that gossip may only not have met yet."""
        if trio.current_time() - self._begun >= GRACE_SECONDS:
            return list(operations)
        known = self._roster.known
        return [
            operation
            for operation in operations
            if not isinstance(operation, DeregisterNode) or operation.node in known
        ]

    async def _follow_roles(self) -> None:
        seen: Announce | None = None
        with suppress(Stopped):
            while True:
                seen = await self._replica.server.wait_role_change(seen)
                self._bell.set()

    async def _follow_roster(self) -> None:
        while True:
            await self._roster.wait_change()
            self._bell.set()
