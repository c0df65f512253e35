"""What names ask for."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    parse_name,
)


def parse(name: str) -> Asked:
    return parse_name(
        tuple(name.split(".")), domains=(("consul",), ("sd", "local")), datacenter="dc1"
    )


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("consul", Apex()),
        ("Sd.Local", Apex()),
        ("web.service.consul", OfService("web")),
        ("web.service.dc1.consul", OfService("web")),
        ("web.SERVICE.DC1.sd.local", OfService("web")),
        ("Web.service.consul", OfService("Web")),
        ("blue.web.service.consul", OfService("web", "blue")),
        ("v1.2.web.service.consul", OfService("web", "v1.2")),
        ("_web._tcp.service.consul", OfService("web")),
        ("_web._UDP.service.consul", OfService("web")),
        ("_web._blue.service.consul", OfService("web", "blue")),
        ("db1.node.consul", OfNode("db1")),
        ("db1.rack.node.dc1.consul", OfNode("db1.rack")),
        ("near.query.consul", OfQuery("near")),
        ("7f000001.addr.dc1.consul", OfAddress(ip_address("127.0.0.1"))),
        ("fe80" + "0" * 27 + "1.addr.consul", OfAddress(ip_address("fe80::1"))),
        ("4.3.2.1.in-addr.arpa", Reverse(ip_address("1.2.3.4"))),
        ("1." + "0." * 27 + "0.8.e.f.ip6.arpa", Reverse(ip_address("fe80::1"))),
    ],
)
def test_names_are_understood(name, asked):
    """In any case, with a data centre or without."""
    assert asked == parse(name)


@pytest.mark.parametrize(
    "name", ["service.consul", "node.dc1.consul", "dc1.consul", "_tcp.service.consul"]
)
def test_names_above_others_exist(name):
    """Resolvers that ask label by label must not be told that nothing is there."""
    assert Branch() == parse(name)


@pytest.mark.parametrize(
    "name",
    ["web.consul", "web.service.dc2.consul", "web.x.dc1.consul", "7f00000g.addr.consul"],
)
def test_names_that_cannot_exist_are_ours_all_the_same(name):
    """We may say that they do not."""
    assert Nothing() == parse(name)


@pytest.mark.parametrize("name", ["example.org", "consul.org", "x.in-addr.arpa", "1.ip6.arpa"])
def test_names_of_others_are_not_ours(name):
    """Recursors know them, if anybody does."""
    assert Foreign() == parse(name)


@given(st.lists(st.text(max_size=9), max_size=6))
def test_no_name_breaks_the_parser(labels):
    """Whatever the labels hold, with our domain behind them or not."""
    for behind in ((), ("consul",), ("service", "consul"), ("addr", "consul"), ("ip6", "arpa")):
        parse_name((*labels, *behind), domains=(("consul",),), datacenter="dc1")
