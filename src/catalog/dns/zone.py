"""The records of the zone: what a node, an instance or the zone itself is in DNS.

An instance has an address of its own or its node's; where it is a host name, the answer is a CNAME
(for an address) or names it directly (for SRV). The target of an SRV record must be a name
(RFC 2782): the node's, or `<hex>.addr` where the service has an address of its own; its addresses
come along as additional records, so that one question is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

import dns.exception
import dns.name
import dns.rdatatype
import dns.rrset
from attrs import field, frozen
from dns.rdatatype import RdataType

__all__ = ["Endpoint", "Records", "Zone"]

PRIORITY: Final = 1
"""Of every SRV record: choice is by weight."""
SERVERS_MAX: Final = 3
"""Name servers that are named; Consul's number."""
REFRESH, RETRY, EXPIRE, MINIMUM = 3600, 600, 86400, 0
"""Of the SOA record, in seconds; the last is how long a name that is not there may be cached."""
TEXT_BYTES_MAX: Final = 255


@frozen
class Endpoint:
    """A node, or an instance on it: all that DNS needs to know of it."""

    node: str
    address: str
    """An IP address or a host name."""
    port: int = 0
    weight: int = 1
    own_address: bool = False
    """Whether the address is the instance's own and not its node's."""
    meta: Mapping[str, str] = field(factory=dict, hash=False)
    """The node's."""


@frozen
class Records:
    """Two sections of a reply."""

    answer: tuple[dns.rrset.RRset, ...] = ()
    additional: tuple[dns.rrset.RRset, ...] = ()

    def beginning_with(self, record: dns.rrset.RRset) -> Records:
        """Return these with one more, in front."""
        return Records((record, *self.answer), self.additional)


@frozen
class Zone:
    """A domain, and how long its records may be kept."""

    domain: dns.name.Name
    datacenter: str
    node_ttl: int = 0
    service_ttl: int = 0

    def addresses(
        self, owner: dns.name.Name, kind: RdataType, ends: Iterable[Endpoint], *, ttl: int
    ) -> Records:
        """Return A and AAAA records of these; where there are host names only, one CNAME."""
        found = [one for end in ends for one in self._addresses(owner, end.address, kind, ttl)]
        # A CNAME stands alone (RFC 1034, 3.6.2).
        direct = [one for one in found if one.rdtype is not RdataType.CNAME]
        return Records(_merged(direct or found[:1]))

    def node(self, owner: dns.name.Name, kind: RdataType, end: Endpoint) -> Records:
        """Return the records of a node: its address, and its metadata as texts."""
        answer = list(self._addresses(owner, end.address, kind, self.node_ttl))
        aliased = any(one.rdtype is RdataType.CNAME for one in answer)
        if kind in (RdataType.TXT, RdataType.ANY) and not aliased:
            texts = sorted(_texts(end.meta))
            answer += [_record(owner, self.node_ttl, "TXT", text) for text in texts]
        return Records(_merged(answer))

    def service(
        self, owner: dns.name.Name, kind: RdataType, ends: Iterable[Endpoint], *, ttl: int
    ) -> Records:
        """Return the records of instances, in their order: addresses, or SRV with addresses."""
        if kind is not RdataType.SRV:
            return self.addresses(owner, kind, ends, ttl=ttl)
        answer: list[dns.rrset.RRset] = []
        additional: list[dns.rrset.RRset] = []
        for end in ends:
            target = self.target(end)
            answer.append(
                _record(owner, ttl, "SRV", f"{PRIORITY} {end.weight} {end.port} {target}")
            )
            additional += self._addresses(target, end.address, RdataType.ANY, ttl)
        return Records(_merged(answer), _merged(additional))

    def target(self, end: Endpoint) -> dns.name.Name:
        """Return the name that an SRV record points to."""
        address = _ip(end.address)
        if address is None:
            return _host(end.address) or self._below("00000000", "addr")
        node = None if end.own_address else self._named(end.node, "node")
        return node or self._below(address.packed.hex(), "addr")

    def pointers(self, owner: dns.name.Name, names: Iterable[tuple[str, str]]) -> Records:
        """Return PTR records to names of a kind, `node` or `service`."""
        targets = [self._named(name, kind) for name, kind in names]
        return Records(
            _merged(
                _record(owner, self.node_ttl, "PTR", str(target))
                for target in targets
                if target is not None
            )
        )

    def start(self, *, serial: int) -> dns.rrset.RRset:
        """Return the SOA record, which also says that a name or type is not there (RFC 2308)."""
        ns, mail = dns.name.Name((b"ns",)), dns.name.Name((b"hostmaster",))
        values = f"{serial % 2**32} {REFRESH} {RETRY} {EXPIRE} {MINIMUM}"
        text = f"{ns.derelativize(self.domain)} {mail.derelativize(self.domain)} {values}"
        return _record(self.domain, 0, "SOA", text)

    def servers(self, ends: Iterable[Endpoint]) -> Records:
        """Return the NS records of the zone, with addresses."""
        answer: list[dns.rrset.RRset] = []
        additional: list[dns.rrset.RRset] = []
        for end in list(ends)[:SERVERS_MAX]:
            target = self.target(end)
            answer.append(_record(self.domain, self.node_ttl, "NS", str(target)))
            additional += self._addresses(target, end.address, RdataType.ANY, self.node_ttl)
        return Records(_merged(answer), _merged(additional))

    def _named(self, name: str, kind: str) -> dns.name.Name | None:
        """Return the name of a node or service; `None`: DNS has no way to spell it."""
        try:
            return self._below(name, kind) if name.isascii() else None
        except dns.exception.DNSException:
            return None

    def _below(self, name: str, kind: str) -> dns.name.Name:
        labels = (*name.split("."), kind, self.datacenter)
        return dns.name.Name(tuple(label.encode() for label in labels)).derelativize(self.domain)

    def _addresses(
        self, owner: dns.name.Name, text: str, kind: RdataType, ttl: int
    ) -> Iterator[dns.rrset.RRset]:
        wanted: Callable[[str], bool] = lambda one: kind in (RdataType.ANY, RdataType[one])
        match _ip(text):
            case IPv4Address() as address:
                if wanted("A"):
                    yield _record(owner, ttl, "A", str(address))
            case IPv6Address() as address:
                if wanted("AAAA"):
                    yield _record(owner, ttl, "AAAA", str(address))
            case None:
                host = _host(text)
                # A CNAME to itself would send resolvers in circles.
                if host is not None and host != owner and _has_addresses(kind):
                    yield _record(owner, ttl, "CNAME", str(host))


def _has_addresses(kind: RdataType) -> bool:
    return kind in (RdataType.A, RdataType.AAAA, RdataType.CNAME, RdataType.ANY)


def _record(owner: dns.name.Name, ttl: int, kind: str, text: str) -> dns.rrset.RRset:
    return dns.rrset.from_text(owner, ttl, "IN", kind, text)


def _merged(records: Iterable[dns.rrset.RRset]) -> tuple[dns.rrset.RRset, ...]:
    """Join records of one name and type into one set each; the order stays, doubles go."""
    sets: dict[tuple[dns.name.Name, RdataType], dns.rrset.RRset] = {}
    for record in records:
        key = (record.name, record.rdtype)
        if key in sets:
            for rdata in record:
                sets[key].add(rdata)
        else:
            sets[key] = record
    return tuple(sets.values())


def _texts(meta: Mapping[str, str]) -> Iterator[str]:
    """Yield metadata as quoted texts (RFC 1464); a key `rfc1035-...` is sent as its value alone."""
    for key, value in meta.items():
        text = value if key.lower().startswith("rfc1035-") else f"{key}={value}"
        data = text.encode()[:TEXT_BYTES_MAX]
        yield '"' + "".join(f"\\{byte:03d}" for byte in data) + '"'


def _ip(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _host(text: str) -> dns.name.Name | None:
    try:
        return dns.name.from_text(text)
    except (dns.exception.DNSException, UnicodeError):
        return None
