"""Records of nodes, instances and the zone."""

from __future__ import annotations

import dns.name
import pytest
from dns.rdatatype import RdataType

from catalog.dns.zone import Endpoint, Records, Zone

OWNER = dns.name.from_text("web.service.consul")


@pytest.fixture
def zone() -> Zone:
    """A zone whose records may be kept for some seconds."""
    return Zone(dns.name.from_text("consul"), "dc1", node_ttl=5)


def texts(records: Records) -> list[str]:
    """The records of the answer, a line each."""
    return [line for one in records.answer for line in one.to_text().splitlines()]


def test_addresses_are_of_the_family_asked_for(zone):
    """A for IPv4, AAAA for IPv6, both for ANY."""
    ends = (Endpoint("a", "10.0.0.1"), Endpoint("b", "fe80::1"))

    for kind, count in (("A", 1), ("AAAA", 1), ("ANY", 2), ("TXT", 0)):
        assert count == len(zone.service(OWNER, RdataType[kind], ends, ttl=0).answer)


def test_addresses_keep_their_order_and_come_once(zone):
    """The caller has shuffled or sorted them."""
    ends = [Endpoint(name, address) for name, address in (("a", "10.0.0.2"), ("b", "10.0.0.1"))]

    found = texts(zone.service(OWNER, RdataType.A, [*ends, ends[0]], ttl=3))

    assert [
        "web.service.consul. 3 IN A 10.0.0.2",
        "web.service.consul. 3 IN A 10.0.0.1",
    ] == found


def test_a_host_name_is_an_alias(zone):
    """But not beside addresses: a CNAME stands alone."""
    alias, direct = Endpoint("a", "www.example.org"), Endpoint("b", "10.0.0.1")

    assert ["web.service.consul. 0 IN CNAME www.example.org."] == texts(
        zone.service(OWNER, RdataType.A, (alias, alias), ttl=0)
    )
    assert ["web.service.consul. 0 IN A 10.0.0.1"] == texts(
        zone.service(OWNER, RdataType.A, (alias, direct), ttl=0)
    )


def test_an_alias_of_itself_is_left_out(zone):
    """Resolvers would go in circles."""
    end = Endpoint("a", "web.service.consul")

    assert [] == texts(zone.service(OWNER, RdataType.A, (end,), ttl=0))


def test_srv_names_the_node_and_brings_its_address(zone):
    """With the weight and the port."""
    found = zone.service(OWNER, RdataType.SRV, (Endpoint("n1", "10.0.0.1", 80, 7),), ttl=0)

    assert ["web.service.consul. 0 IN SRV 1 7 80 n1.node.dc1.consul."] == texts(found)
    assert ["n1.node.dc1.consul. 0 IN A 10.0.0.1"] == [one.to_text() for one in found.additional]


@pytest.mark.parametrize(
    ("end", "target"),
    [
        (Endpoint("n1", "10.0.0.1"), "n1.node.dc1.consul."),
        (Endpoint("n1", "10.0.0.1", own_address=True), "0a000001.addr.dc1.consul."),
        (Endpoint("n\u00f6de", "10.0.0.1"), "0a000001.addr.dc1.consul."),
        (Endpoint("n" * 64, "10.0.0.1"), "0a000001.addr.dc1.consul."),
        (Endpoint("n" * 60 + ".x" * 90, "10.0.0.1"), "0a000001.addr.dc1.consul."),
        (Endpoint("n1", "db.example.org"), "db.example.org."),
        (Endpoint("a.b", "10.0.0.1"), "a.b.node.dc1.consul."),
    ],
)
def test_a_target_is_a_name_that_can_be_asked_for(zone, end, target):
    """The node's, or one that spells the address."""
    assert target == str(zone.target(end))


def test_metadata_of_a_node_are_texts(zone):
    """Quotes and all; a key that begins with rfc1035- gives its value alone."""
    end = Endpoint("n1", "10.0.0.1", meta={"a": 'q"', "rfc1035-x": "v=spf1"})

    found = zone.node(dns.name.from_text("n1.node.consul"), RdataType.TXT, end)

    assert {b'a=q"', b"v=spf1"} == {text for one in found.answer[0] for text in one.strings}


def test_pointers_lead_to_names(zone):
    """What cannot be spelled is left out."""
    owner = dns.name.from_text("1.0.0.10.in-addr.arpa")

    found = zone.pointers(owner, [("n1", "node"), ("\u00fc", "node")])

    assert ["1.0.0.10.in-addr.arpa. 5 IN PTR n1.node.dc1.consul."] == texts(found)


def test_the_zone_begins_with_its_soa(zone):
    """With Consul's numbers."""
    expected = "consul. 0 IN SOA ns.consul. hostmaster.consul. 9 3600 600 86400 0"

    assert expected == zone.start(serial=9).to_text()


def test_no_more_than_three_servers_are_named(zone):
    """With their addresses."""
    found = zone.servers([Endpoint(f"s{number}", f"10.0.0.{number}") for number in range(5)])

    assert 3 == len(texts(found)) == len(found.additional)
