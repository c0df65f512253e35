"""A registry at rest: rows that leave out what can be joined again, in one canonical order.

Equal registries have equal images, and equal images have equal bytes, whatever the order in which
things were registered; so replicas can be compared by their snapshots.
The history of changes is not part of it: where a snapshot was restored, subscribers start again.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

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
SNAPSHOT_BYTES_MAX: Final = 1024 * 1024 * 1024


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

    def to_bytes(self) -> bytes:
        """Return the snapshot."""
        return HEADER + dumps(self, bytes_max=SNAPSHOT_BYTES_MAX)

    @classmethod
    def from_bytes(cls, snapshot: bytes) -> Image:
        """Read a snapshot.

        Raises:
            ProtocolError: it is damaged, or not one of ours.

        """
        if not snapshot.startswith(HEADER):
            raise ProtocolError(
                f"a snapshot of the catalog starts with {HEADER!r}, this one with "
                f"{snapshot[: len(HEADER)]!r}; nothing was restored: it is of another version or "
                f"of another machine"
            )
        return loads(snapshot[len(HEADER) :], cls, bytes_max=SNAPSHOT_BYTES_MAX)
