"""One TCP port for three protocols: look at the first four bytes, hand the connection on.

The bytes are only looked at (`MSG_PEEK`), so whoever gets the connection reads it from the start,
as if it had accepted it.
A stranger is given little time to say what it wants, and there is room for few who have not; what
is neither of the three is closed.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import trio

from catalog.config import Address, format_address
from catalog.errors import StartError

__all__ = ["Door", "Doorway", "open_door"]

log = logging.getLogger("catalog")

MAGIC_BYTES: Final = 4
PEEK_SECONDS_MAX = 5.0
PEEKING_MAX = 256
"""Connections that have not said what they want; one more is closed."""
WAITING_MAX = 64
"""Connections that one protocol has not accepted yet; one more is closed."""
POLL_SECONDS = 0.01
"""Between two looks at a connection that has sent one to three bytes."""
FULL_SECONDS = 0.1
"""How long to wait when the process has no file descriptor left."""
PORT_ATTEMPTS_MAX = 32
"""How often a free TCP port may turn out to be taken for UDP."""
FULL = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Doorway(trio.abc.Listener[trio.SocketStream]):
    """A listener for one of the protocols."""

    def __init__(self) -> None:
        self.closed = False
        """While this is set, connections are refused; nobody is there yet who would accept."""
        self._in, self._out = trio.open_memory_channel[trio.SocketStream](WAITING_MAX)

    async def accept(self) -> trio.SocketStream:
        """Wait for a connection; raise `trio.ClosedResourceError` once closed."""
        return await self._out.receive()

    def hand_over(self, stream: trio.SocketStream) -> bool:
        """Give a connection to whoever accepts; return whether there was room."""
        if self.closed:
            return False
        try:
            self._in.send_nowait(stream)
        except (trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
            return False
        return True

    async def aclose(self) -> None:
        """Close the doorway, and the connections that nobody accepted."""
        self._in.close()
        try:
            while True:
                await trio.aclose_forcefully(self._out.receive_nowait())
        except (trio.WouldBlock, trio.EndOfChannel, trio.ClosedResourceError):
            self._out.close()
        await trio.lowlevel.checkpoint()


class Door:
    """Accepts connections and sorts them; made by `open_door`."""

    def __init__(self, listener: trio.SocketListener, magics: Sequence[bytes]) -> None:
        self._listener = listener
        self._doorways = {magic: Doorway() for magic in magics}
        self._peeking = 0
        host, port, *_ = listener.socket.getsockname()
        self.address: Address = (host, port)
        """Where it listens, the port number as it turned out."""

    def doorway(self, magic: bytes) -> Doorway:
        """Return the listener for connections that begin with these bytes."""
        return self._doorways[magic]

    async def run(self) -> None:
        """Accept and sort, for ever."""
        async with trio.open_nursery() as nursery:
            while True:
                try:
                    stream = await self._listener.accept()
                except OSError as error:
                    if error.errno not in FULL:
                        raise
                    log.error("no connection can be accepted: %s", error)  # noqa: TRY400
                    await trio.sleep(FULL_SECONDS)
                    continue
                if self._peeking >= PEEKING_MAX:
                    await trio.aclose_forcefully(stream)
                    continue
                self._peeking += 1
                nursery.start_soon(self._sort, stream)

    async def _sort(self, stream: trio.SocketStream) -> None:
        kept = False
        try:
            with trio.move_on_after(PEEK_SECONDS_MAX):
                magic = await _peek(stream)
                doorway = self._doorways.get(magic)
                if doorway is not None:
                    kept = doorway.hand_over(stream)
                elif magic:
                    log.warning("a connection that began with %r was closed", magic)
        except OSError:
            pass  # gone again
        finally:
            self._peeking -= 1
            if not kept:
                await trio.aclose_forcefully(stream)


async def _peek(stream: trio.SocketStream) -> bytes:
    """Return the first bytes of a connection, without taking them; fewer if it has ended."""
    while True:
        data = await stream.socket.recv(MAGIC_BYTES, socket.MSG_PEEK)
        if len(data) == MAGIC_BYTES or not data:
            return data
        await trio.sleep(POLL_SECONDS)  # a reader that only looks is woken by what it has seen


@asynccontextmanager
async def open_door(bind: Address, magics: Sequence[bytes]) -> AsyncIterator[Door]:
    """Listen at `bind`; port 0 means any that is free, for UDP as well.

    Raises:
        StartError: the address cannot be had.

    """
    listener = await _listen(bind)
    door = Door(listener, magics)
    try:
        yield door
    finally:
        with trio.CancelScope(shield=True):
            await listener.aclose()
            for doorway in door._doorways.values():  # noqa: SLF001 - ours
                await doorway.aclose()


async def _listen(bind: Address) -> trio.SocketListener:
    host, port = bind
    try:
        for attempt in range(PORT_ATTEMPTS_MAX):
            first, *others = await trio.open_tcp_listeners(port, host=host)
            for other in others:  # a name with several addresses: the first is advertised
                await other.aclose()
            if _is_free_for_udp(first.socket.getsockname()[:2]):
                return first
            await first.aclose()
            if port:
                raise OSError(errno.EADDRINUSE, "the UDP port is in use")  # noqa: TRY301
            log.debug("attempt %d at a free port failed", attempt)
        raise OSError(errno.EADDRINUSE, "no port is free for both TCP and UDP")  # noqa: TRY301
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno == errno.EADDRINUSE:
            reason = "another process listens there; stop it, or choose another port with bind"
        raise StartError(f"cannot listen at {format_address(bind)}: {reason}") from error


def _is_free_for_udp(address: Address) -> bool:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        try:
            udp.bind(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
    return True
