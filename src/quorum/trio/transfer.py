"""A snapshot's way from one server to another, on a connection of its own.

    sender: InstallSnapshot      receiver: chunk(offset: what it has, data: its digest)
    sender: chunks from there on, or from 0
    receiver, once all of it is durable: an empty chunk at the end, as a receipt

When a transfer breaks off, the receiver keeps what it has on its disk, and the next one from the
same sender with the same mark goes on there; the digest (SHA-256) makes sure that both mean the
same bytes. A sender that is told to may go slowly, so that a snapshot does not take a link away
from the log.

In memory there are a few chunks at either end. On the receiver's disk there is the beginning of one
interrupted transfer at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import trio
from attrs import define, field

from quorum.errors import ProtocolError
from quorum.events import Received
from quorum.framing import FrameReader, frame
from quorum.messages import InstallSnapshot, NodeId, SnapshotMark
from quorum.storage import IncomingSnapshot, StoredSnapshot
from quorum.trio.connection import read_bodies
from quorum.trio.link import Receiver
from quorum.wire import (
    CHUNK_BYTES_MAX,
    SnapshotChunk,
    decode,
    decode_chunk,
    encode,
    encode_chunk,
)

SNAPSHOT_BYTES_MAX = 1 << 36
"""The largest snapshot that a server accepts; it goes to its disk as it comes."""

STALL_MAX = 30.0
"""Seconds without progress after which a transfer is given up."""

SAVE_MAX = 120.0
"""Seconds that the receiver may take to make the snapshot durable."""

RATE_MIN = 1024
"""Bytes per second: the slowest that a transfer may be told to be."""

_DIGEST_BYTES = sha256().digest_size


@define(eq=False)
class Partial:
    """What has come of one snapshot."""

    sender: NodeId
    mark: SnapshotMark
    data: IncomingSnapshot
    digest: Any = field(factory=sha256)
    """Of `data`, carried on with every chunk."""

    async def begin_anew(self, receiver: Receiver) -> None:
        """Forget what has come."""
        self.data.discard()
        self.data, self.digest = await receiver.receive_snapshot(self.mark), sha256()

    async def add(self, data: bytes) -> None:
        """Take the next bytes."""
        await self.data.write(data)
        self.digest.update(data)


class Shelf:
    """Keeps the beginning of the transfer that was interrupted last, and of no other."""

    def __init__(self) -> None:
        self.kept: Partial | None = None

    def put(self, partial: Partial) -> None:
        """Keep this one, and discard the one before."""
        self.clear()
        self.kept = partial

    def take(self, sender: NodeId, mark: SnapshotMark) -> Partial | None:
        """What there is of this snapshot from this sender: all of it is the caller's now."""
        kept = self.kept
        if kept is None or (kept.sender, kept.mark) != (sender, mark):
            return None
        self.kept = None
        return kept

    def clear(self) -> None:
        """Discard what is kept."""
        if self.kept is not None:
            self.kept.data.discard()
            self.kept = None


async def send(
    stream: trio.abc.Stream,
    reader: FrameReader,
    message: InstallSnapshot,
    snapshot: StoredSnapshot,
    *,
    rate: float | None = None,
) -> None:
    """Send what the receiver does not have, and wait for the receipt; raise if it does not come.

    `rate` is in bytes per second, at least `RATE_MIN`; None: as fast as it goes.
    """
    total = snapshot.size
    await stream.send_all(frame(encode(message)))
    start = await _agreed_start(stream, reader, snapshot)
    # A chunk takes a second at most, so that the receiver sees progress however slow it is.
    step = CHUNK_BYTES_MAX if rate is None else min(CHUNK_BYTES_MAX, int(rate))
    due = trio.current_time()
    for offset in range(start, max(total, 1), step):
        piece = await snapshot.read(offset, step)
        with _fail_after(STALL_MAX, "the receiver reads no more"):
            await stream.send_all(frame(encode_chunk(SnapshotChunk(offset, total, piece))))
        if rate is not None:
            due = max(due, trio.current_time() - 1) + len(piece) / rate
            await trio.sleep_until(due)
    with _fail_after(SAVE_MAX, "no receipt came"):
        bodies = await read_bodies(stream, reader)
    receipt = decode_chunk(bodies[0])
    if (receipt.offset, receipt.total, receipt.data) != (total, total, b""):
        raise ProtocolError("the receipt is not for this snapshot")


async def receive(
    stream: trio.abc.Stream, reader: FrameReader, sender: NodeId, receiver: Receiver, shelf: Shelf
) -> None:
    """Take in a snapshot, hand it over, and give the receipt; what is interrupted is shelved."""
    with _fail_after(STALL_MAX, "the sender sends no more"):
        bodies = await read_bodies(stream, reader)
    message = _announced(bodies.pop(0))
    if bodies or reader.buffered:
        raise ProtocolError("the sender did not wait to hear where to begin")
    receiver.received((Received(sender, message),))
    mark = message.mark
    partial = shelf.take(sender, mark)
    if partial is None:
        partial = Partial(sender, mark, await receiver.receive_snapshot(mark))
    interrupted = False
    try:
        try:
            total = await _collect(stream, reader, partial, receiver)
        except (OSError, ProtocolError, trio.BrokenResourceError):
            interrupted = partial.data.size > 0
            raise
        await receiver.snapshot_received(sender, message, partial.data)
        await stream.send_all(frame(encode_chunk(SnapshotChunk(total, total, b""))))
    finally:
        if interrupted:
            shelf.put(partial)
        else:
            partial.data.discard()


async def _agreed_start(
    stream: trio.abc.Stream, reader: FrameReader, snapshot: StoredSnapshot
) -> int:
    """Where to begin: behind what the receiver has, if that is the beginning of this snapshot."""
    with _fail_after(STALL_MAX, "the receiver does not say where to begin"):
        bodies = await read_bodies(stream, reader)
    offer = decode_chunk(bodies[0])
    if len(bodies) > 1 or len(offer.data) != _DIGEST_BYTES:
        raise ProtocolError("the receiver does not say where to begin")
    if not 0 < offer.offset < snapshot.size:
        return 0
    digest = sha256()
    for at in range(0, offer.offset, CHUNK_BYTES_MAX):
        digest.update(await snapshot.read(at, min(CHUNK_BYTES_MAX, offer.offset - at)))
        await trio.lowlevel.checkpoint()
    return offer.offset if digest.digest() == offer.data else 0


async def _collect(
    stream: trio.abc.Stream, reader: FrameReader, partial: Partial, receiver: Receiver
) -> int:
    """Say what is there, and add chunks until the snapshot is whole; return its size.

    A sender that begins at 0 begins anew.
    """
    have, digest = partial.data.size, partial.digest.digest()
    offer = SnapshotChunk(have, have + len(digest), digest)
    await stream.send_all(frame(encode_chunk(offer)))
    bodies: list[bytes] = []
    total: int | None = None
    while total is None or partial.data.size < total:
        if not bodies:
            with _fail_after(STALL_MAX, "the sender sends no more"):
                bodies = await read_bodies(stream, reader)
        chunk = decode_chunk(bodies.pop(0))
        if total is None:
            total = chunk.total
            if chunk.offset == 0 and have > 0:
                await partial.begin_anew(receiver)
        if total > SNAPSHOT_BYTES_MAX:
            raise ProtocolError(f"a snapshot of {total} bytes; the limit is {SNAPSHOT_BYTES_MAX}")
        known = partial.data.size
        if chunk.total != total or chunk.offset != known or not (chunk.data or not total):
            raise ProtocolError("a chunk of a snapshot is not the next one")
        await partial.add(chunk.data)
    return total


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
