"""What servers say to each other: the RPCs of Figure 2 as values, and the columns they carry.

The sender travels on the envelope, not in the message. Nothing here does anything; the rules are
in `quorum.core`. References are to the Raft paper (Ongaro and Ousterhout, 2014, the extended
version) by section and figure, and to Ongaro's thesis by chapter.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import TypeAlias

from attrs import define, field, frozen

NodeId: TypeAlias = str
"""A server's name, unique in its cluster for ever: a new disk needs a new name."""

Index: TypeAlias = int
"""Position of an entry in the log; the first is 1, and 0 is "before the log"."""

Term: TypeAlias = int
"""Raft's logical clock (§5.1); the first election is held in term 1."""


class Kind(IntEnum):
    """What an entry is for; one byte in the `kinds` column."""

    COMMAND = 0
    """A command for the state machine."""
    NOOP = 1
    """The entry with which a leader opens its term (§8)."""
    MEMBERS = 2
    """A configuration of the cluster, active as soon as it is appended (§6)."""
    VERSION = 3
    """From the next entry on, commands mean what this version of the machine says; the payload is
    its number in decimal digits (see `quorum.core.versions`)."""


@frozen
class Entry:
    """One entry, for reading and for tests: the cores work on `Entries`, a run of them."""

    index: Index
    term: Term
    stamp: int
    kind: Kind
    payload: bytes


@define(eq=True, unsafe_hash=False)
class Entries:
    """A run of consecutive log entries, as columns.

    Columns make a run of any length cost a few list operations instead of an object an entry.
    Treat a run as a value: nothing may change its columns once it is built.
    """

    first: Index
    """Index of the first entry; of an empty run, the index it would have."""
    terms: tuple[Term, ...] = ()
    stamps: tuple[int, ...] = ()
    """Cluster time in milliseconds, given by the leader that appended the entry (see `State`)."""
    kinds: bytes = b""
    payloads: tuple[bytes, ...] = ()
    packed: bytes | None = field(default=None, eq=False, repr=False, init=False)
    """The run as `quorum.codec` packs it, kept once it is known, so that a run goes from the
    socket to the disk, or from the caller to all followers, with its bytes copied only once."""

    def __len__(self) -> int:
        return len(self.terms)

    def __iter__(self) -> Iterator[Entry]:
        columns = zip(self.terms, self.stamps, self.kinds, self.payloads, strict=True)
        for index, (term, stamp, kind, payload) in enumerate(columns, self.first):
            yield Entry(index, term, stamp, Kind(kind), payload)

    @property
    def last(self) -> Index:
        """Index of the last entry; one before `first` for an empty run."""
        return self.first + len(self.terms) - 1

    def slice(self, start: Index, stop: Index) -> Entries:
        """The part from index `start` up to, not including, index `stop`."""
        if start == self.first and stop == self.first + len(self.terms):
            return self
        low, high = start - self.first, stop - self.first
        assert 0 <= low <= high <= len(self.terms), "a slice lies inside its run"
        return Entries(
            start,
            self.terms[low:high],
            self.stamps[low:high],
            self.kinds[low:high],
            self.payloads[low:high],
        )


VERSION_MAX = (1 << 32) - 1
"""The highest version of a machine."""


def read_version(payload: bytes) -> int:
    """The version in the payload of a `Kind.VERSION` entry; ValueError if it is none."""
    version = int(payload) if payload.isdigit() and len(payload) <= 10 else 0
    if not 1 <= version <= VERSION_MAX or payload != b"%d" % version:
        raise ValueError(f"{payload[:20]!r} is not the version of a machine")
    return version


def _sorted_names(names: Iterable[NodeId]) -> tuple[NodeId, ...]:
    return tuple(sorted(names))


def _sorted_pairs(pairs: Iterable[Iterable[str]]) -> tuple[tuple[NodeId, str], ...]:
    return tuple(sorted((name, address) for name, address in pairs))


@frozen
class Members:
    """A configuration of the cluster (§6).

    Joint consensus is two sets of voters at once: `voters` is C_new, and while the change is under
    way `outgoing` is C_old; a decision then needs a majority of both. `learners` receive the log
    and count for nothing (thesis 4.2.1); those of them that are `joining` become voters by
    themselves once they have caught up. Names are sorted, so equal configurations are equal.
    """

    voters: tuple[NodeId, ...] = field(default=(), converter=_sorted_names)
    outgoing: tuple[NodeId, ...] = field(default=(), converter=_sorted_names)
    learners: tuple[NodeId, ...] = field(default=(), converter=_sorted_names)
    addresses: tuple[tuple[NodeId, str], ...] = field(default=(), converter=_sorted_pairs)
    joining: tuple[NodeId, ...] = field(default=(), converter=_sorted_names)

    @property
    def joint(self) -> bool:
        """Whether a change is under way."""
        return bool(self.outgoing)

    @property
    def everyone(self) -> tuple[NodeId, ...]:
        """All servers that the leader replicates to, sorted."""
        return tuple(sorted({*self.voters, *self.outgoing, *self.learners}))

    def is_voter(self, name: NodeId) -> bool:
        """Whether this server's vote counts in either majority."""
        return name in self.voters or name in self.outgoing

    def to_bytes(self) -> bytes:
        """The payload of a `Kind.MEMBERS` entry: canonical JSON, readable in a journal's dump."""
        fields = {
            "addresses": self.addresses,
            "joining": self.joining,
            "learners": self.learners,
            "outgoing": self.outgoing,
            "voters": self.voters,
        }
        return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, payload: bytes) -> Members:
        """Read what `to_bytes` wrote; raise ValueError on anything else."""
        fields = json.loads(payload)
        if not isinstance(fields, dict) or fields.keys() != _MEMBERS_FIELDS:
            raise ValueError(f"a configuration has the fields {sorted(_MEMBERS_FIELDS)}")
        for name in ("voters", "outgoing", "learners", "joining"):
            if not _are_strings(fields[name]):
                raise ValueError(f"{name} is a list of server names")
        if not isinstance(fields["addresses"], list) or not all(
            _are_strings(pair) and len(pair) == 2 for pair in fields["addresses"]
        ):
            raise ValueError("addresses is a list of pairs of name and address")
        return cls(**fields)


_MEMBERS_FIELDS = {"voters", "outgoing", "learners", "addresses", "joining"}


def _are_strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


@frozen
class SnapshotMark:
    """Where a snapshot stands: it replaces the log up to and including `index` (§7).

    The mark at index 0 is the beginning of every log: its `members` are the configuration that the
    cluster was bootstrapped with, empty on a server that waits to be added.
    """

    index: Index = 0
    term: Term = 0
    stamp: int = 0
    members: Members = field(factory=Members)
    members_index: Index = 0
    """Where in the log `members` was appended, for compare and set."""
    version: int = 1
    """The version of the machine that was in force at `index`."""


@frozen
class RequestVote:
    """Invoked by candidates to gather votes (Figure 2, §5.2; PreVote: thesis 9.6)."""

    term: Term
    """The candidate's term; with `pre_vote`, the term it would campaign in."""
    last_index: Index
    last_term: Term
    pre_vote: bool = False
    """A question only ("would you vote for me?"): it changes nobody's state."""
    disrupt: bool = False
    """The leader asked for this election (TimeoutNow): answer although a leader is alive."""


@frozen
class VoteReply:
    """Answer to RequestVote."""

    term: Term
    granted: bool
    pre_vote: bool = False


@frozen
class AppendEntries:
    """Invoked by the leader to replicate log entries; also its heartbeat (Figure 2, §5.3)."""

    term: Term
    previous_index: Index
    previous_term: Term
    commit: Index
    round: int
    """Counts the leader's rounds within its term, and comes back in the reply: a reply of a round
    from before a read was asked for, or from before this peer was added, counts for neither."""
    entries: Entries


@frozen
class AppendReply:
    """Answer to AppendEntries and to an installed snapshot."""

    term: Term
    round: int
    match: Index | None
    """Up to here the follower's log equals the leader's, durably; None: refused, see the hint."""
    hint_index: Index = 0
    """When refused: the highest index at which the logs may still agree."""
    hint_term: Term = 0
    """When refused: the follower's term at `hint_index` (0 if it does not know)."""
    version: int = 1
    """The highest version of commands that the follower's machine understands."""


@frozen
class InstallSnapshot:
    """The leader's word that a snapshot is on its way (§7); its bytes travel beside the core.

    It doubles as heartbeat of the transfer; the driver delivers the bytes as `SnapshotArrived`.
    """

    term: Term
    round: int
    mark: SnapshotMark


@frozen
class TimeoutNow:
    """From the leader to its chosen successor: campaign at once (thesis 3.10)."""

    term: Term


@frozen
class ReadIndex:
    """A follower asks the leader for the index its read must wait for (thesis 6.4)."""

    term: Term
    context: int
    """Chosen by the follower, unique in its life; comes back in the answer."""


@frozen
class ReadIndexReply:
    """The leader confirmed its leadership for this read; None: it could not."""

    term: Term
    context: int
    index: Index | None


@frozen
class Forward:
    """A follower passes on commands that were proposed at it (`Config.forward`)."""

    term: Term
    context: int
    """Chosen by the follower, unique in its life; comes back in the answer."""
    commands: tuple[bytes, ...]


@frozen
class ForwardReply:
    """Where the leader put the commands, in `term`; None: they were not written."""

    term: Term
    context: int
    first: Index | None


Message: TypeAlias = (
    AppendEntries
    | AppendReply
    | RequestVote
    | VoteReply
    | InstallSnapshot
    | TimeoutNow
    | ReadIndex
    | ReadIndexReply
    | Forward
    | ForwardReply
)
