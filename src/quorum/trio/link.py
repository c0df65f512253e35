"""What a server needs of a network, and what a network needs of a server.

A link may lose, repeat and reorder messages; Raft repairs. It must not block: a message that finds
no room is dropped. Snapshots are too big for that and travel on their own, with an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import trio

from quorum.effects import Send
from quorum.events import Received
from quorum.messages import InstallSnapshot, NodeId, SnapshotMark
from quorum.storage import IncomingSnapshot, StoredSnapshot


class Receiver(Protocol):
    """The server's side of a link: where arrivals are delivered."""

    def received(self, events: Sequence[Received]) -> None:
        """Take what one read brought, in order. Never blocks."""
        ...

    async def receive_snapshot(self, mark: SnapshotMark) -> IncomingSnapshot:
        """Begin to take a snapshot, a piece at a time; whoever asked discards it in the end."""
        ...

    async def snapshot_received(
        self, sender: NodeId, message: InstallSnapshot, snapshot: IncomingSnapshot
    ) -> None:
        """Take a whole snapshot; it is durable here when this returns, and nowhere if it raises."""
        ...


class Link(Protocol):
    """One server's connections with all the others."""

    async def run(
        self,
        receiver: Receiver,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Carry messages until cancelled; `started` once the others can reach this server."""
        ...

    def send(self, sends: Sequence[Send]) -> None:
        """Send these, in order for each peer, as far as there is room. Never blocks."""
        ...

    async def send_snapshot(
        self, to: NodeId, message: InstallSnapshot, snapshot: StoredSnapshot
    ) -> None:
        """Deliver a snapshot; raise `OSError` or `ProtocolError` if it may not have arrived."""
        ...

    def learn(self, peer: NodeId, address: str) -> None:
        """Note where a peer listens (`host:port`); the newest address counts."""
        ...
