"""A snapshot's way from one server to another, on a connection of its own.

After the handshake: InstallSnapshot, then chunks from the sender; and from the receiver, once all
of it is durable there, one empty chunk at the end as a receipt.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio

from quorum.errors import ProtocolError
from quorum.events import Received
from quorum.framing import FrameReader, frame
from quorum.messages import InstallSnapshot, NodeId
from quorum.trio.connection import Stream, read_bodies
from quorum.trio.link import Receiver
from quorum.wire import (
    CHUNK_BYTES_MAX,
    SnapshotChunk,
    decode,
    decode_chunk,
    encode,
    encode_chunk,
)

SNAPSHOT_BYTES_MAX = 1 << 30
"""The largest snapshot that a server accepts."""

STALL_MAX = 30.0
"""Seconds without progress after which a transfer is given up."""

SAVE_MAX = 120.0
"""Seconds that the receiver may take to make the snapshot durable."""


async def send(
    stream: Stream, reader: FrameReader, message: InstallSnapshot, snapshot: bytes
) -> None:
    """Send a snapshot and wait for the receipt; raise if it does not come."""
    total = len(snapshot)
    await stream.send_all(frame(encode(message)))
    for offset in range(0, max(total, 1), CHUNK_BYTES_MAX):
        piece = snapshot[offset : offset + CHUNK_BYTES_MAX]
        with _fail_after(STALL_MAX, "the receiver reads no more"):
            await stream.send_all(frame(encode_chunk(SnapshotChunk(offset, total, piece))))
    with _fail_after(SAVE_MAX, "no receipt came"):
        bodies = await read_bodies(stream, reader)
    receipt = decode_chunk(bodies[0])
    if (receipt.offset, receipt.total, receipt.data) != (total, total, b""):
        raise ProtocolError("the receipt is not for this snapshot")


async def receive(stream: Stream, reader: FrameReader, sender: NodeId, receiver: Receiver) -> None:
    """Take in a snapshot, hand it over, and give the receipt."""
    bodies: list[bytes] = []
    snapshot = bytearray()
    message: InstallSnapshot | None = None
    total: int | None = None
    while total is None or len(snapshot) < total:
        if not bodies:
            with _fail_after(STALL_MAX, "the sender sends no more"):
                bodies = await read_bodies(stream, reader)
        body = bodies.pop(0)
        if message is None:
            message = _announced(body)
            receiver.received((Received(sender, message),))
            continue
        chunk = decode_chunk(body)
        total = chunk.total if total is None else total
        if total > SNAPSHOT_BYTES_MAX:
            raise ProtocolError(f"a snapshot of {total} bytes; the limit is {SNAPSHOT_BYTES_MAX}")
        if chunk.total != total or chunk.offset != len(snapshot) or not (chunk.data or not total):
            raise ProtocolError("a chunk of a snapshot is not the next one")
        snapshot += chunk.data
    assert message is not None, "a total comes with a chunk, after the message"
    await receiver.snapshot_received(sender, message, bytes(snapshot))
    await stream.send_all(frame(encode_chunk(SnapshotChunk(total, total, b""))))


def _announced(body: bytes) -> InstallSnapshot:
    message = decode(body)
    if not isinstance(message, InstallSnapshot):
        raise ProtocolError("a snapshot begins with InstallSnapshot")
    return message


@contextmanager
def _fail_after(seconds: float, complaint: str) -> Iterator[None]:
    """As `trio.fail_after`, but the error says what did not happen."""
    try:
        with trio.fail_after(seconds):
            yield
    except trio.TooSlowError as error:
        raise ProtocolError(f"{complaint} for {seconds:g} s") from error
