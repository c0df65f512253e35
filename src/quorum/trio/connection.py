"""One TCP connection between two servers: the handshake, then frames in both directions.

    dialler:  MAGIC · frame(Hello)               acceptor:  frame(Hello)
    then frames each way, for the purpose that the dialler's Hello names.

All but the magic may go through TLS (`quorum.trio.tls`).

Sending does not wait: what the kernel does not take now goes into an outbox with a limit, and a
task sends that on. When the outbox is full its oldest frames are dropped; Raft repairs that.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections import deque
from collections.abc import Collection, Sequence
from typing import NoReturn, TypeAlias

import trio

from quorum.errors import ProtocolError
from quorum.framing import FrameReader, frame
from quorum.wire import Hello, decode_hello, encode_hello

MAGIC = b"QRM1"
"""The first bytes of every connection, so that one port can serve several protocols."""

TLS_HANDSHAKE = b"\x16\x03"
"""How TLS begins (RFC 8446, 5.1): as a frame's length this would be more than a Hello has."""

HELLO_BYTES_MAX = 1024
"""What a stranger may send before we know where it belongs."""

HANDSHAKE_TIMEOUT = 5.0
"""Seconds for both Hellos."""

READ_BYTES = 1 << 16
"""Most bytes in one read; all frames in it reach the core as one batch."""

OUTBOX_BYTES_MAX = 32 << 20
"""Bytes that wait for one peer to read, before the oldest frames are dropped."""

SILENCE_MAX = 10
"""Seconds for which sent bytes may stay unacknowledged by the other host's kernel."""

SecureStream: TypeAlias = trio.SSLStream[trio.SocketStream]
Stream: TypeAlias = trio.SocketStream | SecureStream


class Connection:
    """A connection after its handshake; the nursery is where its sending task runs, if need be."""

    def __init__(self, stream: Stream, reader: FrameReader, nursery: trio.Nursery) -> None:
        self._stream = stream
        self._reader = reader
        self._nursery = nursery
        self._socket = stream.socket if isinstance(stream, trio.SocketStream) else None
        self._draining = False
        self._outbox: deque[bytes] = deque()
        self._outbox_bytes = 0

    def send(self, frames: Sequence[bytes]) -> None:
        """Send frames now, as far as the kernel takes them, and the rest as soon as it does."""
        if self._draining:
            self._outbox.extend(frames)
            self._outbox_bytes += sum(map(len, frames))
            while self._outbox_bytes > OUTBOX_BYTES_MAX:
                self._outbox_bytes -= len(self._outbox.popleft())
            return
        data = frames[0] if len(frames) == 1 else b"".join(frames)
        sent = 0
        if self._socket is not None:  # what goes through TLS is sent by the task
            try:
                sent = os.write(self._socket.fileno(), data)
            except BlockingIOError:
                pass
            except OSError:
                return  # broken: `receive` finds out by reading
        if sent < len(data):
            self._draining = True
            self._nursery.start_soon(self._drain, memoryview(data)[sent:])

    async def receive(self) -> list[bytes]:
        """The bodies of the frames that one read brought; none at the end of the stream.

        Raise `OSError` or `ProtocolError` when the stream breaks or is cut within a frame.
        """
        while True:
            if self._socket is None:
                data = await _receive_some(self._stream)
            else:
                await trio.lowlevel.wait_readable(self._socket.fileno())
                try:
                    data = os.read(self._socket.fileno(), READ_BYTES)
                except BlockingIOError:
                    continue
            if not data:
                if self._reader.buffered:
                    raise ProtocolError("the connection was closed within a frame")
                return []
            bodies = self._reader.feed(data)
            if bodies:
                return bodies

    async def _drain(self, data: bytes | memoryview) -> None:
        """Send the rest, and what has gathered behind it, until nothing is left."""
        try:
            while data:
                await self._stream.send_all(data)
                data = b"".join(self._outbox)
                self._outbox.clear()
                self._outbox_bytes = 0
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._outbox.clear()  # broken: `receive` finds out by reading
        self._draining = False


async def greet(
    stream: Stream, ours: Hello, *, limit: int, magic: bytes = MAGIC
) -> tuple[Hello, FrameReader]:
    """The dialler's side of the handshake; `limit` is for the frames that follow.

    `magic` is empty where it was sent before. Raise `WrongCluster` if the other end belongs
    elsewhere.
    """
    if isinstance(stream, trio.SocketStream):
        tune(stream)
    await stream.send_all(magic + frame(encode_hello(ours)))
    reader = FrameReader(limit=HELLO_BYTES_MAX)
    bodies: list[bytes] = []
    while not bodies:  # nothing but its Hello: it may have more to say at once
        bodies = reader.feed(await _receive_some(stream, reader.missing) or _cut())
    return decode_hello(bodies[0], cluster=ours.cluster), FrameReader(limit=limit)


async def welcome(
    stream: Stream, ours: Hello, *, limit: int, names: Collection[str] | None = None
) -> tuple[Hello, FrameReader]:
    """The acceptor's side of the handshake; `names` are those in a certificate, behind the magic.

    A caller from elsewhere gets our Hello, too: so both logs say what is wrong. One that uses a
    name which is not its own gets nothing.
    """
    start = b""
    if isinstance(stream, trio.SocketStream):
        tune(stream)
        start = await read_magic(stream, HELLO_BYTES_MAX) or await _receive_some(stream)
        if start.startswith(TLS_HANDSHAKE):
            raise ProtocolError("the caller uses TLS, this server does not: set it up here")
    reader = FrameReader(limit=HELLO_BYTES_MAX)
    bodies = reader.feed(start) or await read_bodies(stream, reader)
    if names is not None:
        sender = decode_hello(bodies[0], cluster=ours.cluster).sender
        if sender not in names:
            raise ProtocolError(
                f"it calls itself {sender}, its certificate is for {', '.join(names) or 'nobody'}"
            )
    await stream.send_all(frame(encode_hello(ours)))
    if len(bodies) > 1 or reader.buffered:
        raise ProtocolError("the caller did not wait for an answer")
    return decode_hello(bodies[0], cluster=ours.cluster), FrameReader(limit=limit)


async def read_magic(stream: trio.SocketStream, limit: int) -> bytes:
    """Read the magic, in `limit` bytes at most; return what came behind it."""
    start = b""
    while len(start) < len(MAGIC):
        data = await stream.receive_some(limit - len(start))
        start += data
        if not data or not start.startswith(MAGIC[: len(start)]):
            raise ProtocolError("the caller does not speak our protocol")
    return start[len(MAGIC) :]


async def read_bodies(stream: trio.abc.Stream, reader: FrameReader) -> list[bytes]:
    """The bodies of the next frames, at least one; ProtocolError at the end of the stream."""
    while True:
        bodies = reader.feed(await _receive_some(stream) or _cut())
        if bodies:
            return bodies


def _cut() -> NoReturn:
    raise ProtocolError("the connection was closed too early: the other end's log may say why")


async def _receive_some(stream: trio.abc.Stream, most: int = READ_BYTES) -> bytes:
    """Read, from either kind of stream; ConnectionError when it breaks."""
    try:
        return bytes(await stream.receive_some(most))
    except trio.BrokenResourceError as error:
        cause = error.__cause__
        if isinstance(cause, ssl.SSLError):
            raise ConnectionError(f"TLS broke: {cause.reason}") from error
        raise ConnectionError("the connection broke: the other end's log may say why") from error


def tune(stream: trio.SocketStream) -> None:
    """Send small frames at once, and find out when the other host is gone."""
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {
        "TCP_KEEPIDLE": SILENCE_MAX // 2,
        "TCP_KEEPINTVL": 2,
        "TCP_KEEPCNT": 3,
        "TCP_USER_TIMEOUT": SILENCE_MAX * 1000,
    }
    for name, value in options.items():
        if hasattr(socket, name):  # not every system has all of them
            stream.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
