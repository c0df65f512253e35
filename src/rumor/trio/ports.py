"""Ports: one agent's place in a network, for datagrams and streams under one address.

:class:`Port` is all that the driver knows of networks. :func:`open_sockets` opens UDP and TCP
sockets; :mod:`rumor.trio.memory` has a network within the process, for tests and simulations.
"""

from __future__ import annotations

import socket
from errno import EADDRINUSE
from typing import Protocol

import trio
from attrs import define

from rumor.messages import Address

RECEIVE_BUFFER_BYTES = 1 << 20
"""Asked of the kernel, so that a pause of the process does not lose acks."""

DATAGRAM_BYTES_MAX = 65_535
PORT_ATTEMPTS_MAX = 32
"""How often a free TCP port may turn out to be taken for UDP."""


class Port(Protocol):
    """One agent's place in a network."""

    @property
    def address(self) -> Address:
        """Where datagrams and streams arrive."""

    @property
    def listener(self) -> trio.abc.Listener[trio.abc.Stream]:
        """Gives the streams that others open; whoever serves it closes it."""

    def send_nowait(self, data: bytes, to: Address) -> bool:
        """Send a datagram, or tell that it could not be sent; never wait, never raise."""

    def receive_nowait(self) -> tuple[bytes, Address]:
        """Take a datagram that is there, or raise ``trio.WouldBlock``."""

    async def wait_readable(self) -> None:
        """Wait until a datagram is there."""

    async def dial(self, to: Address) -> trio.abc.Stream:
        """Open a stream, or raise ``OSError``."""

    def close(self) -> None:
        """Give the address back; what was sent is not lost."""


class OpenPort(Protocol):
    """How an agent comes by its port: :func:`open_sockets`, or a memory network's method."""

    async def __call__(
        self,
        bind: Address,
        *,
        listener: trio.abc.Listener[trio.abc.Stream] | None = None,
    ) -> Port:
        """Open a port at `bind`; port number 0 means any. Raise ``OSError`` if it is taken."""


@define
class SocketPort:
    """A UDP socket and a TCP listener, of the same port number."""

    address: Address
    listener: trio.abc.Listener[trio.abc.Stream]
    _udp: socket.socket

    def send_nowait(self, data: bytes, to: Address) -> bool:
        """Send a datagram; a full buffer or an unreachable host loses it, as any link may."""
        try:
            self._udp.sendto(data, to)
        except OSError:
            return False
        return True

    def receive_nowait(self) -> tuple[bytes, Address]:
        """Take a datagram that is there, or raise ``trio.WouldBlock``."""
        try:
            data, (host, port, *_) = self._udp.recvfrom(DATAGRAM_BYTES_MAX)
        except OSError:  # nothing there, or the echo of an earlier datagram that bounced
            raise trio.WouldBlock from None
        return data, (host, port)

    async def wait_readable(self) -> None:
        """Wait until a datagram is there."""
        await trio.lowlevel.wait_readable(self._udp)

    async def dial(self, to: Address) -> trio.abc.Stream:
        """Open a TCP connection; the host may be a name."""
        return await trio.open_tcp_stream(*to)

    def close(self) -> None:
        """Close the UDP socket."""
        self._udp.close()


async def open_sockets(
    bind: Address,
    *,
    listener: trio.abc.Listener[trio.abc.Stream] | None = None,
) -> SocketPort:
    """Open UDP and TCP at `bind`, or only UDP if a listener is given already."""
    host, number = bind
    if listener is not None:
        udp = _open_udp(host, number)
        return SocketPort(_address_of(udp), listener, udp)
    for attempt in range(PORT_ATTEMPTS_MAX):
        (tcp, *others) = await trio.open_tcp_listeners(number, host=host)
        for other in others:
            await other.aclose()
        try:
            udp = _open_udp(host, tcp.socket.getsockname()[1])
        except OSError as error:
            await tcp.aclose()
            if error.errno != EADDRINUSE or number != 0 or attempt == PORT_ATTEMPTS_MAX - 1:
                raise
        else:
            return SocketPort(_address_of(udp), tcp, udp)
    raise AssertionError("the last attempt returns or raises")


def _open_udp(host: str, number: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    udp = socket.socket(family, socket.SOCK_DGRAM)
    try:
        udp.setblocking(False)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        udp.bind((host, number))
    except BaseException:
        udp.close()
        raise
    return udp


def _address_of(udp: socket.socket) -> Address:
    host, number, *_ = udp.getsockname()
    return host, number
