"""Streams: one request and one reply, each a frame with its length in front.

Without keys::

    dialler                     listener
      │ RUM1 request ─────────────► │
      │ ◄──────────────────── reply │

With keys the listener speaks first, and what it says is bound into the request, and both into the
reply; so neither can be played again on another stream::

      │ RUM1 SEAL ────────────────► │
      │ ◄──────────── challenge(12) │
      │ request, sealed ──────────► │
      │ ◄──────────── reply, sealed │

``SEAL`` read as the length of a frame is more than a gigabyte, so whoever has no keys refuses at
once instead of waiting for it.
"""

from __future__ import annotations

import trio

from rumor.errors import NotAuthentic, ProtocolError
from rumor.guard import Guard
from rumor.keyring import NONCE_BYTES
from rumor.messages import Reply, Request
from rumor.wire import LENGTH_BYTES, MAGIC, Wire

SEALED = b"SEAL"


async def ask(
    stream: trio.abc.Stream,
    wire: Wire,
    request: Request,
    *,
    bytes_max: int,
    guard: Guard | None = None,
) -> Reply:
    """Send a request on a stream just opened, and wait for the reply."""
    frame = wire.pack_frame(request)
    if guard is None:
        await stream.send_all(MAGIC + frame)
        return wire.unpack_reply(await _receive_frame(stream, bytes_max))
    await stream.send_all(MAGIC + SEALED)
    challenge = await _receive_exactly(stream, NONCE_BYTES)
    sealed = guard.seal_frame(frame[LENGTH_BYTES:], purpose=b"request", bound=challenge)
    await stream.send_all(_framed(sealed))
    reply = await _receive_frame(stream, bytes_max)
    bound = challenge + sealed[:NONCE_BYTES]
    return wire.unpack_reply(guard.open_frame(reply, purpose=b"reply", bound=bound))


async def receive_request(
    stream: trio.abc.Stream, wire: Wire, *, bytes_max: int, guard: Guard | None = None
) -> tuple[Request, bytes]:
    """Wait for the request on a stream that somebody opened; the reply is to be bound to it."""
    if await _receive_exactly(stream, len(MAGIC)) != MAGIC:
        raise ProtocolError("a stream that does not begin with the magic bytes")
    if guard is None:
        return wire.unpack_request(await _receive_frame(stream, bytes_max)), b""
    if await _receive_exactly(stream, len(SEALED)) != SEALED:
        raise NotAuthentic("a stream that is not sealed")
    challenge = guard.new_challenge()
    await stream.send_all(challenge)
    sealed = await _receive_frame(stream, bytes_max)
    body = guard.open_frame(sealed, purpose=b"request", bound=challenge)
    return wire.unpack_request(body), challenge + sealed[:NONCE_BYTES]


async def send_reply(
    stream: trio.abc.Stream, wire: Wire, reply: Reply, *, bound: bytes, guard: Guard | None = None
) -> None:
    """Answer the request that :func:`receive_request` gave, with what it said to bind."""
    frame = wire.pack_frame(reply)
    if guard is not None:
        frame = _framed(guard.seal_frame(frame[LENGTH_BYTES:], purpose=b"reply", bound=bound))
    await stream.send_all(frame)


def _framed(body: bytes) -> bytes:
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


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
