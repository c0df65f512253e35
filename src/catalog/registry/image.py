"""A registry at rest: rows that leave out what can be joined again, in one canonical order.

Equal registries have equal images, and equal images have equal bytes, whatever the order in which
things were registered; so replicas can be compared by their snapshots.
The history of changes is not part of it: where a snapshot was restored, subscribers start again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from attrs import evolve, frozen

from catalog.errors import ProtocolError
from catalog.model import (
    CheckState,
    Coordinate,
    Instance,
    KeyValue,
    Node,
    Service,
    Session,
)
from catalog.queries import PreparedQuery
from catalog.wire import dumps, loads

__all__ = [
    "CoordinatesImage",
    "Image",
    "ImageReader",
    "InstanceRow",
    "KeysImage",
    "NodeRow",
    "QueriesImage",
    "ServicesImage",
    "SessionsImage",
    "Tombstone",
]

HEADER: Final = b"catalog/2\n"
"""What a snapshot starts with: the format, and its version."""
LENGTH_BYTES: Final = 4
PART_BYTES_MAX: Final = 512 * 1024 * 1024
"""One part: a node with half a million instances."""
KEYS_PER_PART: Final = 64
"""Of the largest values these are 32 MiB, of most a few KiB."""
CBOR_ARRAY: Final = 4
"""The major type of an array (RFC 8949 section 3.1)."""


@frozen
class InstanceRow:
    """An instance without what its node says."""

    service: Service
    checks: tuple[CheckState, ...]
    create_index: int
    modify_index: int


@frozen
class NodeRow:
    """A node and its instances, by service id."""

    node: Node
    health: CheckState | None
    checks: tuple[CheckState, ...]
    create_index: int
    modify_index: int
    index: int
    instances: tuple[InstanceRow, ...]

    def joined(self) -> tuple[Instance, ...]:
        """Return the instances, each with its node again."""
        return tuple(
            Instance(
                self.node,
                row.service,
                self.health,
                row.checks,
                row.create_index,
                row.modify_index,
                self.checks,
            )
            for row in self.instances
        )


@frozen
class ServicesImage:
    """`ServiceTable` at rest."""

    nodes: tuple[NodeRow, ...]
    indexes: tuple[tuple[str, int], ...]
    index: int
    nodes_index: int
    services_index: int
    extinction_index: int
    node_extinction_index: int
    status_indexes: tuple[int, ...]
    """In the order of `Status`."""


@frozen
class Tombstone:
    """What is remembered of a deleted key."""

    index: int
    """Of its deletion."""
    stamp: int
    """The same, in ms by the clock of the log."""
    lock_index: int


@frozen
class KeysImage:
    """`KeyTable` at rest."""

    entries: tuple[KeyValue, ...]
    tombstones: tuple[tuple[str, Tombstone], ...]
    """Oldest first."""
    swept_index: int
    swept_lock: int


@frozen
class SessionsImage:
    """`SessionTable` at rest."""

    sessions: tuple[Session, ...]
    index: int
    indexes: tuple[tuple[str, int], ...]
    extinction_index: int


@frozen
class QueriesImage:
    """`QueryTable` at rest."""

    queries: tuple[PreparedQuery, ...]
    index: int


@frozen
class CoordinatesImage:
    """`CoordinateTable` at rest."""

    coordinates: tuple[Coordinate, ...]
    index: int


@frozen
class Image:
    """A whole registry at rest."""

    applied: int
    clock: int
    """The stamp of the last entry applied, in ms."""
    services: ServicesImage
    keys: KeysImage
    sessions: SessionsImage
    delays: tuple[tuple[str, int], ...]
    """Lock-delays under way: key, and when it ends in ms."""
    queries: QueriesImage
    coordinates: CoordinatesImage

    def chunks(self) -> Iterator[bytes]:
        """Yield the snapshot: the header, then parts, each after its length, and an empty one.

        The first part is all of the image but its nodes and keys, which follow: a node a part, and
        keys in runs. All of an image is immutable, so this may run in another thread.
        """
        services, keys = evolve(self.services, nodes=()), evolve(self.keys, entries=())
        yield HEADER + _part(evolve(self, services=services, keys=keys))
        for node in self.services.nodes:
            yield _part(node)
        entries = self.keys.entries
        for start in range(0, len(entries), KEYS_PER_PART):
            run = entries[start : start + KEYS_PER_PART]
            yield _part(run, tuple[KeyValue, ...])
        yield bytes(LENGTH_BYTES)

    def to_bytes(self) -> bytes:
        """Return the snapshot in one piece."""
        return b"".join(self.chunks())

    @classmethod
    def from_chunks(cls, chunks: Iterable[bytes]) -> Image:
        """Read a snapshot, wherever it was cut.

        Raises:
            ProtocolError: it is damaged, or not one of ours.

        """
        reader = ImageReader()
        for chunk in chunks:
            reader.feed(chunk)
        return reader.finish()

    @classmethod
    def from_bytes(cls, snapshot: bytes) -> Image:
        """Read a snapshot in one piece; see `from_chunks`."""
        return cls.from_chunks((snapshot,))


def _part(value: object, kind: Any = None) -> bytes:
    data = dumps(value, kind, bytes_max=PART_BYTES_MAX)
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


class ImageReader:
    """Reads a snapshot as it comes, piece by piece, wherever it was cut."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._begun = self._ended = False
        self._image: Image | None = None
        self._nodes: list[NodeRow] = []
        self._entries: list[KeyValue] = []

    def feed(self, chunk: bytes) -> None:
        """Take a piece, and read the parts that it completes.

        Raises:
            ProtocolError: it is damaged, or not one of ours.

        """
        data = self._data
        data += chunk
        if not self._begun and len(data) < len(HEADER):
            return
        start = self._begin()
        while not self._ended and len(data) - start >= LENGTH_BYTES:
            begin = start + LENGTH_BYTES
            length = int.from_bytes(data[start:begin], "big")
            if length > PART_BYTES_MAX:
                raise ProtocolError(f"a part of {length} bytes in a snapshot; nothing was restored")
            if len(data) - begin < length:
                break
            start = begin + length
            if length:
                self._take(bytes(data[begin:start]))
            self._ended = not length
        del data[:start]
        if self._ended and data:
            raise ProtocolError("bytes after the end of a snapshot; nothing was restored")

    def finish(self) -> Image:
        """Return the image; raise `ProtocolError` if the snapshot was not complete."""
        image = self._image
        if not self._ended:
            raise ProtocolError("the snapshot ends too early; nothing was restored")
        if image is None:
            raise ProtocolError("a snapshot without any content; nothing was restored")
        return evolve(
            image,
            services=evolve(image.services, nodes=tuple(self._nodes)),
            keys=evolve(image.keys, entries=tuple(self._entries)),
        )

    def _begin(self) -> int:
        """Return where the next part starts: behind the header, which is looked at once."""
        if self._begun:
            return 0
        header = bytes(self._data[: len(HEADER)])
        if header != HEADER:
            raise ProtocolError(
                f"a snapshot of the catalog starts with {HEADER!r}, this one with {header!r}; "
                f"nothing was restored: it is of another version or of another machine"
            )
        self._begun = True
        return len(HEADER)

    def _take(self, part: bytes) -> None:
        if self._image is None:
            self._image = loads(part, Image, bytes_max=PART_BYTES_MAX)
        # A run of keys is an array, a node a map: the first byte says which.
        elif part[0] >> 5 == CBOR_ARRAY:
            self._entries += loads(part, tuple[KeyValue, ...], bytes_max=PART_BYTES_MAX)
        else:
            self._nodes.append(loads(part, NodeRow, bytes_max=PART_BYTES_MAX))
