"""Ask the catalog for what a name asks for.

Answers come from any server, at once, and may be a little behind: a name that can be resolved
without a leader is worth more than the last tenth of a second.
What is critical is left out, and what is about to go.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from random import Random

import dns.name
from dns.rdatatype import RdataType

from catalog.api import Catalog
from catalog.dns.names import (
    Apex,
    Asked,
    Branch,
    Foreign,
    Nothing,
    OfAddress,
    OfNode,
    OfQuery,
    OfService,
    Reverse,
)
from catalog.dns.settings import DnsSettings
from catalog.dns.zone import Endpoint, Records, Zone
from catalog.model import Instance, NodeView, Role, Status
from catalog.requests import (
    AskedNode,
    Consistency,
    ExecuteQuery,
    Lookup,
    MemberHealth,
    Members,
    Nodes,
)

__all__ = ["Resolver"]


class Resolver:
    """Finds the records of a name."""

    def __init__(
        self, catalog: Catalog, zone: Zone, settings: DnsSettings, *, random: Random
    ) -> None:
        self._catalog = catalog
        self._zone = zone
        self._settings = settings
        self._random = random

    async def find(self, asked: Asked, owner: dns.name.Name, kind: RdataType) -> Records | None:
        """Return the records of a name, none of them if it has none of this type.

        `None`: there is no such name. Raises what asking the catalog raises.
        """
        zone = self._zone
        match asked:
            case Apex():
                return await self._apex(kind)
            case Branch():
                return Records()
            case OfAddress(address):
                end = Endpoint("", str(address))
                return zone.addresses(owner, kind, (end,), ttl=self._settings.node_ttl)
            case OfNode(name):
                view = await self._node(name)
                return None if view is None else zone.node(owner, kind, _of_node(view))
            case OfService(name, tag):
                ends = await self._instances(name, tag)
                self._random.shuffle(ends)
                ttl = self._settings.service_ttl
                return zone.service(owner, kind, ends, ttl=ttl) if ends else None
            case OfQuery(name):
                return await self._query(name, owner, kind)
            case Reverse(address):
                names = await self._names(address)
                return zone.pointers(owner, names) if names else None
            case Nothing() | Foreign():
                return None

    async def _apex(self, kind: RdataType) -> Records:
        if kind not in (RdataType.NS, RdataType.ANY):
            return Records()
        members = await self._catalog.ask(Members())
        servers = [
            Endpoint(member.name, member.address.rpartition(":")[0].strip("[]"))
            for member in members
            if member.role is Role.SERVER and member.health is MemberHealth.ALIVE
        ]
        self._random.shuffle(servers)
        return self._zone.servers(servers)

    async def _node(self, name: str) -> NodeView | None:
        for spelling in _spellings(name):
            reply = await self._catalog.ask(AskedNode(spelling, consistency=Consistency.STALE))
            if reply.value is not None:
                return reply.value
        return None

    async def _instances(self, name: str, tag: str | None) -> list[Endpoint]:
        for spelling in _spellings(name):
            request = Lookup(spelling, healthy=False, consistency=Consistency.STALE)
            instances = (await self._catalog.ask(request)).value.instances
            if instances:
                return [
                    _of_instance(one)
                    for one in instances
                    if self._is_fit(one) and (tag is None or _has_tag(one, tag))
                ]
        return []

    async def _query(self, name: str, owner: dns.name.Name, kind: RdataType) -> Records | None:
        for spelling in _spellings(name):
            request = ExecuteQuery(spelling, consistency=Consistency.STALE)
            result = (await self._catalog.ask(request)).value
            if result is not None:
                break
        else:
            return None
        ends = [_of_instance(one) for one in result.instances]
        if not result.query.service.near:  # else their order is the answer
            self._random.shuffle(ends)
        kept = result.query.dns_ttl
        ttl = self._settings.service_ttl if kept is None else int(kept)
        return self._zone.service(owner, kind, ends, ttl=ttl) if ends else None

    def _is_fit(self, instance: Instance) -> bool:
        if self._settings.only_passing:
            return instance.healthy
        return instance.status is not Status.CRITICAL and not instance.service.terminating

    async def _names(self, address: IPv4Address | IPv6Address) -> list[tuple[str, str]]:
        """Return the node that has an address, or else the services that have it of their own."""
        views = (await self._catalog.ask(Nodes(consistency=Consistency.STALE))).value
        text = str(address)
        nodes = [(view.node.name, "node") for view in views if view.node.address == text]
        services = {
            one.service.name: "service"
            for view in views
            for one in view.instances
            if one.service.address == text
        }
        return nodes or list(services.items())


def _spellings(name: str) -> tuple[str, ...]:
    """Return a name as it was sent, and in lower case: resolvers play with the case."""
    return (name,) if name == name.lower() else (name, name.lower())


def _has_tag(instance: Instance, tag: str) -> bool:
    return any(one.lower() == tag.lower() for one in instance.service.tags)


def _of_node(view: NodeView) -> Endpoint:
    return Endpoint(view.node.name, view.node.address, meta=view.node.meta)


def _of_instance(one: Instance) -> Endpoint:
    own = bool(one.service.address) and one.service.address != one.node.address
    weights = one.service.weights
    weight = weights.warning if one.status is Status.WARNING else weights.passing
    return Endpoint(one.node.name, one.address, one.service.port, weight, own_address=own)
