"""Protection against mass eviction: when very much fails at once, it is rather the network.

Gossip calls a node failed that nobody reaches. If a switch dies, that may be half of the cluster
within seconds, and most of what runs there may be well. To take all of it out of the answers would
send everybody to the few instances that are left, and bring these down as well. So, if it is asked
for, the leader goes by a rule like that of Eureka's self-preservation:

* if the instances on nodes that failed within one window are more than a share of all instances,
  evictions freeze: nodes that fail from then on stay in use, and their health says why;
* nobody is deregistered meanwhile for not being known any more; who leaves does so as always;
* when nodes came back, or left, and the incident is down to the share again, evictions go on: who
  is still failed turns critical.

One node alone never is an incident. What was evicted before the freeze stays so.

A new leader goes on with a freeze, since it finds nodes in the catalog that were kept; failures
that were written before its time are no part of an incident.

Time is told, nothing is read or written here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from math import inf
from typing import Final

from attrs import Factory, define

from catalog.commands import DeregisterNode, Operation, SetNodeHealth
from catalog.model import GOSSIP_CHECK, KEPT_OUTPUT, CheckState, NodeView, Status
from catalog.server.reconcile import FAILED, Health, MemberView

__all__ = ["KEPT", "Guard"]

KEPT: Final = CheckState(GOSSIP_CHECK, Status.PASSING, KEPT_OUTPUT)
"""The health of a node that gossip calls failed and that stays in use all the same."""
NODES_MIN: Final = 2
"""Fewer failed nodes are no incident, whatever they carry."""


@define
class Guard:
    """What the leader remembers of failures, to tell one from many."""

    share: float
    """Of all instances; more that fail within one window freeze evictions."""
    window: float
    """In seconds."""
    frozen: bool = False
    _since: dict[str, float] = Factory(dict)
    """When nodes that are failed were first seen so; `-inf`: before this leader's time."""
    _begun: float = inf
    """From then on failures belong to the incident, while evictions are frozen."""

    def admit(
        self,
        operations: Iterable[Operation],
        nodes: Mapping[str, NodeView],
        members: Mapping[str, MemberView],
        *,
        now: float,
    ) -> tuple[Operation, ...]:
        """Return what of a reconciliation may be written, and what in place of the rest.

        Args:
            operations: what `reconcile` found.
            nodes: those of the catalog, by name.
            members: those of gossip, by name.
            now: the time, in seconds.

        """
        self._note(nodes, members, now)
        begun = self._begun if self.frozen else now - self.window
        struck = {name for name, since in self._since.items() if since >= begun}
        incident = self._is_incident(struck, nodes)
        if incident != self.frozen:
            self.frozen, self._begun = incident, begun
        if not self.frozen:
            return tuple(operations)
        return tuple(
            instead
            for operation in operations
            if (instead := _instead(operation, nodes, members)) is not None
        )

    def _note(
        self, nodes: Mapping[str, NodeView], members: Mapping[str, MemberView], now: float
    ) -> None:
        failed = {
            name: view
            for name, view in nodes.items()
            if name in members and members[name].health is Health.FAILED
        }
        self._since = {
            name: self._since.get(name, -inf if view.health == FAILED else now)
            for name, view in failed.items()
        }

    def _is_incident(self, struck: AbstractSet[str], nodes: Mapping[str, NodeView]) -> bool:
        watched = {
            name: len(view.instances) for name, view in nodes.items() if view.health is not None
        }
        lost = sum(watched.get(name, 0) for name in struck)
        return len(struck) >= NODES_MIN and lost > self.share * sum(watched.values())


def _instead(
    operation: Operation, nodes: Mapping[str, NodeView], members: Mapping[str, MemberView]
) -> Operation | None:
    """Return what is written for an operation while evictions are frozen; `None`: nothing."""
    match operation:
        case SetNodeHealth(name, Status.CRITICAL):
            if nodes[name].health == KEPT:
                return None
            return SetNodeHealth(name, KEPT.status, KEPT.output)
        case DeregisterNode(name) if name not in members:
            return None
    return operation
