"""Orders a server gives, in the imperative: everything that comes out of `Raft.step`.

No ordering rules (see `quorum.core.gate`): an effect in the driver's hand may be done at once.
Only the `Persist`s, the `Send`s to one peer, and the `Apply`, `Restore` and `Snapshot` orders keep
their order among themselves.
"""

from __future__ import annotations

from enum import Enum
from typing import TypeAlias

from attrs import frozen

from quorum.events import Tag, Ticket
from quorum.messages import Entries, Index, Message, NodeId, SnapshotMark, Term


class Role(Enum):
    """A server is in one of three states (§5.1)."""

    FOLLOWER = "follower"
    CANDIDATE = "candidate"
    LEADER = "leader"


class Refusal(Enum):
    """Why a request was not taken up. Nothing was written, but where it says so."""

    NOT_LEADER = "not leader"
    """Ask the leader; its name comes with the refusal when it is known."""
    OVERLOADED = "overloaded"
    """Too many bytes wait for a majority (`Config.uncommitted_bytes_max`): back off."""
    TRANSFERRING = "leadership is being handed over"
    """For at most an election timeout: try again."""
    CHANGE_PENDING = "a change of members is under way, or this leader has not committed yet"
    """Try again when it is done."""
    CONFLICT = "the configuration is not the expected one"
    """Read the configuration, decide again."""
    UNKNOWN = "passed on to the leader, which did not answer"
    """It may have been written: the outcome is unknown."""
    TOO_OLD = "a member's machine does not understand this version, or has not said so yet"
    """Install the newer release on every member and learner first; see `Statistics.versions`."""
    PASSED = "the cluster is at a later version already"
    """There is no way back."""
    UNFIT = "the server named cannot do this"
    """E.g. leadership for a server that is not a voter, or a cluster without voters."""


@frozen
class Send:
    """Send a message to one peer; it may be lost, repeated or overtaken."""

    to: NodeId
    message: Message


@frozen
class SendSnapshot:
    """Stream the newest durable snapshot to a peer that is too far behind, then say `SnapshotSent`.

    The message goes first, and is what the receiver's driver reports in `SnapshotArrived`.
    """

    to: NodeId
    term: Term
    round: int
    mark: SnapshotMark


@frozen
class Persist:
    """Make these durable, in this order, as one write; then say `Persisted(ticket)`.

    `term` and `vote` are always the newest. `entries` are appended after whatever is before
    `entries.first`, and replace what was there. `reset` empties the log and starts it after a
    snapshot that is already on our disk.
    """

    ticket: Ticket
    term: Term
    vote: NodeId | None
    entries: Entries | None = None
    reset: SnapshotMark | None = None


@frozen
class Apply:
    """Committed and durable here: apply these entries, then say `Applied(entries.last)`."""

    entries: Entries


@frozen
class Restore:
    """Replace the state machine by the snapshot at this mark, then say `Applied(mark.index)`."""

    mark: SnapshotMark


@frozen
class Snapshot:
    """Take a snapshot now: after every `Apply` given so far, before any to come.

    When it is durable, say `Compacted(mark)`.
    """

    mark: SnapshotMark


@frozen
class Trim:
    """The snapshot at `mark` is in force: older ones and the log before `first` may be deleted."""

    mark: SnapshotMark
    first: Index
    base_term: Term
    """The term of the entry just before `first`."""


@frozen
class Admit:
    """The request tagged so is in our log from index `first` on, in term `term`; not committed yet.

    If the entry applied at that index has this term, it was this request; if another term, the
    request was superseded and never happens.
    """

    tag: Tag
    first: Index
    term: Term


@frozen
class Answer:
    """The request tagged so may go ahead: the machine is at or past `index`."""

    tag: Tag
    index: Index


@frozen
class Refuse:
    """The request tagged so was not taken up."""

    tag: Tag
    reason: Refusal
    leader: NodeId | None = None


@frozen
class Announce:
    """This server's role, term or view of the leader has changed."""

    role: Role
    term: Term
    leader: NodeId | None
    because: str = ""
    """For people: why, in a few words."""


Effect: TypeAlias = (
    Send
    | Persist
    | Apply
    | Admit
    | Answer
    | Refuse
    | Announce
    | Restore
    | Snapshot
    | SendSnapshot
    | Trim
)
