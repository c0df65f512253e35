"""Servers connected by TCP.

(Being written: the signatures below are settled, the bodies follow within the hour.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

import trio

from quorum.effects import Send
from quorum.messages import InstallSnapshot, NodeId
from quorum.trio.link import Receiver

MAGIC = b"QRM1"
"""The first bytes of every connection, so that one port can serve several protocols."""


class TcpLinks:
    """One server's TCP connections; hand it to `open_server`.

    `cluster` names the cluster: servers of another one are refused. `addresses` says where peers
    listen (`host:port`); those in a configuration (`Members.addresses`) are learned by themselves.
    Either `listen` on a host and port (0: any free one, see `address`), or hand in a `listener`
    whose streams still begin with `MAGIC` (look with `MSG_PEEK`).
    """

    def __init__(
        self,
        id: NodeId,
        cluster: str,
        *,
        listen: tuple[str, int] | None = None,
        listener: trio.abc.Listener[trio.SocketStream] | None = None,
        addresses: Mapping[NodeId, str] | None = None,
        random: Random | None = None,
    ) -> None:
        raise NotImplementedError

    @property
    def address(self) -> str:
        """Where this server listens, once `run` has started (with `listen` only)."""
        raise NotImplementedError

    async def run(
        self,
        receiver: Receiver,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """See `Link.run`."""
        raise NotImplementedError

    def send(self, sends: Sequence[Send]) -> None:
        """See `Link.send`."""
        raise NotImplementedError

    async def send_snapshot(self, to: NodeId, message: InstallSnapshot, snapshot: bytes) -> None:
        """See `Link.send_snapshot`."""
        raise NotImplementedError

    def learn(self, peer: NodeId, address: str) -> None:
        """See `Link.learn`."""
        raise NotImplementedError
