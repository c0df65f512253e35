"""A network within the process: the same agents, without sockets and in virtual time.

Give :meth:`MemoryNetwork.open_port` to :func:`rumor.open_agent` as ``open_port``. With trio's
``MockClock`` an hour passes in a moment. Datagrams may be lost and the network may be cut in two;
delays, duplicates and the like are the simulator's business.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from errno import EADDRINUSE
from typing import TYPE_CHECKING

import trio
import trio.testing
from attrs import define, field

from rumor.messages import Address

if TYPE_CHECKING:
    from random import Random

QUEUE_MAX = 4_096
"""Datagrams, and streams, that wait at one address; more are lost, and refused."""


@define
class MemoryNetwork:
    """Addresses and what lies between them."""

    random: Random | None = None
    loss: float = 0.0
    """Part of the datagrams that is lost, 0 to 1; above 0 it needs `random`."""
    _ports: dict[Address, MemoryPort] = field(factory=dict)
    _cut: frozenset[Address] = frozenset()

    async def open_port(
        self,
        bind: Address,
        *,
        listener: trio.abc.Listener[trio.abc.Stream] | None = None,
    ) -> MemoryPort:
        """Open a port; see :class:`rumor.trio.ports.OpenPort`."""
        host, number = bind
        while number == 0 or (bind[1] == 0 and (host, number) in self._ports):
            number = max((n for _, n in self._ports), default=10_000) + 1
        if (host, number) in self._ports:
            raise OSError(EADDRINUSE, f"{host}:{number} is taken")
        port = MemoryPort(self, (host, number), listener)
        self._ports[port.address] = port
        await trio.lowlevel.checkpoint()
        return port

    def cut(self, addresses: Iterable[Address]) -> None:
        """Let nothing pass between these addresses and all others, in either direction."""
        self._cut = frozenset(addresses)

    def heal(self) -> None:
        """Let everything pass again."""
        self._cut = frozenset()

    def find(self, source: Address, to: Address) -> MemoryPort | None:
        """The port at `to`, if it is open and can be reached from `source`."""
        return self._ports.get(to) if (source in self._cut) is (to in self._cut) else None

    def loses(self) -> bool:
        """Decide whether the next datagram is lost."""
        return self.random is not None and self.random.random() < self.loss

    def release(self, address: Address) -> None:
        """Forget a port that was closed."""
        self._ports.pop(address, None)


@define
class MemoryListener(trio.abc.Listener[trio.abc.Stream]):
    """Streams that others opened and that wait to be accepted."""

    _send: trio.MemorySendChannel[trio.abc.Stream]
    _receive: trio.MemoryReceiveChannel[trio.abc.Stream]

    async def accept(self) -> trio.abc.Stream:
        """Wait for a stream."""
        try:
            return await self._receive.receive()
        except trio.EndOfChannel:
            raise trio.ClosedResourceError from None

    async def aclose(self) -> None:
        """Refuse streams from now on."""
        self._send.close()
        self._receive.close()
        await trio.lowlevel.checkpoint()

    def connect(self, stream: trio.abc.Stream) -> None:
        """Hand over the far end of a stream, or raise ``OSError``."""
        try:
            self._send.send_nowait(stream)
        except (trio.WouldBlock, trio.ClosedResourceError, trio.BrokenResourceError) as error:
            raise ConnectionRefusedError("nobody accepts") from error


class MemoryPort:
    """One agent's place in a :class:`MemoryNetwork`."""

    def __init__(
        self,
        network: MemoryNetwork,
        address: Address,
        listener: trio.abc.Listener[trio.abc.Stream] | None,
    ) -> None:
        self.address = address
        self._own = MemoryListener(*trio.open_memory_channel[trio.abc.Stream](QUEUE_MAX))
        self.listener: trio.abc.Listener[trio.abc.Stream] = listener or self._own
        self._network = network
        self._datagrams: deque[tuple[bytes, Address]] = deque(maxlen=QUEUE_MAX)
        self._readable = trio.Event()

    def send_nowait(self, data: bytes, to: Address) -> bool:
        """Put a datagram into the other's queue, unless the network loses it."""
        port = self._network.find(self.address, to)
        if port is not None and not self._network.loses():
            port.deliver(data, self.address)
        return True

    def deliver(self, data: bytes, source: Address) -> None:
        """Take a datagram in."""
        self._datagrams.append((data, source))
        self._readable.set()

    def receive_nowait(self) -> tuple[bytes, Address]:
        """Take a datagram that is there, or raise ``trio.WouldBlock``."""
        if not self._datagrams:
            if self._readable.is_set():  # else somebody may be waiting for this very event
                self._readable = trio.Event()
            raise trio.WouldBlock
        return self._datagrams.popleft()

    async def wait_readable(self) -> None:
        """Wait until a datagram is there."""
        await self._readable.wait()

    async def dial(self, to: Address) -> trio.abc.Stream:
        """Open a stream to another port's listener."""
        await trio.lowlevel.checkpoint()
        port = self._network.find(self.address, to)
        if port is None:
            raise ConnectionRefusedError(f"nobody at {to[0]}:{to[1]}")
        near, far = trio.testing.memory_stream_pair()
        port.accept(far)
        return near

    def accept(self, stream: trio.abc.Stream) -> None:
        """Let a stream wait for the listener, or raise ``OSError``."""
        self._own.connect(stream)

    def close(self) -> None:
        """Give the address back."""
        self._network.release(self.address)
