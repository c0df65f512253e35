"""A network inside one process, for tests and for embedding: it can be slow, cut and healed.

With `delay=0` a message is in the receiver's inbox before `send` returns; with a delay it arrives
that many seconds later by trio's clock, so that tests under `trio.testing.MockClock` are exact.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import trio

from quorum.effects import Send
from quorum.events import Received
from quorum.messages import InstallSnapshot, NodeId
from quorum.storage import CHUNK_BYTES, StoredSnapshot
from quorum.trio.link import Receiver


class MemoryNetwork:
    """Connects the servers of one process: hand `network.link(id)` to each `open_server`."""

    def __init__(self, *, delay: float = 0.0) -> None:
        self.delay = delay
        """Seconds that a message travels; may be changed at any time."""
        self._links: dict[NodeId, MemoryLink] = {}
        self._cut: dict[tuple[NodeId, NodeId], None] = {}

    def link(self, id: NodeId) -> MemoryLink:
        """The link of this server: always the same one, also after its server was restarted."""
        return self._links.setdefault(id, MemoryLink(self, id))

    def cut(self, source: NodeId, target: NodeId) -> None:
        """Lose everything from `source` to `target`, this direction only, until `heal`."""
        self._cut[source, target] = None

    def isolate(self, *group: NodeId) -> None:
        """Cut this group of servers off from all others known so far, both ways, until `heal`."""
        for other in self._links.keys() - set(group):
            for member in group:
                self.cut(member, other)
                self.cut(other, member)

    def heal(self) -> None:
        """Undo every cut."""
        self._cut.clear()

    def reach(self, source: NodeId, target: NodeId) -> MemoryLink | None:
        """The link at the other end, if something sent now would arrive."""
        link = self._links.get(target)
        if link is None or link.receiver is None or (source, target) in self._cut:
            return None
        return link


class MemoryLink:
    """One server's end of a `MemoryNetwork`."""

    def __init__(self, network: MemoryNetwork, id: NodeId) -> None:
        self.id = id
        self.receiver: Receiver | None = None
        """The server at this end, while it runs."""
        self._network = network
        self._travelling: deque[tuple[float, Received]] = deque()
        self._news = trio.Event()

    async def run(
        self,
        receiver: Receiver,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """See `Link.run`."""
        self.receiver = receiver
        task_status.started()
        try:
            while True:
                await self._news.wait()
                while self._travelling:
                    due, event = self._travelling.popleft()
                    await trio.sleep_until(due)
                    receiver.received((event,))
                self._news = trio.Event()
        finally:
            self.receiver = None
            self._travelling.clear()
            self._news = trio.Event()

    def send(self, sends: Sequence[Send]) -> None:
        """See `Link.send`."""
        for send in sends:
            peer = self._network.reach(self.id, send.to)
            if peer is not None:
                peer.deliver((Received(self.id, send.message),))

    def deliver(self, events: Iterable[Received]) -> None:
        """Let these arrive here, after the network's delay."""
        if self._network.delay == 0.0 and not self._travelling:
            assert self.receiver is not None, "reach() found this link running"
            self.receiver.received(tuple(events))
            return
        due = trio.current_time() + self._network.delay
        self._travelling.extend((due, event) for event in events)
        self._news.set()

    async def send_snapshot(
        self, to: NodeId, message: InstallSnapshot, snapshot: StoredSnapshot
    ) -> None:
        """See `Link.send_snapshot`."""
        await trio.sleep(self._network.delay)
        peer = self._network.reach(self.id, to)
        if peer is None or peer.receiver is None:
            raise ConnectionError(f"{to} cannot be reached")
        peer.receiver.received((Received(self.id, message),))
        receiver = peer.receiver
        incoming = await receiver.receive_snapshot(message.mark)
        try:
            for offset in range(0, snapshot.size, CHUNK_BYTES):
                await incoming.write(await snapshot.read(offset, CHUNK_BYTES))
            await receiver.snapshot_received(self.id, message, incoming)
        finally:
            incoming.discard()

    def learn(self, peer: NodeId, address: str) -> None:
        """Addresses mean nothing here: names do."""
