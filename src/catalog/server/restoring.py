"""Restoring a snapshot through the log: all replicas become another registry at the same entry.

A snapshot is bigger than a log entry may be. So its pieces are entries; each replica gathers them,
and with the last one, if the checksum is right, becomes the registry that the snapshot holds.
What is gathered so far is part of the replica's own snapshot, else one that was restored from that
in between would answer otherwise than the rest.

A restoration is a write of everything. The snapshot may be of another cluster, whose log was
longer; so it is *rebased*: everything counts as changed by the entry that restored it. Hence no
index ever goes back, whoever waits for news gets them by the usual rule, and whoever compares
indexes reads anew. Likewise for locks: the counters of holders never fall, so a fencing token of
the time before is no newer than one given after. The clock of the log goes on as it is, and what is
left of lock-delays is counted by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import chain
from typing import Any, Final, TypeVar

import cbor2
from attrs import define, evolve, field

from catalog.answers import Applied, Refusal
from catalog.errors import ProtocolError
from catalog.model import KeyValue, Status
from catalog.operations import SNAPSHOT_CHUNK_BYTES, RestoreChunk
from catalog.registry.image import Image, ImageReader, KeysImage, ServicesImage
from catalog.registry.tables import Tables
from catalog.server.watch import WatchedRegistry
from catalog.wire import dumps, loads
from quorum.messages import Entries

__all__ = ["RESTORE_BYTES_MAX", "RestorableRegistry", "encode_chunk", "rebased"]

T = TypeVar("T", bound=Any)

RESTORE_BYTES_MAX: Final = 1024 * 1024 * 1024
"""Of a snapshot that is restored."""
CHUNK_MARK: Final = b"\xffrestore/1\n"
"""What the entries begin with; no command does, for in CBOR no value begins with this byte."""
GATHERING_MARK: Final = b"\xffgathering/1\n"
"""What the snapshot of a replica begins with that is gathering the pieces of another one."""
LENGTH_BYTES: Final = 8


def encode_chunk(chunk: RestoreChunk) -> bytes:
    """Return a piece as a log entry."""
    if len(chunk.data) > SNAPSHOT_CHUNK_BYTES:
        raise ValueError(f"a piece has {SNAPSHOT_CHUNK_BYTES} bytes at most, not {len(chunk.data)}")
    return CHUNK_MARK + dumps(chunk)


@define
class Gathering:
    """The pieces so far of a snapshot to restore, read as they come.

    Reading takes most of the time; so it is spread over the pieces, and the last one takes little.
    """

    id: str = ""
    pieces: list[bytes] = field(factory=list)
    size: int = 0
    _reader: ImageReader = field(factory=ImageReader)

    def add(self, piece: bytes) -> None:
        """Take the next piece; raise `ProtocolError` if it cannot be part of a snapshot."""
        self.pieces.append(piece)
        self.size += len(piece)
        self._reader.feed(piece)

    def image(self, checksum: bytes) -> Image:
        """Return what was gathered; raise `ProtocolError` if it is not all, or was damaged."""
        digest = sha256()
        for piece in self.pieces:
            digest.update(piece)
        if digest.digest() != checksum:
            raise ProtocolError("the snapshot was damaged on its way")
        return self._reader.finish()

    def to_bytes(self) -> bytes:
        """Return it as it begins a snapshot."""
        body: bytes = cbor2.dumps([self.id, self.pieces])
        return GATHERING_MARK + len(body).to_bytes(LENGTH_BYTES, "big") + body

    @classmethod
    def from_pieces(cls, id: str, pieces: Iterable[bytes]) -> Gathering:
        """Gather pieces that were gathered before, by a replica that made a snapshot then."""
        gathering = cls(id)
        for piece in pieces:
            gathering.add(piece)
        return gathering


class RestorableRegistry(WatchedRegistry):
    """A registry that becomes another one when the log says so."""

    def __init__(self) -> None:
        super().__init__()
        self._gathering = Gathering()

    def apply(self, entries: Entries) -> Sequence[Applied]:
        """See `Registry.apply`."""
        marks = [
            index
            for index, payload in enumerate(entries.payloads, entries.first)
            if payload[:1] == CHUNK_MARK[:1]
        ]
        if not marks:
            return super().apply(entries)
        answers: list[Applied] = []
        start = entries.first
        for index in marks:
            answers += super().apply(entries.slice(start, index)) if start < index else ()
            chunk = entries.slice(index, index + 1)
            answers.append(self._take(index, chunk.stamps[0], chunk.payloads[0]))
            start = index + 1
        if start <= entries.last:
            answers += super().apply(entries.slice(start, entries.last + 1))
        return answers

    def snapshot(self) -> Iterator[bytes]:
        """See `Registry.snapshot`."""
        image = super().snapshot()
        gathering = self._gathering
        return chain((gathering.to_bytes(),), image) if gathering.pieces else image

    def restore_chunks(self, chunks: Iterator[bytes]) -> Callable[[], None]:
        """See `Registry.restore_chunks`."""
        gathering, rest = _split(chunks)
        put_in_place = super().restore_chunks(rest)

        def put_all_in_place() -> None:
            put_in_place()
            self._gathering = gathering

        return put_all_in_place

    def _take(self, index: int, stamp: int, payload: bytes) -> Applied:
        """Take a piece; with the last one become what it was cut from, or say why not."""
        self.applied, self.clock = index, max(self.clock, stamp)
        gathered, self._gathering = self._gathering, Gathering()
        try:
            chunk = loads(payload.removeprefix(CHUNK_MARK), RestoreChunk)
        except ProtocolError:
            return _refused(index, f"entry {index} is no piece of a snapshot of this version")
        if chunk.number == 0:
            gathered = Gathering(chunk.id)
        if chunk.id != gathered.id or chunk.number != len(gathered.pieces):
            return _refused(index, f"piece {chunk.number} of {chunk.id!r} does not follow")
        if gathered.size + len(chunk.data) > RESTORE_BYTES_MAX:
            return _refused(index, f"the snapshot has more than {RESTORE_BYTES_MAX} bytes")
        try:
            gathered.add(chunk.data)
            if not chunk.sha256:
                self._gathering = gathered
                return Applied(index)
            image = gathered.image(chunk.sha256)
        except ProtocolError:
            return _refused(index, "it is damaged, or no snapshot of this version of the catalog")
        image = rebased(image, self._tables.image(self.applied, self.clock), index=index)
        # The pieces and the old state go before the new one is put together, and leave it their
        # memory. That cannot fail: all was read. Nobody looks in between: it is one step.
        del gathered, chunk
        self._clear()
        self._put_in_place(Tables.from_image(image), index, self.clock)
        return Applied(index)


def _split(chunks: Iterator[bytes]) -> tuple[Gathering, Iterator[bytes]]:
    """Return what a snapshot begins with, if anything, and the rest of it."""
    data = b""
    while len(data) < len(GATHERING_MARK) + LENGTH_BYTES:
        if (chunk := next(chunks, None)) is None:
            break
        data += chunk
    if not data.startswith(GATHERING_MARK):
        return Gathering(), chain((data,), chunks)
    start = len(GATHERING_MARK) + LENGTH_BYTES
    stop = start + int.from_bytes(data[len(GATHERING_MARK) : start], "big")
    parts = [data]
    size = len(data)
    while size < stop and (chunk := next(chunks, None)) is not None:
        parts.append(chunk)
        size += len(chunk)
    data = b"".join(parts)
    name, pieces = cbor2.loads(data[start:stop])
    return Gathering.from_pieces(name, pieces), chain((data[stop:],), chunks)


def _refused(index: int, why: str) -> Applied:
    text = f"{why}; nothing was restored, what was gathered is dropped: begin again"
    return Applied(index, Refusal.MALFORMED, text)


def rebased(image: Image, current: Image, *, index: int) -> Image:
    """Return an image as if all in it had been written by the entry at `index`.

    Args:
        image: what is to be restored.
        current: what is replaced by it; its clock goes on, its locks' counters do not fall.
        index: of the entry that does so.

    """
    later = current.clock - image.clock
    return Image(
        applied=index,
        clock=current.clock,
        services=_services(image.services, index),
        keys=_keys(image.keys, current.keys, index),
        sessions=evolve(
            image.sessions,
            sessions=tuple(_written(one, index) for one in image.sessions.sessions),
            index=index,
            indexes=tuple((name, index) for name, _ in image.sessions.indexes),
            extinction_index=index,
        ),
        delays=tuple((key, max(end + later, 0)) for key, end in image.delays),
        queries=evolve(
            image.queries,
            queries=tuple(_written(one, index) for one in image.queries.queries),
            index=index,
        ),
        coordinates=evolve(image.coordinates, index=index),
    )


def _written(row: T, index: int) -> T:
    written: T = evolve(row, create_index=min(row.create_index, index), modify_index=index)
    return written


def _services(image: ServicesImage, index: int) -> ServicesImage:
    return ServicesImage(
        nodes=tuple(
            evolve(
                _written(row, index),
                index=index,
                instances=tuple(_written(one, index) for one in row.instances),
            )
            for row in image.nodes
        ),
        indexes=tuple((name, index) for name, _ in image.indexes),
        index=index,
        nodes_index=index,
        services_index=index,
        extinction_index=index,
        node_extinction_index=index,
        status_indexes=(index,) * len(Status),
    )


def _keys(image: KeysImage, current: KeysImage, index: int) -> KeysImage:
    """The keys, whose counters of holders go on from the higher of both."""
    before = {one.key: one.lock_index for one in current.entries}
    highest = max(
        [
            image.swept_lock,
            current.swept_lock,
            *before.values(),
            *(tombstone.lock_index for _, tombstone in (*image.tombstones, *current.tombstones)),
        ]
    )

    def fenced(one: KeyValue) -> KeyValue:
        """A holder of before may have the same token as one of the snapshot: count one up."""
        old = before.get(one.key, highest)
        return one if old < one.lock_index else evolve(one, lock_index=old + bool(old))

    entries = tuple(fenced(_written(one, index)) for one in image.entries)
    return KeysImage(entries, tombstones=(), swept_index=index, swept_lock=highest)
