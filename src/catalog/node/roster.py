"""Whom this agent knows: the members of gossip, read once for each change.

Requests look at it all the time, so it is kept as they need it.
A member that does not describe itself as an agent is left out, with one line in the log: it harms
only itself.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import MappingProxyType

import trio

import rumor
from catalog.config import Address
from catalog.errors import ProtocolError
from catalog.node.presence import MEMBER_HEALTH, Known, Presence

__all__ = ["Roster"]

log = logging.getLogger("catalog")


class Roster:
    """The agents by name, sorted; a copy that follows gossip."""

    def __init__(self, gossip: rumor.Agent) -> None:
        self._gossip = gossip
        self._known: dict[str, Known] = {}
        self._servers: dict[str, Address] = {}
        self._strange: dict[str, int] = {}
        """Members left out, with the incarnation that was logged."""
        self._bell = trio.Event()
        self.read()

    @property
    def known(self) -> Mapping[str, Known]:
        """All agents, the failed and the departed included."""
        return MappingProxyType(self._known)

    @property
    def servers(self) -> Mapping[str, Address]:
        """The servers that are alive, with their addresses."""
        return MappingProxyType(self._servers)

    @property
    def me(self) -> Known:
        """This agent."""
        return self._known[self._gossip.name]

    async def wait_change(self) -> None:
        """Wait until something changes from now on."""
        await self._bell.wait()

    async def run(self) -> None:
        """Follow gossip, for ever."""
        async with self._gossip.subscribe() as events:
            async for _ in events:
                self.read()

    def read(self) -> None:
        """Look at gossip now."""
        known, strange = {}, {}
        for name, member in sorted(self._gossip.members.items()):
            try:
                presence = Presence.from_meta(member.meta)
            except ProtocolError as error:
                if self._strange.get(name) != member.incarnation:
                    log.warning("member %r is left out: %s", name, error)
                strange[name] = member.incarnation
                continue
            known[name] = Known(name, member.address, MEMBER_HEALTH[member.health], presence)
        self._strange = strange
        if known != self._known:
            self._known = known
            self._servers = {
                name: one.address for name, one in known.items() if one.server and one.alive
            }
            self._bell.set()
            self._bell = trio.Event()
