"""Gossip into catalog: what the leader must write so that both say the same (signatures)."""

from __future__ import annotations

import enum
from collections.abc import Mapping

from attrs import field, frozen

from catalog.commands import Operation
from catalog.model import Role
from catalog.registry import Registry

__all__ = ["Health", "MemberView", "reconcile"]


class Health(enum.Enum):
    """What gossip says of a member; a suspect is still alive."""

    ALIVE = "alive"
    FAILED = "failed"
    LEFT = "left"


@frozen
class MemberView:
    """A gossip member as reconciliation sees it."""

    name: str
    address: str
    meta: Mapping[str, str] = field(factory=dict)
    health: Health = Health.ALIVE
    role: Role = field(default=Role.CLIENT, kw_only=True)
    datacenter: str = field(default="dc1", kw_only=True)


def reconcile(
    registry: Registry, members: Mapping[str, MemberView], *, leader: str
) -> tuple[Operation, ...]: ...
