"""Who is let in: certificates, roles, keys of gossip, and how many connections."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

from catalog import AgentConfig, NoServers, Service, Trust, connect
from catalog.errors import ConfigError
from catalog.operations import Peers
from catalog.rpc.frames import MAGIC
from catalog.server.autopilot import Rules
from quorum.trio.links import MAGIC as QUORUM_MAGIC
from quorum.trio.tls import certificate_names

RULES = Rules(interval=0.1, stable_seconds=0.3, contact_seconds_max=2.0)
ENCRYPT = base64.b64encode(bytes(range(32))).decode()
ROLE = "server.dc1.catalog"


@pytest.fixture
def issue(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Give out certificates, as the settings of an agent."""
    authorities = {"ours": trustme.CA(), "theirs": trustme.CA()}

    def issue(*names: str, authority: str = "ours") -> dict[str, Any]:
        directory = tmp_path / f"{authority}-{'-'.join(names)}"
        directory.mkdir(exist_ok=True)
        issued = authorities[authority].issue_cert(*names)
        files = {name: directory / f"{name}.pem" for name in ("tls_ca", "tls_cert", "tls_key")}
        authorities[authority].cert_pem.write_to_path(files["tls_ca"])
        issued.private_key_pem.write_to_path(files["tls_key"])
        files["tls_cert"].write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        return {**files, "encrypt": ENCRYPT}

    return issue


def trust_of(settings) -> Trust:
    """What a user with such a certificate connects with."""
    return Trust(settings["tls_ca"], settings["tls_cert"], settings["tls_key"])


async def test_a_cluster_by_tls_serves_those_with_a_certificate(agents, issue, caplog):
    """Servers, a client agent and a user; nothing is warned of as insecure."""
    servers = {}
    for name in ("s1", "s2", "s3"):
        join = [servers["s1"].address] if servers else []
        servers[name] = await agents.start_server(
            name, bootstrap_expect=3, join=join, **issue(name, ROLE)
        )
    client = await agents.start("c1", join=[servers["s2"].address], **issue("c1"))
    await client.register(Service("web"))
    async with connect(client.address, trust=trust_of(issue("user"))) as user:
        assert ["web"] == [one.service.id for one in (await user.lookup("web")).instances]

    assert "neither secret nor authentic" not in caplog.text


async def test_strangers_are_refused_with_a_reason(agents, issue, caplog):
    """Without TLS, with it where there is none, or with a certificate of somebody else."""
    caplog.set_level(logging.INFO, logger="catalog")
    server = await agents.start_server("s1", bootstrap_expect=1, **issue("s1", ROLE))
    plain = await agents.start("p1", server=True, bootstrap_expect=1)
    for address, trust, says in (
        (server.address, None, "the caller does not use TLS, this agent does"),
        (plain.address, trust_of(issue("user")), "the caller uses TLS, this agent does not"),
        (server.address, trust_of(issue("x", authority="theirs")), "not accepted"),
    ):
        caplog.clear()
        with pytest.raises(NoServers) as refused:
            async with connect(address, trust=trust):
                pass
        assert says in caplog.text + str(refused.value)


@pytest.mark.parametrize(
    ("certificate", "says"), [(("s2",), "not for a server"), (("s9", ROLE), "not for s2")]
)
async def test_a_clients_certificate_is_no_servers(
    agents, issue, eventually, caplog, certificate, says
):
    """Nor is another server's: with it one gets no vote, and no log."""
    caplog.set_level(logging.INFO)
    first = await agents.start_server(
        "s1", bootstrap_expect=1, autopilot=RULES, **issue("s1", ROLE)
    )
    with trio.fail_after(40):
        await first.wait_leader()
        await agents.start_server("s2", join=[first.address], **issue(*certificate))

    async def is_said() -> bool:
        return says in caplog.text

    await eventually(is_said)
    await trio.sleep(1.0)  # three times what a healthy server needs to become a voter
    report = await first.ask(Peers())
    assert ["s1"] == [peer.name for peer in report.peers if peer.voter]


async def test_agents_give_their_requests_to_servers_only(agents, issue):
    """One that calls itself a server by gossip, and cannot prove it, is not asked."""
    fake = await agents.start("f1", server=True, bootstrap_expect=1, **issue("f1"))
    client = await agents.start("c1", join=[fake.address], hold=0.5, **issue("c1"))
    with pytest.raises(NoServers, match="not for a server"):
        await client.get("key")


async def test_gossip_needs_the_key(agents):
    """An agent with another one, or with none, meets nobody."""
    first = await agents.start("s1", server=True, bootstrap_expect=1, encrypt=ENCRYPT)
    friend = await agents.start("c1", join=[first.address], encrypt=ENCRYPT)
    assert 2 == len(await friend.members())
    for settings in ({}, {"encrypt": base64.b64encode(bytes(32)).decode()}):
        with pytest.raises(Exception, match="nobody answers"):
            async with agents.open("x", join=[first.address], **settings):
                pass


async def test_one_host_gets_no_more_than_its_share(agents):
    """The next connection is closed, and there is room again when one ends."""
    server = await agents.start("s1", server=True, bootstrap_expect=1, connections_per_host_max=2)
    async with connect(server.address), connect(server.address):
        with pytest.raises(NoServers):
            async with connect(server.address):
                pass
    with trio.fail_after(10):
        while True:
            try:
                async with connect(server.address):
                    break
            except NoServers:
                await trio.sleep(0.05)


@pytest.mark.parametrize("magic", [MAGIC, QUORUM_MAGIC])
async def test_whoever_asks_in_clear_is_hung_up_on(agents, issue, magic):
    """By either protocol that TLS guards."""
    server = await agents.start_server("s1", bootstrap_expect=1, **issue("s1", ROLE))
    await server.wait_leader()
    host, port = server.address.split(":")
    stream = await trio.open_tcp_stream(host, int(port))
    async with stream:
        await stream.send_all(magic + bytes(64))
        with trio.fail_after(10):
            with suppress(trio.BrokenResourceError):  # closed with what we sent still unread
                assert b"" == await stream.receive_some()


def test_files_that_do_not_fit_are_named(issue, tmp_path):
    """Before anything is started."""
    files = issue("s1", ROLE)
    other = issue("s2", ROLE)
    for spoilt in (
        {**files, "tls_key": other["tls_key"]},
        {**files, "tls_ca": tmp_path / "none.pem"},
    ):
        with pytest.raises(ConfigError, match="TLS cannot be used with tls_ca"):
            AgentConfig("s1", **spoilt).trust()
    with pytest.raises(ConfigError, match="belong together"):
        AgentConfig("s1", tls_ca=files["tls_ca"])


async def test_certificates_are_renewed_while_it_runs(agents, issue):
    """New connections see the new one; files that do not fit change nothing."""
    files = issue("s1", ROLE)
    server = await agents.start_server("s1", bootstrap_expect=1, **files)
    user = trust_of(issue("user"))

    async def names() -> tuple[str, ...]:
        host, port = server.address.split(":")
        stream = await trio.open_tcp_stream(host, int(port))
        async with stream:
            await stream.send_all(MAGIC)
            return certificate_names(await user.dial(stream, server=True))

    assert ("s1", ROLE) == await names()
    renewed = issue("s1", "renewed", ROLE)
    files["tls_cert"].write_bytes(renewed["tls_cert"].read_bytes())
    with pytest.raises(ConfigError, match="TLS cannot be used"):
        server.renew_certificates()
    assert ("s1", ROLE) == await names()
    files["tls_key"].write_bytes(renewed["tls_key"].read_bytes())
    server.renew_certificates()
    assert ("s1", "renewed", ROLE) == await names()
