"""Frames over one connection, bounded in both directions.

Frames that are put while an earlier write is under way leave together in the next: whatever came
meanwhile is one system call.
Memory is bounded by whoever puts: it waits for `room` first.
"""

from __future__ import annotations

import socket

import trio

from catalog.errors import ProtocolError
from catalog.rpc.frames import Frame, FrameReader, encode

__all__ = ["FAULTS", "Channel", "keep_alive"]

CHUNK_BYTES = 65_536
"""Read at once."""
WAITING_BYTES_MAX = 1024 * 1024
"""Once so much waits to be sent, `room` waits."""
SEND_SECONDS_MAX = 30.0
"""A peer that takes nothing for so long is gone."""

FAULTS = (
    OSError,
    ProtocolError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    trio.TooSlowError,
)
"""What a peer or the network may do to a connection; never a reason for the agent to stop."""


def keep_alive(stream: trio.SocketStream) -> None:
    """Let the kernel find out about a peer that vanished, within some 30 seconds."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):  # not everywhere
            stream.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


class Channel:
    """Frames in and out of a stream; run `write` beside whoever receives."""

    def __init__(self, stream: trio.abc.Stream, *, frame_bytes_max: int) -> None:
        self._stream = stream
        self._reader = FrameReader(frame_bytes_max=frame_bytes_max)
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._bell = trio.Event()
        self._drained = trio.Event()

    def put(self, frame: Frame) -> None:
        """Have a frame sent; it never waits, see `room`."""
        data = encode(frame)
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        self._bell.set()

    async def room(self) -> None:
        """Wait until little enough waits to be sent."""
        while self._waiting_bytes > WAITING_BYTES_MAX:
            await self._drained.wait()

    async def flush(self) -> None:
        """Send what waits; only where `write` does not run."""
        data, self._waiting, self._waiting_bytes = b"".join(self._waiting), [], 0
        with trio.fail_after(SEND_SECONDS_MAX):
            await self._stream.send_all(data)

    async def write(self) -> None:
        """Send what is put, for ever; raise one of `FAULTS` when the peer takes nothing more."""
        while True:
            await self._bell.wait()
            self._bell = trio.Event()
            await self.flush()
            self._drained.set()
            self._drained = trio.Event()

    async def receive(self) -> list[Frame]:
        """Return the frames that came next, at least one; none at the end of the stream.

        Raises one of `FAULTS`.
        """
        while True:
            data = await self._stream.receive_some(CHUNK_BYTES)
            if not data:
                if self._reader.buffered:
                    raise ProtocolError("the stream ended within a frame")
                return []
            if frames := self._reader.feed(bytes(data)):
                return frames

    async def close(self) -> None:
        """Close the stream at once."""
        await trio.aclose_forcefully(self._stream)
