"""Facts that reach a server, in the past participle: the only way into `Raft.step`."""

from __future__ import annotations

from typing import TypeAlias

from attrs import field, frozen

from quorum.messages import Entries, Index, Members, Message, NodeId, SnapshotMark, Term

Tag: TypeAlias = int
"""The driver's name for a request, unique in the life of a server; its answer carries it."""

Ticket: TypeAlias = int
"""The core's name for a `Persist`; tickets count up, and answering one answers all before it."""


@frozen
class Recovered:
    """What a server remembers when it starts: the durable part of Figure 2's State.

    The log may begin before the snapshot's mark (a kept tail) but leaves no gap after it:
    `entries.first <= mark.index + 1`.
    """

    term: Term = 0
    vote: NodeId | None = None
    mark: SnapshotMark = field(factory=SnapshotMark)
    entries: Entries = field(factory=lambda: Entries(first=1))
    base_term: Term = 0
    """The term of the entry just before `entries.first`."""


@frozen
class Received:
    """A message arrived from another server."""

    sender: NodeId
    message: Message


@frozen
class Proposed:
    """The application wants these commands in the log, all or none, next to each other.

    Answered by `Admit` (with the place they were given) or `Refuse`.
    """

    tag: Tag
    commands: tuple[bytes, ...]


@frozen
class ReadRequested:
    """The application wants to read the state machine (thesis 6.4).

    Answered by `Answer` once leadership is confirmed and our machine is far enough, or `Refuse`.
    """

    tag: Tag
    lease: bool = False
    """A leader's lease is proof enough of its leadership (`Config.lease_drift`)."""
    max_age: float = 0.0
    """The state may be as of so many seconds ago; 0: it is linearizable."""


@frozen
class MembersProposed:
    """Somebody wants the cluster to consist of these servers (§6).

    `outgoing` is not looked at: the way to the new members is found by itself. With `expected`,
    the change is refused unless the configuration in force has this log index (compare and set).
    Answered by `Admit` with the index of the joint entry, or by `Refuse`.
    """

    tag: Tag
    members: Members
    expected: Index | None = None


@frozen
class UpgradeProposed:
    """Somebody wants commands to mean, from now on, what this version of the machine says.

    Answered by `Admit` with the place of the entry from which it is so, or by `Refuse`.
    """

    tag: Tag
    version: int


@frozen
class TransferRequested:
    """Somebody wants this server to lead (thesis 3.10). Answered by `Answer` or `Refuse`."""

    tag: Tag
    to: NodeId


@frozen
class Persisted:
    """Everything up to and including this ticket is durable: it survives a power cut."""

    ticket: Ticket


@frozen
class Applied:
    """The state machine has applied everything up to and including this index."""

    index: Index


@frozen
class Compacted:
    """A snapshot of our own machine at this mark is durable; the log before it may go (§7)."""

    mark: SnapshotMark


@frozen
class NotCompacted:
    """The snapshot of our own machine at this mark could not be saved: try again when it is due."""

    mark: SnapshotMark


@frozen
class SnapshotArrived:
    """The leader's snapshot is complete and durable on our disk, but not yet in force (§7)."""

    sender: NodeId
    term: Term
    """The sender's term, as its `InstallSnapshot` had it."""
    round: int
    mark: SnapshotMark


@frozen
class SnapshotSent:
    """The transfer that `SendSnapshot` ordered has ended, well or not."""

    to: NodeId
    mark: SnapshotMark
    ok: bool


Event: TypeAlias = (
    Received
    | Persisted
    | Applied
    | Proposed
    | ReadRequested
    | MembersProposed
    | UpgradeProposed
    | TransferRequested
    | Compacted
    | NotCompacted
    | SnapshotArrived
    | SnapshotSent
)
