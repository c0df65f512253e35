"""What can be asked by those who run the cluster: who votes, how everybody fares, who leads.

These are requests like those in `catalog.requests`, and travel the same way; a `LeaderRequest` is
passed on to the leader, since nobody else can do it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, TypeVar

from attrs import field, frozen

from catalog import requests
from catalog.answers import Applied
from catalog.events import Events, FireEvent
from catalog.housekeeping import ChangeKeys, ForceLeave, JoinOthers, Leave, Metrics, Reload
from catalog.limits import check_name
from catalog.model import Coordinate
from catalog.requests import Consistency, LeaderRequest, Request

__all__ = [
    "REQUESTS",
    "SNAPSHOT_CHUNK_BYTES",
    "Admission",
    "Health",
    "HealthReport",
    "Join",
    "LeaderRequest",
    "OpenSnapshot",
    "Peer",
    "Peers",
    "PeersReport",
    "ReadSnapshot",
    "RemovePeer",
    "RestoreChunk",
    "ServerHealth",
    "SnapshotMark",
    "TransferLeadership",
    "UpdateCoordinate",
]

T_co = TypeVar("T_co", covariant=True)


@frozen
class Admission:
    """What a server is told when it is let in."""

    digest: str
    """Which cluster it is: that of its founders."""
    size: int
    """How many these were."""


@frozen
class Join(LeaderRequest[Admission]):
    """Let a server in, as a learner with an empty log; asked by the server itself.

    `Unavailable` while a voter has its name: that one must be removed first.
    """

    RESULT: ClassVar[Any] = Admission

    name: str = field(validator=check_name)
    digest: str
    """Which cluster it means."""


@frozen
class Peer:
    """A server in Raft's configuration."""

    name: str
    address: str
    """`host:port`; empty: gossip does not know it."""
    voter: bool
    leader: bool


@frozen
class PeersReport:
    """Raft's configuration."""

    index: int
    """Of the log entry that it is."""
    peers: tuple[Peer, ...]


@frozen
class Peers(Request[PeersReport]):
    """Who votes, and who learns."""

    RESULT: ClassVar[Any] = PeersReport

    consistency: Consistency = Consistency.DEFAULT


@frozen
class RemovePeer(LeaderRequest[int]):
    """Remove a server from Raft's configuration; the answer is the index of the new one.

    One that still runs is let in again at once: stop it first.
    """

    RESULT: ClassVar[Any] = int
    REPEATABLE: ClassVar[bool] = False

    name: str = field(validator=check_name)


@frozen
class TransferLeadership(LeaderRequest[str]):
    """Have another voter lead; the answer is its name."""

    RESULT: ClassVar[Any] = str
    REPEATABLE: ClassVar[bool] = False

    to: str | None = None
    """`None`: the healthy voter that has most of the log."""


@frozen
class ServerHealth:
    """A server, as the leader judges it."""

    name: str
    address: str
    """`host:port`; empty: gossip does not know it."""
    standing: str
    """By gossip: alive, lost (failed, or alive without this cluster's disk), left or unknown."""
    leader: bool
    voter: bool
    learner: bool
    healthy: bool
    stable: float
    """Seconds for which it has been as healthy, or as unhealthy, as it is."""
    contact: float | None
    """Seconds since it last answered the leader; `None`: never, or it is in no configuration."""
    last_index: int | None
    """How far its log is known to equal the leader's."""
    term: int | None
    """The leader's, if it has answered in it."""


@frozen
class HealthReport:
    """The servers at a glance."""

    healthy: bool
    """Whether all that are in the configuration are."""
    failure_tolerance: int
    """How many of the healthy voters may fail before there is no majority; below 0: it is gone."""
    servers: tuple[ServerHealth, ...]


@frozen
class Health(LeaderRequest[HealthReport]):
    """How the servers fare."""

    RESULT: ClassVar[Any] = HealthReport


# Snapshots; `catalog.snapshots` has the whole of it, in two calls.

SNAPSHOT_CHUNK_BYTES: Final = 128 * 1024
"""Of a snapshot on its way from a server or to one. To one, each is a log entry, which every server
reads while all else waits: so it is small."""


@frozen
class SnapshotMark:
    """A snapshot that a server holds ready."""

    token: str
    """Name of it, for `ReadSnapshot` at the same server."""
    index: int
    """Of the last entry that it has."""
    size: int
    """In bytes."""
    sha256: bytes


@frozen
class OpenSnapshot(Request[SnapshotMark]):
    """Take a snapshot of the whole registry, and hold it ready for a minute."""

    RESULT: ClassVar[Any] = SnapshotMark


@frozen
class ReadSnapshot(Request[bytes]):
    """A piece of a snapshot that was opened."""

    RESULT: ClassVar[Any] = bytes

    token: str
    offset: int


@frozen
class RestoreChunk(LeaderRequest[Applied]):
    """A piece of a snapshot to restore; with the last one all servers replace what they have.

    The pieces are log entries, so every replica has the same at the same entry.
    """

    RESULT: ClassVar[Any] = Applied
    REPEATABLE: ClassVar[bool] = False

    id: str = field(validator=check_name)
    """Drawn by whoever restores: tells this restoration from others."""
    number: int
    """0 for the first; each is taken once, in order."""
    data: bytes
    sha256: bytes = b""
    """Of the whole; with the last piece only."""


@frozen
class UpdateCoordinate(LeaderRequest[None]):
    """Record where a node is, within some seconds; asked by its agent."""

    RESULT: ClassVar[Any] = None

    coordinate: Coordinate


REQUESTS: Final[Mapping[str, type[Request[Any]]]] = {
    **requests.REQUESTS,
    "join": Join,
    "peers": Peers,
    "remove-peer": RemovePeer,
    "transfer-leadership": TransferLeadership,
    "health": Health,
    "open-snapshot": OpenSnapshot,
    "read-snapshot": ReadSnapshot,
    "restore-chunk": RestoreChunk,
    "update-coordinate": UpdateCoordinate,
    "fire-event": FireEvent,
    "events": Events,
    "leave": Leave,
    "force-leave": ForceLeave,
    "join-others": JoinOthers,
    "reload": Reload,
    "metrics": Metrics,
    "change-keys": ChangeKeys,
}
"""All requests by their names on the wire, those of `catalog.requests` included."""
