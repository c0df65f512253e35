"""What can go wrong, and what to do about it.

QuorumError
├── ProposalError            what became of a proposal
│   ├── NotLeader            not written; ask `leader`
│   ├── Overloaded           not written; back off, then retry
│   ├── ChangeRefused        the configuration or leadership was not changed; see `reason`
│   ├── Superseded           written, then replaced by another leader's entry: it never happens
│   └── Indeterminate        may have happened, may still happen
├── CommandFailed            applied, and the machine answered with an error (on every replica)
├── SessionExpired           a client session has ended: nothing more is applied for it
├── MachineFailed            the state machine raised: the node stops
│   └── MachineTooOld        the cluster goes by a version that the machine does not understand
├── Stopped                  this server has shut down; the request's fate is `Indeterminate`'s
├── ConfigError              nothing started; correct the setting named
│   └── AlreadyFounded       the cluster was founded with other members; nothing was changed
├── ProtocolError            a peer sent what cannot be understood; the connection is closed
│   └── WrongCluster         a peer of another cluster, or of another protocol version
└── StorageError             the node stops; what was acknowledged is on the other disks
    ├── SnapshotFailed       one snapshot was not saved; the server goes on with what it has
    ├── CorruptJournal       damage that no crash explains; nothing was changed
    └── WrongDirectory       the directory belongs to another server or cluster; not touched
"""

from __future__ import annotations


class QuorumError(Exception):
    """Any error that this package raises on purpose."""


class ProposalError(QuorumError):
    """What became of a proposal, a read or a change that did not succeed."""


class NotLeader(ProposalError):
    """This server does not lead. Nothing was written; retry at `leader`, or elsewhere if None."""

    def __init__(self, leader: str | None) -> None:
        self.leader = leader
        where = f"ask {leader}" if leader is not None else "no leader is known: retry shortly"
        super().__init__(f"not the leader, nothing was written; {where}")


class Overloaded(ProposalError):
    """Too much waits for a majority or in a queue. Nothing was written; back off and retry."""


class ChangeRefused(ProposalError):
    """A change of members or of leadership was not begun; the text says why."""


class Superseded(ProposalError):
    """Another leader's entry took the place of this one: it never happens. Safe to retry."""


class Indeterminate(ProposalError):
    """The outcome is unknown: it may have been committed or may yet be.

    Retrying makes it happen at least once; not retrying makes it happen at most once. Read the
    state, or use commands that may be applied twice without harm.
    """


class CommandFailed(QuorumError):
    """The machine answered the command with an error; it did so on every replica alike."""


class SessionExpired(QuorumError):
    """The session has ended: nothing it asks for is applied any more. Open another one.

    `never_happened` says that the command which got this was not applied, earlier or later; without
    that an earlier try may have been, so read the state before it is asked for again.
    """

    def __init__(self, message: str, *, never_happened: bool) -> None:
        super().__init__(message)
        self.never_happened = never_happened


class MachineFailed(QuorumError):
    """The state machine broke its promise. This server stops: mend the machine, then restart."""


class MachineTooOld(MachineFailed):
    """The cluster has gone on to a version of commands that this server's machine does not know.

    Nothing was applied by wrong rules, and what is stored is sound. Install the newer release, then
    restart this server.
    """


class Stopped(QuorumError):
    """This server is shutting down. A request under way may still be committed by the others."""


class ConfigError(QuorumError):
    """A setting makes no sense; nothing was started. The text names it and its range."""


class AlreadyFounded(ConfigError):
    """A bootstrap was asked for where there is a state that began otherwise. It was not touched.

    A cluster is founded once. Leave the members out, or give those of the founding, and use
    `Server.change_members`.
    """


class ProtocolError(QuorumError):
    """A peer sent what cannot be understood. The connection is closed; our state is untouched."""


class WrongCluster(ProtocolError):
    """A peer of another cluster or protocol version called. It was refused; nothing changed."""


class StorageError(QuorumError):
    """The disk failed us. This server acknowledges nothing more: mend the disk, then restart."""


class SnapshotFailed(StorageError):
    """A snapshot was not saved; the one before it and the log are as they were.

    The server goes on, logs this, and tries again later. Until then its log grows.
    """


class CorruptJournal(StorageError):
    """Damage that no crash explains. Nothing was changed: restore the file, or replace the server.

    To replace it run `python -m quorum.replace DIRECTORY`, which sets the directory aside; then
    start a server under a new name, which gets everything from the others, and tell the leader
    (`Server.replace_member`). The fields are for programs; the text says all of it.
    """

    file: str = ""
    """The damaged file's name."""
    offset: int = 0
    """The byte in it at which the damage shows."""
    what: str = ""
    """What is wrong there."""
    intact: int | None = None
    """Index of the last entry before the damage, as far as one can tell; None: one cannot."""


class WrongDirectory(StorageError):
    """The data directory belongs to another server or cluster; it was not touched."""
