"""Gossip into catalog: what the leader must write so that both say the same of every node.

Gossip knows first who lives; the catalog is what everybody reads.
The leader carries the one into the other, on every gossip event and once in a while in full, by
Consul's rules:

* alive: the node is registered as gossip describes it, and its health is passing; a server
  also as an instance of the service `consul`, by which Consul's tools find the servers;
* failed: its health is critical; its services stay, for it may come back;
* left, or reaped (gossip knows it no more): it is deregistered with all its services;
* a node without gossip health was registered from outside, and is nobody's business here;
* the leader never deregisters itself, nor calls itself failed: it is at work.

Where the catalog says so already, nothing is written: a full pass over a quiet cluster costs no
log entry.
The order is by name, so that a pass can be replayed.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from typing import Final, assert_never

from attrs import evolve, field, frozen
from attrs.validators import instance_of

from catalog.commands import (
    DeregisterNode,
    Operation,
    RegisterNode,
    RegisterService,
    SetNodeHealth,
)
from catalog.limits import check_meta, check_name, sealed
from catalog.model import GOSSIP_CHECK, CheckState, Node, NodeView, Role, Service, Status
from catalog.registry import Registry

__all__ = ["ALIVE", "FAILED", "SERVERS", "Health", "MemberView", "reconcile"]

ALIVE = CheckState(GOSSIP_CHECK, Status.PASSING, "Agent alive and reachable")
FAILED = CheckState(GOSSIP_CHECK, Status.CRITICAL, "Agent not live or unreachable")
"""Consul's words, which people search their logs for."""

SERVERS: Final = "consul"
"""The service whose instances are the servers: its name, and their id on each server's node."""


class Health(enum.Enum):
    """What gossip says of a member; a suspect is still alive."""

    ALIVE = "alive"
    FAILED = "failed"
    LEFT = "left"


@frozen
class MemberView:
    """A gossip member as reconciliation sees it.

    What a member says of itself is checked here, as for a `Node`: build these one by one, and skip
    (and log) the member whose description is refused, so that it harms only itself.
    """

    name: str = field(validator=check_name)
    address: str = field(validator=check_name)
    meta: Mapping[str, str] = field(
        factory=dict, converter=sealed, validator=check_meta, hash=False
    )
    health: Health = field(default=Health.ALIVE, validator=instance_of(Health))
    role: Role = field(default=Role.CLIENT, kw_only=True)
    datacenter: str = field(default="dc1", kw_only=True)
    port: int = field(default=0, kw_only=True)
    """Where other agents reach it, at its address."""

    @property
    def node(self) -> Node:
        """The node as the catalog should have it."""
        return Node(self.name, self.address, self.meta, self.role, self.datacenter)

    @property
    def service(self) -> Service | None:
        """What the catalog should have of it as a server; `None`: it is a client."""
        return Service(SERVERS, port=self.port) if self.role is Role.SERVER else None


def reconcile(
    registry: Registry, members: Mapping[str, MemberView], *, leader: str
) -> tuple[Operation, ...]:
    """Return what to write, in order; nothing when the catalog says what gossip says.

    Args:
        registry: the leader's, up to date: after a barrier.
        members: all that gossip knows, by name. Empty or half known right after a start: wait
            until gossip has met the cluster, or living nodes are deregistered.
        leader: the name of the leader's own node.

    """
    nodes = {view.node.name: view for view in registry.nodes()}
    operations: list[Operation] = []
    for name in sorted(nodes.keys() | members.keys()):
        view, member = nodes.get(name), members.get(name)
        if member is not None:
            if name == leader:
                member = evolve(member, health=Health.ALIVE)
            operations += _reconcile_member(member, view)
        elif name != leader and view is not None and view.health is not None:
            operations.append(DeregisterNode(name))
    return tuple(operations)


def _reconcile_member(member: MemberView, view: NodeView | None) -> Iterator[Operation]:
    match member.health:
        case Health.ALIVE:
            if view is None or view.node != member.node:
                yield RegisterNode(member.node)
            if view is None or view.health != ALIVE:
                yield SetNodeHealth(member.name, ALIVE.status, ALIVE.output)
            service = member.service
            there = () if view is None else (one.service for one in view.instances)
            if service is not None and service not in there:
                yield RegisterService(member.name, service)
        case Health.FAILED:
            if view is not None and view.health != FAILED:  # unknown and failed: never was here
                yield SetNodeHealth(member.name, FAILED.status, FAILED.output)
        case Health.LEFT:
            if view is not None:
                yield DeregisterNode(member.name)
        case _:
            assert_never(member.health)
