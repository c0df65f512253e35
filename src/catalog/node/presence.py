"""What an agent says of itself by gossip, and what others make of it.

Gossip carries a small map of texts with each member: its role and data centre, the user's own
metadata, and of a server what `catalog.server.bootstrap` needs. The address is gossip's own: an
agent has one port for everything. A member's name is its node's, and a server's in the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from attrs import field, frozen

import rumor.messages
from catalog.config import Address, format_address
from catalog.errors import ProtocolError
from catalog.model import Node, Role
from catalog.requests import Member, MemberHealth
from catalog.server.reconcile import Health, MemberView

__all__ = ["Known", "Presence"]

USER_PREFIX = "+"
"""Before the keys of the user's metadata, so that they never clash with ours."""

MEMBER_HEALTH = {
    rumor.messages.Health.ALIVE: MemberHealth.ALIVE,
    rumor.messages.Health.SUSPECT: MemberHealth.SUSPECT,
    rumor.messages.Health.DEAD: MemberHealth.FAILED,
    rumor.messages.Health.LEFT: MemberHealth.LEFT,
}
NODE_HEALTH = {
    MemberHealth.ALIVE: Health.ALIVE,
    MemberHealth.SUSPECT: Health.ALIVE,
    MemberHealth.FAILED: Health.FAILED,
    MemberHealth.LEFT: Health.LEFT,
}


@frozen
class Presence:
    """What an agent says of itself."""

    role: Role
    datacenter: str
    meta: Mapping[str, str] = field(factory=dict, hash=False)
    expect: int = 0
    """With how many servers this one wants to found the cluster."""
    nonce: str = ""
    """Which life of the server this is: another one has another disk."""
    digest: str = ""
    """Which set of founders it is committed to; empty: none yet."""
    agreed: bool = False
    """Whether it knows that all founders are committed to the same set."""

    def to_meta(self) -> dict[str, str]:
        """Return it as gossip carries it."""
        ours = {"role": self.role.value, "dc": self.datacenter}
        if self.role is Role.SERVER:
            ours |= {"expect": str(self.expect), "nonce": self.nonce, "vote": self.digest}
            ours |= {"agreed": "1"} if self.agreed else {}
        return ours | {USER_PREFIX + key: text for key, text in self.meta.items()}

    @classmethod
    def from_meta(cls, meta: Mapping[str, str]) -> Self:
        """Read what `to_meta` wrote.

        Raises:
            ProtocolError: it was written by something else.

        """
        try:
            return cls(
                role=Role(meta["role"]),
                datacenter=meta["dc"],
                meta={
                    key.removeprefix(USER_PREFIX): text
                    for key, text in meta.items()
                    if key.startswith(USER_PREFIX)
                },
                expect=int(meta.get("expect", "0")),
                nonce=meta.get("nonce", ""),
                digest=meta.get("vote", ""),
                agreed=meta.get("agreed") == "1",
            )
        except (KeyError, ValueError) as error:
            raise ProtocolError(f"gossip metadata that is no agent's: {error!r:.200}") from error


@frozen
class Known:
    """An agent as another one knows it: what gossip says of it, and what it says of itself."""

    name: str
    address: Address
    health: MemberHealth
    presence: Presence

    @property
    def alive(self) -> bool:
        """Whether it may be asked; a suspect may."""
        return self.health in (MemberHealth.ALIVE, MemberHealth.SUSPECT)

    @property
    def server(self) -> bool:
        """Whether it takes part in consensus."""
        return self.presence.role is Role.SERVER

    def to_member(self) -> Member:
        """Return it as users see it."""
        said = self.presence
        where = format_address(self.address)
        return Member(self.name, where, said.role, said.datacenter, self.health, said.meta)

    def to_view(self) -> MemberView:
        """Return it as reconciliation sees it; raise `ValueError` if it says what no node may."""
        said = self.presence
        return MemberView(
            self.name,
            self.address[0],
            said.meta,
            NODE_HEALTH[self.health],
            role=said.role,
            datacenter=said.datacenter,
            port=self.address[1],
        )

    def to_node(self) -> Node:
        """Return the node that it is; raise `ValueError` if it says what no node may."""
        return self.to_view().node
