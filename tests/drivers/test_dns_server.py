"""DNS on loopback ports, asked by dnspython's client."""

from __future__ import annotations

from functools import partial
from ipaddress import ip_address

import dns.asyncquery
import dns.flags
import dns.message
import pytest
import trio
from attrs import evolve
from dns.rcode import Rcode
from dns.rdatatype import RdataType

import catalog.dns.server
from catalog.agent import open_catalog
from catalog.commands import SetQuery
from catalog.config import AgentConfig
from catalog.dns.server import serve_dns
from catalog.dns.settings import DnsSettings
from catalog.errors import StartError
from catalog.model import Service, Status, TtlCheck, Weights
from catalog.queries import PreparedQuery, QueryService
from catalog.requests import Write
from quorum import Config


@pytest.fixture
async def agent():
    """A server that leads; quick to elect itself."""
    config = AgentConfig(
        "n1",
        server=True,
        bind="127.0.0.1:0",
        bootstrap_expect=1,
        raft=Config(heartbeat=0.02, election_timeout=0.15, disk_grace=2.0),
    )
    async with open_catalog(config) as agent:
        await agent.wait_leader()
        yield agent


@pytest.fixture
async def serve(agent, nursery):
    """Starts a DNS interface in front of it, with settings."""

    async def serve(**settings):
        start = partial(serve_dns, datacenter="dc1", settings=DnsSettings(**settings))
        return await nursery.start(start, agent, "127.0.0.1:0")

    return serve


async def ask(address, name: str, kind: str, *, tcp: bool = False, **more) -> dns.message.Message:
    query = dns.message.make_query(name, kind, **more)
    send = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
    host, port = address
    return await send(query, host, port=port, timeout=5)


def texts(reply: dns.message.Message) -> list[str]:
    return sorted(str(one) for each in reply.answer for one in each)


def instance(number: int, status: Status = Status.PASSING, **more) -> Service:
    check = TtlCheck(60, status=status)
    return Service(
        "web", f"web{number}", address=f"10.0.0.{number}", port=80, checks=(check,), **more
    )


async def test_instances_are_found_by_name_and_tag(agent, serve):
    """In any case, with a data centre or without, as RFC 2782 spells it."""
    address = await serve()
    await agent.register(instance(1, tags=("Blue",)))
    await agent.register(instance(2))

    for name in ("web.service.consul", "WEB.Service.dc1.Consul", "_web._tcp.service.consul"):
        assert ["10.0.0.1", "10.0.0.2"] == texts(await ask(address, name, "A"))
    for name in ("blue.web.service.consul", "_web._blue.service.consul"):
        assert ["10.0.0.1"] == texts(await ask(address, name, "A"))


async def test_what_is_critical_or_leaving_is_left_out(agent, serve):
    """Warnings stay, unless they are unwanted."""
    await agent.register(instance(1))
    await agent.register(instance(2, Status.WARNING))
    await agent.register(instance(3, Status.CRITICAL))
    await agent.register(evolve(instance(4), terminating=True))

    found = texts(await ask(await serve(), "web.service.consul", "A"))
    assert ["10.0.0.1", "10.0.0.2"] == found
    strict = await serve(only_passing=True)
    assert ["10.0.0.1"] == texts(await ask(strict, "web.service.consul", "A"))


async def test_srv_has_weights_and_addresses(agent, serve):
    """The weight is that of the state."""
    address = await serve(service_ttl=5)
    weights = Weights(passing=7, warning=2)
    await agent.register(instance(1, weights=weights))
    await agent.register(instance(2, Status.WARNING, weights=weights))
    await agent.register(Service("api", port=90))

    reply = await ask(address, "web.service.consul", "SRV")
    assert [
        "1 2 80 0a000002.addr.dc1.consul.",
        "1 7 80 0a000001.addr.dc1.consul.",
    ] == texts(reply)
    assert {5} == {one.ttl for one in reply.answer}
    assert {"10.0.0.1", "10.0.0.2"} == {str(one[0]) for one in reply.additional}
    assert ["1 1 90 n1.node.dc1.consul."] == texts(await ask(address, "api.service.consul", "SRV"))
    assert ["10.0.0.1"] == texts(await ask(address, "0a000001.addr.dc1.consul", "A"))


async def test_nodes_and_servers_are_found(serve):
    """By name and by address."""
    address = await serve()

    assert ["127.0.0.1"] == texts(await ask(address, "n1.node.consul", "A"))
    assert ["n1.node.dc1.consul."] == texts(await ask(address, "consul", "NS"))
    assert [] == texts(await ask(address, "n1.node.consul", "AAAA"))
    reverse = ip_address("127.0.0.1").reverse_pointer
    assert ["n1.node.dc1.consul."] == texts(await ask(address, reverse, "PTR"))
    soa = await ask(address, "consul", "SOA")
    assert soa.answer[0][0].refresh == 3600


async def test_what_is_not_there_is_told_from_what_has_not_this_type(agent, serve):
    """NXDOMAIN and NODATA, both with SOA; names of others are refused."""
    address = await serve(alt_domain="sd.local")
    await agent.register(instance(1))

    for name, kind, code in (
        ("none.service.consul", "A", Rcode.NXDOMAIN),
        ("red.web.service.consul", "A", Rcode.NXDOMAIN),
        ("none.node.consul", "A", Rcode.NXDOMAIN),
        ("none.query.consul", "A", Rcode.NXDOMAIN),
        ("web.service.dc2.consul", "A", Rcode.NXDOMAIN),
        ("a b.service.consul", "A", Rcode.NXDOMAIN),
        ("web.service.consul", "MX", Rcode.NOERROR),
        ("web.service.sd.local", "MX", Rcode.NOERROR),
        ("service.consul", "A", Rcode.NOERROR),
    ):
        reply = await ask(address, name, kind)
        assert code == reply.rcode(), name
        assert RdataType.SOA == reply.authority[0].rdtype, name
        assert [] == reply.answer
    assert Rcode.REFUSED == (await ask(address, "example.org", "A")).rcode()


async def test_prepared_queries_have_names(agent, serve):
    """With their own TTL."""
    address = await serve()
    await agent.register(instance(1))
    await agent.ask(
        Write(SetQuery(PreparedQuery("q1", QueryService("web"), name="near", dns_ttl=9)))
    )

    reply = await ask(address, "near.query.consul", "A")

    assert ["10.0.0.1"] == texts(reply)
    assert 9 == reply.answer[0].ttl


async def test_a_large_answer_is_cut_and_whole_over_tcp(agent, serve):
    """TC tells the client to come again; EDNS makes room."""
    address = await serve()
    for number in range(1, 61):
        await agent.register(instance(number))

    cut = await ask(address, "web.service.consul", "A")
    assert cut.flags & dns.flags.TC
    assert 20 < len(texts(cut)) < 60
    roomy = await ask(address, "web.service.consul", "A", use_edns=0, payload=4096)
    whole = await ask(address, "web.service.consul", "A", tcp=True)
    for reply in (roomy, whole):
        assert not reply.flags & dns.flags.TC
        assert 60 == len(texts(reply))


async def test_recursors_know_the_names_of_others(agent, serve):
    """The next one is asked where one is silent; with none alive it is a failure."""
    await agent.register(instance(1))
    other = await serve(domain="elsewhere")
    upstream = f"127.0.0.1:{other[1]}"
    address = await serve(recursors=("127.0.0.1:1", upstream), recursor_timeout=0.3)

    reply = await ask(address, "web.service.elsewhere", "A")
    assert ["10.0.0.1"] == texts(reply)
    assert reply.flags & dns.flags.RA
    dead = await serve(recursors=("127.0.0.1:1",), recursor_timeout=0.2)
    assert Rcode.SERVFAIL == (await ask(dead, "example.org", "A")).rcode()


async def test_garbage_is_survived(serve):
    """Over UDP and TCP; whoever asks properly is answered."""
    address = await serve()
    with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as datagrams:
        for data in (b"", b"x", bytes(12), bytes(range(200)), b"\xff" * 600):
            await datagrams.sendto(data, address)
    for data in (b"\x00", b"\x00\x05hello", b"\xff\xff" + bytes(100), b"\x00\x00"):
        async with await trio.open_tcp_stream(*address) as stream:
            await stream.send_all(data)

    assert ["127.0.0.1"] == texts(await ask(address, "n1.node.consul", "A"))
    assert ["127.0.0.1"] == texts(await ask(address, "n1.node.consul", "A", tcp=True))


async def test_silent_connections_are_closed_and_few(serve, monkeypatch):
    """One more than the limit is closed at once."""
    monkeypatch.setattr(catalog.dns.server, "IDLE_SECONDS", 0.5)
    monkeypatch.setattr(catalog.dns.server, "CONNECTIONS_MAX", 2)
    address = await serve()
    streams = [await trio.open_tcp_stream(*address) for _ in range(2)]
    await trio.sleep(0.1)
    async with await trio.open_tcp_stream(*address) as third:
        with trio.fail_after(0.3):
            assert b"" == await third.receive_some()
    for stream in streams:
        with trio.fail_after(5):
            assert b"" == await stream.receive_some()
        await stream.aclose()


async def test_a_port_that_is_taken_is_said(agent, serve):
    """With the address."""
    _, port = await serve()

    with pytest.raises(StartError, match=str(port)):
        await serve_dns(agent, f"127.0.0.1:{port}", datacenter="dc1")
