"""Tests of quorum.trio.memory: a network in one process that can be slow, cut and healed."""

from __future__ import annotations

import pytest
import trio

from quorum import MemoryNetwork
from quorum.effects import Send
from quorum.messages import InstallSnapshot, SnapshotMark, TimeoutNow
from quorum.storage.memory import MemoryIncoming, MemorySnapshot


class Mailbox:
    """A receiver that notes what arrives, and when."""

    def __init__(self):
        self.arrivals = []

    def received(self, events):
        self.arrivals += [(trio.current_time(), e.sender, e.message) for e in events]

    async def receive_snapshot(self, mark):
        return MemoryIncoming(lambda _: None)

    async def snapshot_received(self, sender, message, snapshot):
        self.arrivals.append((trio.current_time(), sender, bytes(snapshot.data)))


@pytest.fixture
async def ends(nursery):
    """A network and three running ends of it, with their mailboxes."""
    network = MemoryNetwork()
    mailboxes = {name: Mailbox() for name in ("ann", "bob", "cem")}
    for name, mailbox in mailboxes.items():
        await nursery.start(network.link(name).run, mailbox)
    return network, mailboxes


async def test_without_delay_messages_arrive_at_once(autojump_clock, ends):
    """Before `send` returns, in order."""
    network, mailboxes = ends
    network.link("ann").send([Send("bob", TimeoutNow(1)), Send("bob", TimeoutNow(2))])
    now = trio.current_time()
    assert [(now, "ann", TimeoutNow(1)), (now, "ann", TimeoutNow(2))] == mailboxes["bob"].arrivals


async def test_a_delay_is_exact(autojump_clock, ends):
    """By trio's clock, and order is kept when it changes."""
    network, mailboxes = ends
    begun = trio.current_time()
    network.delay = 2.0
    network.link("ann").send([Send("bob", TimeoutNow(1))])
    network.delay = 0.0
    network.link("ann").send([Send("bob", TimeoutNow(2))])
    await trio.sleep(5)
    expected = [(2.0, "ann", TimeoutNow(1)), (2.0, "ann", TimeoutNow(2))]
    assert expected == [(at - begun, *rest) for at, *rest in mailboxes["bob"].arrivals]


async def test_a_cut_has_a_direction(autojump_clock, ends):
    """What is lost stays lost after `heal`."""
    network, mailboxes = ends
    network.cut("ann", "bob")
    network.link("ann").send([Send("bob", TimeoutNow(1))])
    network.link("bob").send([Send("ann", TimeoutNow(2))])
    network.heal()
    network.link("ann").send([Send("bob", TimeoutNow(3))])
    assert [TimeoutNow(3)] == [message for _, _, message in mailboxes["bob"].arrivals]
    assert [TimeoutNow(2)] == [message for _, _, message in mailboxes["ann"].arrivals]


async def test_an_isolated_group_talks_among_itself(autojump_clock, ends):
    """And to nobody else."""
    network, mailboxes = ends
    network.isolate("ann", "bob")
    for target in ("bob", "cem"):
        network.link("ann").send([Send(target, TimeoutNow(1))])
    assert (1, 0) == (len(mailboxes["bob"].arrivals), len(mailboxes["cem"].arrivals))


async def test_what_is_sent_to_nobody_is_lost(autojump_clock, ends):
    """As on any network."""
    network, _ = ends
    network.link("ann").send([Send("nobody", TimeoutNow(1))])
    message = InstallSnapshot(1, 1, SnapshotMark(5, 1))
    for unreachable in ("nobody", "bob"):
        network.cut("ann", "bob")
        with pytest.raises(ConnectionError):
            await network.link("ann").send_snapshot(unreachable, message, MemorySnapshot(b"x"))


async def test_a_snapshot_is_announced_first(autojump_clock, ends):
    """As `Link.send_snapshot` has it."""
    network, mailboxes = ends
    message = InstallSnapshot(1, 1, SnapshotMark(5, 1))
    await network.link("ann").send_snapshot("bob", message, MemorySnapshot(b"state"))
    assert [message, b"state"] == [what for _, _, what in mailboxes["bob"].arrivals]


async def test_what_travels_to_a_server_that_stops_is_lost(autojump_clock):
    """A restarted server does not get the messages of its former life."""
    network, before, after = MemoryNetwork(delay=1.0), Mailbox(), Mailbox()
    async with trio.open_nursery() as nursery:
        await nursery.start(network.link("bob").run, before)
        network.link("ann").send([Send("bob", TimeoutNow(1))])
        nursery.cancel_scope.cancel()
    async with trio.open_nursery() as nursery:
        await nursery.start(network.link("bob").run, after)
        await trio.sleep(2)
        network.link("ann").send([Send("bob", TimeoutNow(2))])
        await trio.sleep(2)
        nursery.cancel_scope.cancel()
    assert ([], 1) == (before.arrivals, len(after.arrivals))
