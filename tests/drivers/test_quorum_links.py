"""Tests of quorum.trio.links, connection and transfer: real sockets on the loopback interface."""

from __future__ import annotations

import struct
from hashlib import sha256
from random import Random

import pytest
import trio
import trio.testing
from attrs import evolve

from quorum import (
    Config,
    ConfigError,
    JournalStorage,
    Members,
    MemoryStorage,
    ProtocolError,
    TcpLinks,
    WrongCluster,
    open_server,
)
from quorum.effects import Send
from quorum.framing import FrameReader, frame
from quorum.messages import AppendReply, InstallSnapshot, SnapshotMark, TimeoutNow
from quorum.storage.memory import MemoryIncoming, MemorySnapshot
from quorum.trio import connection, links, transfer
from quorum.trio.connection import MAGIC, Connection, greet, welcome
from quorum.wire import Hello, Purpose, SnapshotChunk, encode, encode_chunk, encode_hello

MARK = SnapshotMark(7, 3, 0, Members(voters=("ann", "bob")))
LIMIT = 1 << 20


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

    @property
    def messages(self):
        return [(event.sender, event.message) for event in self.events]


async def wait_until(condition):
    """Wait for what other tasks bring about, a few seconds at most."""
    with trio.fail_after(5):
        while not condition():  # noqa: ASYNC110 - sockets have no events for tests
            await trio.sleep(0.002)


@pytest.fixture
async def pair():
    """Two ends of one connection, as streams."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    async with listeners[0]:
        ours = await trio.open_tcp_stream("127.0.0.1", port)
        theirs = await listeners[0].accept()
    async with ours, theirs:
        yield ours, theirs


async def open_links(nursery, id, *, cluster="test", **kwargs):
    """A running link and its mailbox."""
    kwargs.setdefault("listen", ("127.0.0.1", 0))
    link = TcpLinks(id, cluster, random=Random(id), **kwargs)
    mailbox = Mailbox()
    await nursery.start(link.run, mailbox)
    return link, mailbox


async def call(link):
    """A stranger's connection to this link."""
    host, _, port = link.address.rpartition(":")
    return await trio.open_tcp_stream(host, int(port))


async def test_messages_arrive_in_order(nursery):
    """The first ones wait while the connection is made."""
    ann, _ = await open_links(nursery, "ann")
    bob, mailbox = await open_links(nursery, "bob")
    ann.learn("bob", bob.address)
    for number in range(100):
        ann.send([Send("bob", TimeoutNow(number))])
    await wait_until(lambda: len(mailbox.events) == 100)
    assert [("ann", TimeoutNow(number)) for number in range(100)] == mailbox.messages


async def test_a_server_is_answered_on_its_own_connection(nursery):
    """The receiver need not know where the sender listens."""
    ann, mailbox = await open_links(nursery, "ann")
    bob, others = await open_links(nursery, "bob")
    ann.learn("bob", bob.address)
    ann.send([Send("bob", TimeoutNow(1))])
    await wait_until(lambda: others.events)
    bob.send([Send("ann", AppendReply(1, 1, 5)), Send("ann", AppendReply(1, 2, 6))])
    await wait_until(lambda: len(mailbox.events) == 2)
    assert [("bob", AppendReply(1, 1, 5)), ("bob", AppendReply(1, 2, 6))] == mailbox.messages


async def test_a_message_for_nobody_is_dropped(nursery):
    """Raft repairs; nothing is kept for a name without an address."""
    ann, _ = await open_links(nursery, "ann")
    ann.send([Send("nobody", TimeoutNow(1))])
    assert {} == ann._peers


async def test_a_connection_that_was_lost_is_made_again(nursery):
    """The peer restarts on another port, and its new address is learned."""
    ann, _ = await open_links(nursery, "ann")
    async with trio.open_nursery() as life:
        bob, mailbox = await open_links(life, "bob")
        ann.learn("bob", bob.address)
        ann.send([Send("bob", TimeoutNow(1))])
        await wait_until(lambda: mailbox.events)
        life.cancel_scope.cancel()
    bob, mailbox = await open_links(nursery, "bob")
    ann.learn("bob", bob.address)

    def try_again():
        ann.send([Send("bob", TimeoutNow(2))])
        return mailbox.events

    await wait_until(try_again)
    assert ("ann", TimeoutNow(2)) == mailbox.messages[0]


async def test_only_the_newest_messages_wait_for_a_connection(nursery, monkeypatch):
    """What is kept while dialling has a limit in bytes."""
    monkeypatch.setattr(links, "WAITING_BYTES_MAX", 100)
    ann, _ = await open_links(nursery, "ann")
    bob, mailbox = await open_links(nursery, "bob")
    ann.learn("bob", bob.address)
    ann.send([Send("bob", TimeoutNow(number)) for number in range(50)])
    await wait_until(lambda: mailbox.events)
    assert len(mailbox.events) < 10
    assert ("ann", TimeoutNow(49)) == mailbox.messages[-1]


async def test_a_wrong_address_is_noticed(nursery, caplog):
    """At the address is another server of the cluster: nothing is sent to it."""
    ann, _ = await open_links(nursery, "ann")
    bob, mailbox = await open_links(nursery, "bob")
    ann.learn("cem", bob.address)
    ann.send([Send("cem", TimeoutNow(1))])
    await wait_until(lambda: "is bob, not cem" in caplog.text)
    assert [] == mailbox.events


@pytest.mark.parametrize("address", ["nonsense", "host:", ":port"])
async def test_a_malformed_address_is_told_once(nursery, caplog, address):
    """It can be corrected while the server runs."""
    ann, _ = await open_links(nursery, "ann", addresses={"bob": address})
    ann.send([Send("bob", TimeoutNow(1))])
    await wait_until(lambda: "not host:port" in caplog.text)
    assert 1 == caplog.text.count("cannot reach bob")


async def test_a_caller_with_our_own_name_is_refused(nursery, caplog):
    """Two servers were given the same name; neither must take the other for itself."""
    bob, mailbox = await open_links(nursery, "bob")
    async with await call(bob) as stream:
        await greet(stream, Hello("test", "bob"), limit=LIMIT)
        await stream.send_all(frame(encode(TimeoutNow(1))))
        await wait_until(lambda: "our own name" in caplog.text)
    assert [] == mailbox.events


async def test_a_port_in_use_is_told_by_open_server(nursery, machine):
    """As the system's own error, not wrapped in groups."""
    bob, _ = await open_links(nursery, "bob")
    port = int(bob.address.rpartition(":")[2])
    links = TcpLinks("ann", "test", listen=("127.0.0.1", port))
    with pytest.raises(OSError, match="in use"):
        async with open_server("ann", machine, storage=MemoryStorage(), links=links):
            pytest.fail("the server was opened")


async def test_another_cluster_is_refused_on_both_sides(nursery, caplog):
    """Two clusters that were given each other's addresses do not mix."""
    ann, _ = await open_links(nursery, "ann", cluster="blue")
    bob, mailbox = await open_links(nursery, "bob", cluster="red")
    ann.learn("bob", bob.address)
    ann.send([Send("bob", TimeoutNow(1))])
    await wait_until(lambda: "'blue'" in caplog.text and "'red'" in caplog.text)
    assert [] == mailbox.events
    async with await call(bob) as stream:
        with pytest.raises(WrongCluster, match="'red'"):
            await greet(stream, Hello("blue", "ann"), limit=LIMIT)


HELLO = MAGIC + frame(encode_hello(Hello("test", "mallory")))
GARBAGE = Random(1).randbytes(1000)


HANDSHAKES = {
    "another protocol": b"GET / HTTP/1.1\r\n\r\n",
    "magic, then another protocol": MAGIC + b"GET / HTTP/1.1\r\n\r\n",
    "magic, then garbage": MAGIC + GARBAGE,
    "a huge frame": MAGIC + struct.pack("<II", 1 << 31, 0),
    "a frame too large for a hello": MAGIC + struct.pack("<II", 2000, 0),
    "an empty frame": MAGIC + frame(b""),
    "a hello cut short": HELLO[:-3],
    "a message before the answer": HELLO + frame(encode(TimeoutNow(1))),
    "a message in place of the hello": MAGIC + frame(encode(TimeoutNow(1))),
    "nothing": b"",
}


@pytest.mark.parametrize("attack", HANDSHAKES.values(), ids=HANDSHAKES.keys())
async def test_a_hostile_handshake_hurts_nobody(nursery, attack, caplog):
    """The connection is closed, the reason logged, and others are served as before."""
    ann, _ = await open_links(nursery, "ann")
    bob, mailbox = await open_links(nursery, "bob")
    ann.learn("bob", bob.address)
    async with await call(bob) as stream:
        if attack:
            await stream.send_all(attack)
        await stream.send_eof()
        await wait_until(lambda: "closes" in caplog.text)
    ann.send([Send("bob", TimeoutNow(1))])
    await wait_until(lambda: mailbox.events)
    assert [("ann", TimeoutNow(1))] == mailbox.messages


FRAMES = {
    "garbage": GARBAGE,
    "a huge frame": struct.pack("<II", 1 << 31, 0),
    "a damaged frame": struct.pack("<II", 100, 0) + bytes(100),
    "an unknown message": frame(b"\xff" * 30),
    "a frame cut short": frame(encode(TimeoutNow(1)))[:-1],
}


@pytest.mark.parametrize("attack", FRAMES.values(), ids=FRAMES.keys())
async def test_a_hostile_frame_ends_its_connection_only(nursery, attack, caplog):
    """After a proper handshake: oversized, damaged, unknown, cut short."""
    ann, _ = await open_links(nursery, "ann")
    bob, mailbox = await open_links(nursery, "bob")
    ann.learn("bob", bob.address)
    async with await call(bob) as stream:
        await greet(stream, Hello("test", "mallory"), limit=LIMIT)
        await stream.send_all(attack)
        await stream.send_eof()
        await wait_until(lambda: "closes the connection from mallory" in caplog.text)
    assert {} == bob._peers
    ann.send([Send("bob", TimeoutNow(1))])
    await wait_until(lambda: mailbox.events)
    assert [("ann", TimeoutNow(1))] == mailbox.messages


async def test_a_silent_caller_is_let_go(nursery, monkeypatch, caplog):
    """A connection without a Hello does not keep its place."""
    monkeypatch.setattr(links, "HANDSHAKE_TIMEOUT", 0.05)
    bob, _ = await open_links(nursery, "bob")
    async with await call(bob) as stream:
        assert b"" == await stream.receive_some()
    assert "never said hello" in caplog.text


async def test_a_listener_that_never_answers_is_given_up(nursery, monkeypatch, caplog):
    """Dialling has a limit, too."""
    monkeypatch.setattr(links, "HANDSHAKE_TIMEOUT", 0.05)
    ann, _ = await open_links(nursery, "ann")
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listeners[0]:
        ann.learn("bob", f"127.0.0.1:{listeners[0].socket.getsockname()[1]}")
        ann.send([Send("bob", TimeoutNow(1))])
        await wait_until(lambda: "no answer within" in caplog.text)


async def test_connections_have_a_limit(nursery, monkeypatch, caplog):
    """More callers than that are closed at once."""
    monkeypatch.setattr(links, "CONNECTIONS_MAX", 1)
    bob, _ = await open_links(nursery, "bob")
    async with await call(bob) as first:
        await greet(first, Hello("test", "ann"), limit=LIMIT)
        async with await call(bob) as second:
            with pytest.raises((ProtocolError, trio.BrokenResourceError)):
                await greet(second, Hello("test", "cem"), limit=LIMIT)
    assert "has 1 connections" in caplog.text


async def test_a_reader_that_is_slow_gets_everything(nursery, pair):
    """What the kernel does not take is sent by a task, in order."""
    ours, theirs = pair
    sender = Connection(ours, FrameReader(), nursery)
    bodies = [b"%d" % number * 3000 for number in range(1000)]
    for body in bodies:
        sender.send([frame(body)])
    receiver = Connection(theirs, FrameReader(), nursery)
    received: list[bytes] = []
    with trio.fail_after(5):
        while len(received) < len(bodies):
            received += await receiver.receive()
    assert bodies == received
    sender.send([frame(b"last")])
    assert [b"last"] == await receiver.receive()


async def test_a_reader_that_stands_still_loses_the_oldest_frames(nursery, pair, monkeypatch):
    """The outbox has a limit; whole frames are dropped, never parts of them."""
    monkeypatch.setattr(connection, "OUTBOX_BYTES_MAX", 200_000)
    ours, theirs = pair
    sender = Connection(ours, FrameReader(), nursery)
    sender.send([frame(bytes(10_000_000))])  # more than the kernel takes
    for number in range(1000):
        sender.send([frame(b"%d" % number * 300)])
    receiver = Connection(theirs, FrameReader(), nursery)
    received: list[bytes] = []
    with trio.fail_after(5):
        while not received or received[-1] != b"999" * 300:
            received += await receiver.receive()
    numbers = [int(body[:3]) for body in received[1:]]
    assert 100 < len(numbers) < 1000
    assert list(range(1000 - len(numbers), 1000)) == numbers


async def test_sending_on_a_broken_connection_is_harmless(nursery, pair):
    """The receiving side finds out; the loop that sends must not fail."""
    ours, theirs = pair
    sender = Connection(ours, FrameReader(), nursery)
    sender.send([frame(bytes(10_000_000))])
    await trio.aclose_forcefully(theirs)
    await trio.sleep(0.01)
    for _ in range(3):
        sender.send([frame(b"x")])
        await trio.sleep(0.001)
    await trio.aclose_forcefully(ours)
    sender.send([frame(b"x")])


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (3 << 20) + 5])
async def test_a_snapshot_arrives_whole(nursery, size):
    """Its announcement first, as a message; then the bytes; then the receipt."""
    ann, _ = await open_links(nursery, "ann")
    bob, mailbox = await open_links(nursery, "bob")
    ann.learn("bob", bob.address)
    snapshot = Random(size).randbytes(size)
    message = InstallSnapshot(3, 9, MARK)
    await ann.send_snapshot("bob", message, MemorySnapshot(snapshot))
    assert [("ann", message)] == mailbox.messages
    assert [("ann", message, snapshot)] == mailbox.snapshots


async def test_a_snapshot_for_an_unknown_address_fails_at_once(nursery):
    """The core hears of it and tries again later."""
    ann, _ = await open_links(nursery, "ann")
    with pytest.raises(OSError, match="not known"):
        await ann.send_snapshot("bob", InstallSnapshot(3, 9, MARK), MemorySnapshot(b"x"))


async def test_a_snapshot_that_cannot_be_saved_gets_no_receipt(nursery, caplog):
    """The sender must not believe that it arrived."""
    ann, _ = await open_links(nursery, "ann")
    bob, mailbox = await open_links(nursery, "bob")

    async def refuse(sender, message, snapshot):
        raise OSError("disk full")

    mailbox.snapshot_received = refuse
    ann.learn("bob", bob.address)
    with pytest.raises((ProtocolError, OSError)):
        await ann.send_snapshot("bob", InstallSnapshot(3, 9, MARK), MemorySnapshot(b"x"))
    assert "disk full" in caplog.text


async def test_snapshots_at_a_time_have_a_limit(nursery, monkeypatch, caplog):
    """Each takes its part of the line and the disk; a further sender tries again later."""
    monkeypatch.setattr(links, "SNAPSHOTS_MAX", 0)
    ann, _ = await open_links(nursery, "ann")
    bob, mailbox = await open_links(nursery, "bob")
    ann.learn("bob", bob.address)
    with pytest.raises((ProtocolError, OSError)):
        await ann.send_snapshot("bob", InstallSnapshot(3, 9, MARK), MemorySnapshot(b"x"))
    assert [] == mailbox.snapshots
    assert "being received already" in caplog.text


START = frame(encode(InstallSnapshot(3, 9, MARK)))
NOTHING = SnapshotChunk(0, 32, sha256().digest())


def chunk(offset, total, data):
    return frame(encode_chunk(SnapshotChunk(offset, total, data)))


SNAPSHOTS = {
    "no chunk": frame(b"x"),
    "a gap": chunk(5, 100, b"x"),
    "a repetition": chunk(0, 100, b"x") + chunk(0, 100, b"x"),
    "another total": chunk(0, 100, b"x") + chunk(1, 99, b"x"),
    "no progress": chunk(0, 100, b""),
    "too large": chunk(0, 1 << 40, b"x"),
    "an early end": chunk(0, 100, b"x"),
    "no beginning": b"",
}


@pytest.mark.parametrize("attack", SNAPSHOTS.values(), ids=SNAPSHOTS.keys())
async def test_a_malformed_snapshot_is_refused(nursery, pair, attack):
    """Chunks out of order, of another size, too many bytes, or an early end."""
    ours, theirs = pair
    mailbox, problems = Mailbox(), []

    async def receive():
        with pytest.raises(ProtocolError) as caught:
            await transfer.receive(theirs, FrameReader(), "ann", mailbox, transfer.Shelf())
        problems.append(caught.value)

    nursery.start_soon(receive)
    await ours.send_all(START)
    assert frame(encode_chunk(NOTHING)) == await ours.receive_some()
    await ours.send_all(attack)
    await ours.send_eof()
    await wait_until(lambda: problems)
    assert [] == mailbox.snapshots


@pytest.mark.parametrize("attack", [frame(encode(TimeoutNow(1))), START + chunk(0, 1, b"x")])
async def test_a_snapshot_begins_with_its_announcement_alone(pair, attack):
    """Then the receiver says where to begin."""
    ours, theirs = pair
    mailbox = Mailbox()
    await ours.send_all(attack)
    with pytest.raises(ProtocolError, match=r"begins with|did not wait"):
        await transfer.receive(theirs, FrameReader(), "ann", mailbox, transfer.Shelf())
    assert [] == mailbox.events


async def test_a_transfer_that_stalls_is_given_up(pair, monkeypatch):
    """Either side: no chunk comes, no word where to begin, no receipt comes."""
    monkeypatch.setattr(transfer, "STALL_MAX", 0.02)
    monkeypatch.setattr(transfer, "SAVE_MAX", 0.02)
    ours, theirs = pair
    await ours.send_all(START)
    with pytest.raises(ProtocolError, match="sends no more"):
        await transfer.receive(theirs, FrameReader(), "ann", Mailbox(), transfer.Shelf())
    message = InstallSnapshot(3, 9, MARK)
    with pytest.raises(ProtocolError, match="no receipt"):  # the offer is there already
        await transfer.send(ours, FrameReader(), message, MemorySnapshot(b"x"))
    with pytest.raises(ProtocolError, match="where to begin"):
        await transfer.send(ours, FrameReader(), message, MemorySnapshot(b"x"))
    await theirs.send_all(frame(encode_chunk(NOTHING)))
    with pytest.raises(ProtocolError, match="reads no more"):
        await transfer.send(ours, FrameReader(), message, MemorySnapshot(bytes(64 << 20)))


async def test_a_receipt_for_something_else_does_not_count(nursery, pair):
    """Only "all bytes are durable here" is good news."""
    ours, theirs = pair
    await theirs.send_all(frame(encode_chunk(NOTHING)))

    async def answer():
        await trio.sleep(0.01)
        await theirs.send_all(chunk(1, 1, b""))

    nursery.start_soon(answer)
    with pytest.raises(ProtocolError, match="receipt"):
        await transfer.send(
            ours, FrameReader(), InstallSnapshot(3, 9, MARK), MemorySnapshot(b"xyz")
        )


async def test_an_offer_that_makes_no_sense_is_refused(pair):
    """Without a digest nobody knows which bytes are meant."""
    ours, theirs = pair
    await theirs.send_all(chunk(1, 2, b"x"))
    with pytest.raises(ProtocolError, match="where to begin"):
        await transfer.send(
            ours, FrameReader(), InstallSnapshot(3, 9, MARK), MemorySnapshot(b"xyz")
        )


class Wire:
    """A connection's way through the network: it can be cut after so many bytes, and it counts."""

    def __init__(self, target):
        self.target = target
        self.limit = 0
        self.passed = 0

    async def run(self, *, task_status):
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        task_status.started(f"127.0.0.1:{listener.socket.getsockname()[1]}")
        await trio.serve_listeners(self._serve, [listener])

    async def _serve(self, caller):
        self.passed = 0
        async with await call(self.target) as callee, trio.open_nursery() as nursery:
            nursery.start_soon(self._back, callee, caller)
            async for data in caller:
                if self.passed + len(data) > self.limit:
                    break
                await callee.send_all(data)
                self.passed += len(data)
            nursery.cancel_scope.cancel()

    async def _back(self, callee, caller):
        async for data in callee:
            await caller.send_all(data)


async def cut_transfer(nursery, snapshot):
    """Cut a transfer of 3 MiB in the middle; return both ends, the wire and the mailbox."""
    ann, _ = await open_links(nursery, "ann")
    bob, mailbox = await open_links(nursery, "bob")
    wire = Wire(bob)
    ann.learn("bob", await nursery.start(wire.run))
    wire.limit = 2_500_000
    with pytest.raises((ProtocolError, OSError)):
        await ann.send_snapshot("bob", InstallSnapshot(3, 9, MARK), MemorySnapshot(snapshot))
    await wait_until(lambda: bob._shelf.kept is not None)
    assert [] == mailbox.snapshots
    wire.limit = 1 << 30
    return ann, bob, wire, mailbox


async def test_a_transfer_that_was_cut_goes_on_where_it_was(nursery):
    """What the receiver has of the same snapshot is not sent again."""
    snapshot = Random(1).randbytes(3 << 20)
    ann, bob, wire, mailbox = await cut_transfer(nursery, snapshot)
    again = InstallSnapshot(3, 10, MARK)
    await ann.send_snapshot("bob", again, MemorySnapshot(snapshot))
    assert [("ann", again, snapshot)] == mailbox.snapshots
    assert wire.passed < (1 << 20) + 1000
    assert bob._shelf.kept is None


async def test_what_is_left_of_another_snapshot_is_of_no_use(nursery):
    """The same mark and other bytes, or another mark: it is sent from the beginning."""
    ann, _, wire, mailbox = await cut_transfer(nursery, Random(1).randbytes(3 << 20))
    message, other = InstallSnapshot(3, 10, MARK), Random(2).randbytes(3 << 20)
    await ann.send_snapshot("bob", message, MemorySnapshot(other))
    newer = InstallSnapshot(3, 11, evolve(MARK, index=8))
    await ann.send_snapshot("bob", newer, MemorySnapshot(other))
    assert [("ann", message, other), ("ann", newer, other)] == mailbox.snapshots
    assert wire.passed > 3 << 20


async def test_what_is_left_is_forgotten_after_a_while(nursery, monkeypatch):
    """Nobody may come back for it."""
    monkeypatch.setattr(links, "PARTIAL_SECONDS_MAX", 0.05)
    _, bob, _, _ = await cut_transfer(nursery, Random(1).randbytes(3 << 20))
    await wait_until(lambda: bob._shelf.kept is None)


def test_only_one_beginning_is_kept():
    """For its own sender and mark, and only once."""
    shelf = transfer.Shelf()
    kept, older = (
        transfer.Partial("ann", MARK, MemoryIncoming(lambda _: None, bytearray(b"x")))
        for _ in range(2)
    )
    shelf.put(older)
    shelf.put(kept)
    assert (0, 1) == (older.data.size, kept.data.size)
    assert None is shelf.take("bob", MARK)
    assert None is shelf.take("ann", evolve(MARK, index=8))
    assert kept is shelf.take("ann", MARK)
    assert None is shelf.take("ann", MARK)


@pytest.mark.parametrize(("rate", "size"), [(1024, 200 << 10), (10e6, 50 << 20)])
async def test_a_transfer_can_be_told_to_go_slowly(autojump_clock, nursery, rate, size):
    """So many bytes per second, without looking stalled; tried in virtual time."""
    ours, theirs = trio.testing.memory_stream_pair()
    mailbox, snapshot = Mailbox(), bytes(size)
    nursery.start_soon(transfer.receive, theirs, FrameReader(), "ann", mailbox, transfer.Shelf())
    began = trio.current_time()
    message = InstallSnapshot(3, 9, MARK)
    await transfer.send(ours, FrameReader(), message, MemorySnapshot(snapshot), rate=rate)
    assert pytest.approx(size / rate, rel=0.01) == trio.current_time() - began
    assert [("ann", message, snapshot)] == mailbox.snapshots


async def test_a_handshake_works_byte_by_byte(nursery, pair):
    """However the network cuts it."""
    ours, theirs = pair
    greeted = []

    async def receive():
        greeted.append(await welcome(theirs, Hello("test", "bob"), limit=LIMIT))

    nursery.start_soon(receive)
    for byte in MAGIC + frame(encode_hello(Hello("test", "ann", Purpose.SNAPSHOT))):
        await ours.send_all(bytes([byte]))
        await trio.lowlevel.checkpoint()
    await wait_until(lambda: greeted)
    assert Hello("test", "ann", Purpose.SNAPSHOT) == greeted[0][0]


async def test_streams_can_come_from_a_listener_of_ones_own(nursery):
    """So one port can serve several protocols, told apart by their first bytes."""
    send_channel, receive_channel = trio.open_memory_channel(10)

    class Sorted(trio.abc.Listener[trio.SocketStream]):
        async def accept(self):
            return await receive_channel.receive()

        async def aclose(self):
            await receive_channel.aclose()

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")

    async def sort():
        async with listener:
            while True:
                stream = await listener.accept()
                peeked = await stream.socket.recv(len(MAGIC), trio.socket.MSG_PEEK)
                assert peeked == MAGIC
                await send_channel.send(stream)

    nursery.start_soon(sort)
    bob, mailbox = await open_links(nursery, "bob", listen=None, listener=Sorted())
    ann, _ = await open_links(nursery, "ann")
    ann.learn("bob", f"127.0.0.1:{listener.socket.getsockname()[1]}")
    ann.send([Send("bob", TimeoutNow(1))])
    await wait_until(lambda: mailbox.events)
    with pytest.raises(RuntimeError):
        bob.address  # noqa: B018 - it raises


def test_settings_that_cannot_work_are_refused():
    """Before anything is started."""
    with pytest.raises(ConfigError, match="listen"):
        TcpLinks("ann", "test")
    for rate in (0, 1023, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="snapshot_rate"):
            TcpLinks("ann", "test", listen=("127.0.0.1", 0), snapshot_rate=rate)
    huge = evolve(Config(), command_bytes_max=1 << 30, uncommitted_bytes_max=1 << 30)
    with pytest.raises(ConfigError, match="within a frame"):
        TcpLinks("ann", "test", listen=("127.0.0.1", 0), config=huge)


def tcp(cluster):
    """Let the servers of this cluster meet over TCP."""
    addresses: dict[str, str] = {}

    def make(name):
        host, port = "127.0.0.1", int(addresses.get(name, ":0").rpartition(":")[2])
        return TcpLinks(name, "test", listen=(host, port), addresses=addresses, random=Random(name))

    cluster.make_link = make
    return addresses


async def start_over_tcp(cluster, addresses, *names):
    """Start servers, and tell all of them where all listen."""
    for name in names:
        await cluster.start(name)
        addresses[name] = cluster.links[name].address
        for link in cluster.links.values():
            link.learn(name, addresses[name])


async def test_a_cluster_over_tcp_survives_its_leader(real_cluster):
    """Elect, propose, stop the leader, go on, bring it back under the same address."""
    cluster = real_cluster
    addresses = tcp(cluster)
    await start_over_tcp(cluster, addresses, "ann", "bob", "cem")
    with trio.fail_after(20):
        leader = await cluster.leader()
        assert [1, 2] == await leader.propose_many([b"a", b"b"])
        await cluster.stop(leader.id)
        successor = await cluster.leader()
        assert 3 == await successor.propose(b"c")
        await start_over_tcp(cluster, addresses, leader.id)
        assert [b"a", b"b", b"c"] == await cluster.agree()


async def test_a_laggard_gets_a_snapshot_over_tcp(real_cluster):
    """InstallSnapshot on a connection of its own."""
    cluster = real_cluster
    cluster.config = evolve(cluster.config, snapshot_entries=10, tail_entries=0)
    addresses = tcp(cluster)
    await start_over_tcp(cluster, addresses, "ann", "bob", "cem")
    with trio.fail_after(20):
        leader = await cluster.leader()
        laggard = cluster.followers(leader)[0].id
        await cluster.stop(laggard)
        for number in range(30):
            await leader.propose(b"%d" % number)
        await start_over_tcp(cluster, addresses, laggard)
        assert [b"%d" % number for number in range(30)] == await cluster.agree()
    assert cluster.servers[laggard].statistics().snapshot_index > 0


async def test_a_large_snapshot_goes_from_disk_to_disk_and_a_cut_one_leaves_nothing(
    real_cluster, tmp_path
):
    """A server that is stopped in the middle of a transfer begins with a clean directory."""
    cluster = real_cluster
    cluster.config = evolve(cluster.config, snapshot_entries=10, tail_entries=0)
    cluster.make_storage = lambda name: JournalStorage(
        tmp_path / name, node=name, cluster="test", members=cluster.members, sync=False
    )
    addresses = tcp(cluster)
    await start_over_tcp(cluster, addresses, "ann", "bob", "cem")

    def drafts():
        return [path.name for path in (tmp_path / laggard).iterdir() if path.suffix == ".new"]

    with trio.fail_after(30):
        leader = await cluster.leader()
        laggard = cluster.followers(leader)[0].id
        await cluster.stop(laggard)
        commands = [b"%d " % number + bytes(200_000).hex().encode() for number in range(11)]
        for command in commands:
            await leader.propose(command)
        await wait_until(lambda: leader.statistics().snapshot_index > 0)
        leader_link = cluster.links[leader.id]
        leader_link._snapshot_rate = 1_000_000.0  # slowly: it takes four seconds
        await start_over_tcp(cluster, addresses, laggard)
        await wait_until(drafts)
        await cluster.stop(laggard)
        leader_link._snapshot_rate = None
        assert [] == drafts()
        await start_over_tcp(cluster, addresses, laggard)
        assert commands == await cluster.agree()
        assert 1 <= cluster.servers[laggard].counters().snapshots_received
        assert [] == drafts()


async def test_addresses_travel_in_the_configuration(real_cluster):
    """A newcomer is found by the others, and finds them, from the change of members alone."""
    cluster = real_cluster
    addresses = tcp(cluster)
    await start_over_tcp(cluster, addresses, "ann", "bob", "cem")
    known = dict(addresses)
    addresses.clear()  # what the newcomer is told: nothing
    await cluster.start("dan", members=Members())
    known["dan"] = cluster.links["dan"].address
    with trio.fail_after(20):
        leader = await cluster.leader(among=("ann", "bob", "cem"))
        wanted = Members(voters=tuple(known), addresses=tuple(known.items()))
        await leader.change_members(wanted)
        await leader.propose(b"x")
        assert [b"x"] == await cluster.agree()
    peers = cluster.links["dan"]._peers
    assert known["ann"] == peers["ann"].address


async def test_an_acceptor_may_speak_right_after_its_hello(pair):
    """It had messages waiting for the caller: they follow in the same packet, and none is lost."""
    ours, theirs = pair
    message = frame(encode(TimeoutNow(1)))
    await theirs.send_all(frame(encode_hello(Hello("test", "bob"))) + message)

    hello, reader = await greet(ours, Hello("test", "ann"), limit=LIMIT)

    assert "bob" == hello.sender
    assert [encode(TimeoutNow(1))] == reader.feed(await ours.receive_some())
