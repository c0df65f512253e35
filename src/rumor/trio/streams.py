"""Streams: one request and one reply, each a frame with its length in front."""

from __future__ import annotations

import trio

from rumor.errors import ProtocolError
from rumor.messages import Reply, Request
from rumor.wire import LENGTH_BYTES, MAGIC, Wire


async def ask(stream: trio.abc.Stream, wire: Wire, request: Request, *, bytes_max: int) -> Reply:
    """Send a request on a stream just opened, and wait for the reply."""
    await stream.send_all(MAGIC + wire.pack_frame(request))
    return wire.unpack_reply(await _receive_frame(stream, bytes_max))


async def receive_request(stream: trio.abc.Stream, wire: Wire, *, bytes_max: int) -> Request:
    """Wait for the request on a stream that somebody opened."""
    if await _receive_exactly(stream, len(MAGIC)) != MAGIC:
        raise ProtocolError("a stream that does not begin with the magic bytes")
    return wire.unpack_request(await _receive_frame(stream, bytes_max))


async def _receive_frame(stream: trio.abc.Stream, bytes_max: int) -> bytes:
    length = int.from_bytes(await _receive_exactly(stream, LENGTH_BYTES), "big")
    if length > bytes_max:
        raise ProtocolError(f"a frame of {length} bytes, the limit is {bytes_max}")
    return await _receive_exactly(stream, length)


async def _receive_exactly(stream: trio.abc.Stream, length: int) -> bytes:
    """Receive that many bytes; memory grows with what came, not with what was promised."""
    data = bytearray()
    while len(data) < length:
        chunk = await stream.receive_some(min(65_536, length - len(data)))
        if not chunk:
            raise ProtocolError(f"the stream ended after {len(data)} of {length} bytes")
        data += chunk
    return bytes(data)
