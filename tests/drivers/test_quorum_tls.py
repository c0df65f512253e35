"""Tests of quorum.trio.tls: who is let in, who is not, and what both ends are told."""

from __future__ import annotations

import datetime as dt
import ssl
from random import Random

import pytest
import trio
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from quorum import ConfigError, ProtocolError, TcpLinks, Tls
from quorum.effects import Send
from quorum.framing import frame
from quorum.messages import InstallSnapshot, SnapshotMark, TimeoutNow
from quorum.storage.memory import MemoryIncoming, MemorySnapshot
from quorum.trio import connection, links
from quorum.trio.connection import MAGIC, greet
from quorum.wire import Hello, encode_hello

LIMIT = 1 << 20
NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


class Mailbox:
    """A receiver that keeps what it gets."""

    def __init__(self):
        self.events = []
        self.snapshots = []

    def received(self, events):
        self.events.extend(events)

    async def receive_snapshot(self, mark):
        return MemoryIncoming(lambda _: None)

    async def snapshot_received(self, sender, message, snapshot):
        self.snapshots.append((sender, message, bytes(snapshot.data)))


class Office:
    """Gives certificates out, as files."""

    def __init__(self, directory):
        self._directory = directory
        self._count = 0
        self.ours, self.foreign = trustme.CA(), trustme.CA()

    def write(self, content):
        self._count += 1
        path = self._directory / f"{self._count}.pem"
        path.write_bytes(content)
        return path

    def issue(self, *names, authority=None, until=NOW + DAY):
        signer = authority or self.ours
        issued = signer.issue_cert(*names, not_after=until)
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        return self._tls(chain, issued.private_key_pem.bytes())

    def issue_uri(self, uri):
        """A name that is no host name."""
        signer = serialization.load_pem_private_key(self.ours.private_key_pem.bytes(), None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        authority = x509.load_pem_x509_certificate(self.ours.cert_pem.bytes())
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(authority.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - DAY)
            .not_valid_after(NOW + DAY)
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=True
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
                critical=False,
            )
            .sign(signer, hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return self._tls(certificate.public_bytes(serialization.Encoding.PEM), private)

    def _tls(self, chain, key):
        return Tls(self.write(chain), self.write(key), self.write(self.ours.cert_pem.bytes()))


@pytest.fixture
def office(tmp_path):
    """Two authorities, one of them ours."""
    return Office(tmp_path)


async def open_links(nursery, id, tls):
    """A running link and its mailbox."""
    link = TcpLinks(id, "test", listen=("127.0.0.1", 0), tls=tls, random=Random(id))
    mailbox = Mailbox()
    await nursery.start(link.run, mailbox)
    return link, mailbox


async def wait_until(condition):
    """Wait for what other tasks bring about, a few seconds at most."""
    with trio.fail_after(5):
        while not condition():  # noqa: ASYNC110 - sockets have no events for tests
            await trio.sleep(0.002)


async def call(link):
    """A stranger's connection to this link."""
    host, _, port = link.address.rpartition(":")
    return await trio.open_tcp_stream(host, int(port))


async def refusal(nursery, tls_ann, tls_bob, caplog):
    """Let ann dial bob; return what both ends logged. Nothing may arrive."""
    ann, _ = await open_links(nursery, "ann", tls_ann)
    bob, mailbox = await open_links(nursery, "bob", tls_bob)
    ann.learn("bob", bob.address)
    began = trio.current_time()
    ann.send([Send("bob", TimeoutNow(1))])
    await wait_until(lambda: "ann cannot reach bob" in caplog.text and "bob closes" in caplog.text)
    assert trio.current_time() - began < 3, "nobody waited for a timeout"
    assert [] == mailbox.events
    assert [] == [peer for peer in bob._peers.values() if peer.connection is not None]
    return caplog.text


async def test_servers_with_their_names_certificates_talk(nursery, office):
    """Messages in order both ways on one connection, and a snapshot on another."""
    ann, answers = await open_links(nursery, "ann", office.issue("ann"))
    bob, mailbox = await open_links(nursery, "bob", office.issue("bob", "bob.example.org"))
    ann.learn("bob", bob.address)
    ann.send([Send("bob", TimeoutNow(number)) for number in range(50)])
    await wait_until(lambda: len(mailbox.events) == 50)
    for number in range(50):
        bob.send([Send("ann", TimeoutNow(number))])
    await wait_until(lambda: len(answers.events) == 50)
    for events in (mailbox.events, answers.events):
        assert [TimeoutNow(number) for number in range(50)] == [one.message for one in events]
    message, snapshot = InstallSnapshot(1, 1, SnapshotMark(7, 1)), Random(1).randbytes(3 << 20)
    await ann.send_snapshot("bob", message, MemorySnapshot(snapshot))
    assert [("ann", message, snapshot)] == mailbox.snapshots


async def test_nothing_but_the_magic_is_readable(nursery, office):
    """A man in the middle sees neither names nor messages."""
    ann, _ = await open_links(nursery, "ann", office.issue("ann"))
    bob, mailbox = await open_links(nursery, "bob", office.issue("bob"))
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    seen = bytearray()

    async def copy(source, target):
        async for data in source:
            seen.extend(data)
            await target.send_all(data)

    async def listen_in():
        async with (
            listener,
            await listener.accept() as caller,
            await call(bob) as callee,
            trio.open_nursery() as both,
        ):
            both.start_soon(copy, caller, callee)
            both.start_soon(copy, callee, caller)

    nursery.start_soon(listen_in)
    ann.learn("bob", f"127.0.0.1:{listener.socket.getsockname()[1]}")
    ann.send([Send("bob", TimeoutNow(1))])
    await wait_until(lambda: mailbox.events)
    assert seen.startswith(MAGIC)
    assert frame(encode_hello(Hello("test", "ann"))) not in seen
    assert b"ann" not in seen


async def test_a_name_may_be_a_uri(nursery, office):
    """For names that cannot be host names."""
    ann, _ = await open_links(nursery, "ann", office.issue("ann"))
    name = "urn:quorum:bob_1"
    bob, mailbox = await open_links(nursery, name, office.issue_uri(name))
    ann.learn(name, bob.address)
    ann.send([Send(name, TimeoutNow(1))])
    await wait_until(lambda: mailbox.events)


async def test_a_caller_of_a_foreign_authority_is_refused(nursery, office, caplog):
    """Both logs say why."""
    stranger = office.issue("ann", authority=office.foreign)
    text = await refusal(nursery, stranger, office.issue("bob"), caplog)
    assert "its certificate is not accepted" in text
    assert "ann cannot reach bob: the connection was closed" in text


async def test_a_server_of_a_foreign_authority_is_refused(nursery, office, caplog):
    """The dialler checks as well."""
    impostor = office.issue("bob", authority=office.foreign)
    text = await refusal(nursery, office.issue("ann"), impostor, caplog)
    assert "cannot reach bob: no TLS with the other end: its certificate is not accepted" in text


async def test_a_callers_wrong_name_is_refused(nursery, office, caplog):
    """The authority also signs those of clients: they may not speak as servers."""
    text = await refusal(nursery, office.issue("client.ann"), office.issue("bob"), caplog)
    assert "it calls itself ann, its certificate is for client.ann" in text
    assert "the other end's log may say why" in text


async def test_a_wildcard_is_nobodys_name(nursery, office, caplog):
    """It would be everybody's."""
    text = await refusal(nursery, office.issue("*.org"), office.issue("bob"), caplog)
    assert "it calls itself ann, its certificate is for *.org" in text


async def test_a_servers_wrong_name_is_refused(nursery, office, caplog):
    """Before the dialler has said a word."""
    text = await refusal(nursery, office.issue("ann"), office.issue("cem"), caplog)
    assert "cannot reach bob: the certificate there is for cem, not for bob" in text


@pytest.mark.parametrize("expired", ["ann", "bob"])
async def test_an_expired_certificate_is_refused(nursery, office, caplog, expired):
    """The caller's and the server's alike."""
    tls = {
        name: office.issue(name, until=NOW - DAY if name == expired else NOW + DAY)
        for name in ("ann", "bob")
    }
    text = await refusal(nursery, tls["ann"], tls["bob"], caplog)
    assert "certificate has expired" in text


async def test_plain_text_towards_tls_is_refused(nursery, office, caplog):
    """Whoever forgot to set TLS up is told at the port that has it."""
    text = await refusal(nursery, None, office.issue("bob"), caplog)
    assert "the caller does not use TLS, this server does" in text
    assert "the other end's log may say why" in text


async def test_tls_towards_plain_text_is_refused(nursery, office, caplog):
    """And the reverse."""
    text = await refusal(nursery, office.issue("ann"), None, caplog)
    assert "the caller uses TLS, this server does not" in text
    assert "it may not use TLS, see its log" in text


async def test_a_caller_without_a_certificate_is_refused(nursery, office, caplog):
    """TLS alone is not enough."""
    bob, mailbox = await open_links(nursery, "bob", office.issue("bob"))
    context = ssl.create_default_context()
    office.ours.configure_trust(context)
    raw = await call(bob)
    await raw.send_all(MAGIC)
    async with trio.SSLStream(raw, context, server_hostname="bob", https_compatible=True) as stream:
        with pytest.raises((ProtocolError, OSError)):
            await greet(stream, Hello("test", "ann"), limit=LIMIT, magic=b"")
    await wait_until(lambda: "bob closes" in caplog.text)
    assert [] == mailbox.events


@pytest.mark.parametrize("start", [MAGIC[:2], MAGIC, MAGIC + b"\x16\x03\x01\x00"])
async def test_a_caller_that_falls_silent_is_let_go(nursery, office, monkeypatch, caplog, start):
    """Wherever in the handshake; nothing hangs."""
    monkeypatch.setattr(links, "HANDSHAKE_TIMEOUT", 0.05)
    bob, _ = await open_links(nursery, "bob", office.issue("bob"))
    async with await call(bob) as stream:
        await stream.send_all(start)
        assert b"" == await stream.receive_some()
    assert "never said hello" in caplog.text


async def test_a_reader_that_is_slow_gets_everything_through_tls(nursery, office, monkeypatch):
    """The outbox works behind TLS as before."""
    monkeypatch.setattr(connection, "READ_BYTES", 1000)
    ann, _ = await open_links(nursery, "ann", office.issue("ann"))
    bob, mailbox = await open_links(nursery, "bob", office.issue("bob"))
    ann.learn("bob", bob.address)
    sends = [Send("bob", TimeoutNow(number)) for number in range(20_000)]
    for start in range(0, len(sends), 1000):
        ann.send(sends[start : start + 1000])
    await wait_until(lambda: len(mailbox.events) == len(sends))
    assert [send.message for send in sends] == [event.message for event in mailbox.events]


async def test_damage_on_the_way_ends_the_connection(nursery, office, caplog):
    """What was not sealed by the other end is not read, and the reason is told."""
    bob, mailbox = await open_links(nursery, "bob", office.issue("bob"))
    raw = await call(bob)
    async with await office.issue("ann").dial(raw, "bob") as stream:
        await greet(stream, Hello("test", "ann"), limit=LIMIT, magic=b"")
        await raw.send_all(bytes(100))
        await wait_until(lambda: "bob closes the connection from ann: TLS broke" in caplog.text)
    assert [] == mailbox.events


def test_files_that_do_not_fit_are_refused_at_once(office, tmp_path):
    """Missing, mixed up, or encrypted: one error, and no question to a terminal."""
    ann, bob = office.issue("ann"), office.issue("bob")
    encrypted = serialization.load_pem_private_key(ann.key.read_bytes(), None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    for key in (bob.key, tmp_path / "missing", ann.authority, office.write(encrypted)):
        with pytest.raises(ConfigError, match="nothing was started"):
            Tls(ann.certificate, key, ann.authority)
    with pytest.raises(ConfigError, match="nothing was started"):
        Tls(ann.certificate, ann.key, ann.key)


async def test_a_cluster_runs_over_tls(real_cluster, office):
    """Elect, propose, lose the leader, go on."""
    cluster = real_cluster
    addresses: dict[str, str] = {}
    cluster.make_link = lambda name: TcpLinks(
        name, "test", listen=("127.0.0.1", 0), tls=office.issue(name), random=Random(name)
    )
    await cluster.start()
    for name, link in cluster.links.items():
        addresses[name] = link.address
    for link in cluster.links.values():
        for name, address in addresses.items():
            link.learn(name, address)
    with trio.fail_after(20):
        leader = await cluster.leader()
        assert [1, 2] == await leader.propose_many([b"a", b"b"])
        await cluster.stop(leader.id)
        successor = await cluster.leader()
        assert 3 == await successor.propose(b"c")
