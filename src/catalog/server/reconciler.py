"""The leader's standing duty: what gossip knows of nodes, the catalog must say too.

What to write is decided in `catalog.server.reconcile`, when is the business of `rounds`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import trio

from catalog.commands import DeregisterNode, Operation, batches
from catalog.node.roster import Roster
from catalog.server.protection import Guard
from catalog.server.reconcile import MemberView, reconcile
from catalog.server.replica import Replica
from catalog.server.rounds import GRACE_SECONDS, Rounds
from catalog.wire import encode

__all__ = ["Reconciler"]

log = logging.getLogger("catalog")


class Reconciler:
    """Carries gossip into the catalog while this server leads."""

    def __init__(
        self, replica: Replica, roster: Roster, *, interval: float, guard: Guard | None = None
    ) -> None:
        self._replica = replica
        self._roster = roster
        self._interval = interval
        self._begun = trio.current_time()
        self._guard = guard
        """Against mass eviction, if that is asked for."""
        self._term = 0
        """In which the guard began to watch."""

    async def run(self) -> None:
        """Reconcile whenever there is a reason, for ever."""
        rounds = Rounds(self._replica.server, self._roster, interval=self._interval)
        await rounds.run(self._reconcile)

    async def _reconcile(self) -> None:
        await self._replica.barrier()
        server = self._replica.server
        members = self._members()
        operations = reconcile(self._replica.registry, members, leader=server.id)
        for command in batches(self._guarded(self._prudent(operations), members)):
            applied = await server.propose(encode(command))
            if not applied.ok:
                log.info("reconciliation: %s", applied.detail)

    def _guarded(
        self, operations: list[Operation], members: dict[str, MemberView]
    ) -> Sequence[Operation]:
        """Hold back evictions if there are too many at once."""
        if self._guard is None:
            return operations
        if self._term != self._replica.server.term:
            self._term = self._replica.server.term
            self._guard = Guard(self._guard.share, self._guard.window)
        frozen = self._guard.frozen
        nodes = {view.node.name: view for view in self._replica.registry.nodes()}
        admitted = self._guard.admit(operations, nodes, members, now=trio.current_time())
        if frozen != self._guard.frozen:
            log.warning(
                "%s", "evictions go on" if frozen else "too many nodes failed: evictions freeze"
            )
        return admitted

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
