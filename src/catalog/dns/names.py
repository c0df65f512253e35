"""What a name in the registry's domain asks for.

    web.service.consul            instances of web
    blue.web.service.consul       those with the tag blue; a tag may hold dots
    _web._tcp.service.consul      the same as RFC 2782 spells it; _web._blue: with a tag
    db1.node.consul               a node
    nearest.query.consul          a prepared query
    7f000001.addr.consul          the address that is spelled there: targets of SRV records
    consul                        the zone itself

A data centre may stand before the domain: `web.service.dc1.consul`. Addresses of the reverse trees
(RFC 1035, 3.5; RFC 3596, 2.5) are asked for by PTR.

Names compare without regard to case (RFC 4343): they come out of here as they were sent, and
whoever compares folds them.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, TypeAlias

from attrs import frozen

__all__ = [
    "Apex",
    "Asked",
    "Branch",
    "Foreign",
    "Nothing",
    "OfAddress",
    "OfNode",
    "OfQuery",
    "OfService",
    "Reverse",
    "parse_name",
]

IPAddress: TypeAlias = IPv4Address | IPv6Address

KINDS: Final = ("service", "node", "query", "addr")
REVERSE_V4: Final = ("in-addr", "arpa")
REVERSE_V6: Final = ("ip6", "arpa")


@frozen
class Apex:
    """The zone itself: who serves it."""


@frozen
class Branch:
    """A name that has no records itself, for those below it (an empty non-terminal).

    It exists: a resolver that asks label by label (RFC 9156) would stop at NXDOMAIN (RFC 8020).
    """


@frozen
class OfNode:
    """A node."""

    name: str


@frozen
class OfService:
    """The instances of a service."""

    name: str
    tag: str | None = None


@frozen
class OfQuery:
    """What a prepared query finds."""

    name: str


@frozen
class OfAddress:
    """An address that the name itself spells."""

    address: IPAddress


@frozen
class Reverse:
    """The names that have an address."""

    address: IPAddress


@frozen
class Nothing:
    """A name in our domain that can never exist."""


@frozen
class Foreign:
    """A name of another domain."""


Asked: TypeAlias = (
    Apex | Branch | OfNode | OfService | OfQuery | OfAddress | Reverse | Nothing | Foreign
)


def parse_name(
    labels: tuple[str, ...], *, domains: tuple[tuple[str, ...], ...], datacenter: str
) -> Asked:
    """Return what a name asks for.

    Args:
        labels: of the name, the root's empty one left out.
        domains: the labels of each domain that is ours, in lower case.
        datacenter: the only one whose names exist.

    """
    folded = tuple(label.lower() for label in labels)
    if folded[-2:] in (REVERSE_V4, REVERSE_V6):
        return _reverse(folded)
    for domain in domains:
        if folded[-len(domain) :] == domain:
            return _ours(labels[: -len(domain)], datacenter)
    return Foreign()


def _ours(labels: tuple[str, ...], datacenter: str) -> Asked:
    if not labels:
        return Apex()
    if labels[-1].lower() not in KINDS:
        # Then it is a data centre, and the kind stands before it.
        if labels[-1].lower() != datacenter.lower():
            return Nothing()
        if len(labels) == 1:
            return Branch()
        labels = labels[:-1]
        if labels[-1].lower() not in KINDS:
            return Nothing()
    *front, kind = labels
    if not front:
        return Branch()
    match kind.lower():
        case "service":
            return _service(tuple(front))
        case "node":
            return OfNode(".".join(front))
        case "query":
            return OfQuery(".".join(front))
        case "addr" if len(front) == 1:
            return _address(front[0])
        case _:
            return Nothing()


def _service(front: tuple[str, ...]) -> OfService | Branch:
    if len(front) == 1 and front[0].startswith("_"):
        return Branch()  # the protocol of RFC 2782 names
    if len(front) == 2 and all(len(label) > 1 and label[0] == "_" for label in front):
        # RFC 2782: _service._protocol; a protocol that is no transport is a tag.
        tag = front[1][1:]
        return OfService(front[0][1:], None if tag.lower() in ("tcp", "udp") else tag)
    return OfService(front[-1], ".".join(front[:-1]) or None)


def _address(spelled: str) -> Asked:
    if len(spelled) not in (8, 32):
        return Nothing()
    try:
        return OfAddress(ip_address(bytes.fromhex(spelled)))
    except ValueError:
        return Nothing()


def _reverse(labels: tuple[str, ...]) -> Asked:
    parts = labels[-3::-1]
    try:
        if labels[-2:] == REVERSE_V4:
            return Reverse(IPv4Address(".".join(parts)))
        if len(parts) != 32 or not all(len(part) == 1 for part in parts):
            return Foreign()
        return Reverse(IPv6Address(bytes.fromhex("".join(parts))))
    except ValueError:
        return Foreign()
