"""What can go wrong in the catalog, as exceptions.

    CatalogError
    ├── ProtocolError   bytes from a peer, a log or a snapshot that are not ours
    ├── NotRegistered   a report on a check or service that this agent did not register
    ├── OutOfStep       an update that does not continue what a subscriber has
    ├── Refused         a command was applied by every replica, and every replica said no
    ├── SessionLost     a session or lock ended before its owner let go of it
    ├── ConfigError     a setting makes no sense; nothing was started
    ├── StartError      an agent could not start: port taken, foreign directory, no seed answers
    ├── AgentFailed     an agent had to stop: its disk failed, or a fault of ours
    ├── Unavailable     it cannot be done now; nothing was written, a retry is safe
    │   ├── NoLeader    the servers have no leader that can be reached
    │   ├── NoServers   no agent that could answer can be reached
    │   └── Busy        too much is under way
    └── Indeterminate   a write was sent and its outcome is unknown

A value that its own constructor refuses (a port of 70000) is a plain `ValueError` or `TypeError`:
the caller made it, nothing was sent, nothing changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from catalog.answers import Applied

__all__ = [
    "AgentFailed",
    "Busy",
    "CatalogError",
    "ConfigError",
    "Indeterminate",
    "NoLeader",
    "NoServers",
    "NotRegistered",
    "OutOfStep",
    "ProtocolError",
    "Refused",
    "SessionLost",
    "StartError",
    "Unavailable",
]


class CatalogError(Exception):
    """The root of everything that the catalog raises on purpose."""


class ProtocolError(CatalogError, ValueError):
    """Bytes that do not decode to the value asked for, or a value too big to encode.

    No state changed.
    From a peer: close that connection; both ends should run the same version.
    From a snapshot: take another copy of it, from another replica or a backup.
    """


class NotRegistered(CatalogError, LookupError):
    """A report on something that this agent has not registered, or no longer has.

    Nothing changed.
    Register the service (with its checks) first; after a removal, register it anew.
    """


class OutOfStep(CatalogError):
    """An update that does not follow on what the subscriber has: something between is missing.

    The cache is unchanged and still answers with what it had.
    Ask for a fresh view (subscribe from index 0) and apply that.
    """


class Refused(CatalogError):
    """The command was committed and refused; see `applied.refusal` for the reason.

    The same on every replica, and final: the state is as if the command had not been sent, except
    for the parts of a batch that say `ok`.
    Read the state again and decide anew; sending the same command again gives the same answer
    until somebody changes what it stumbled on.
    """

    def __init__(self, applied: Applied) -> None:
        super().__init__(applied.detail)
        self.applied = applied


class SessionLost(CatalogError):
    """A session ended, or a key was taken from it, before its owner let go of it.

    What it held may be another's by now; the block that relied on it was cancelled.
    Do not touch what the lock guards; begin anew to get it back.
    """


class ConfigError(CatalogError, ValueError):
    """A setting makes no sense.

    Nothing was started.
    The text names the setting; correct it.
    """


class StartError(CatalogError):
    """An agent could not start where or as it was told to.

    It is not running, and its directory is as it was.
    The text says what stood in the way: a port that is taken, a directory of another agent or
    cluster, addresses to join at which nobody answers.
    """


class AgentFailed(CatalogError):
    """An agent had to stop while it ran.

    What was acknowledged is safe with the other servers, and on this one's disk as far as that can
    be read.
    The text says why; mend that, then start the agent again.
    """


class Unavailable(CatalogError):
    """It cannot be done now; it was tried for as long as the agent holds requests.

    Nothing was written, so a retry is safe; its subclasses say what is missing.
    """


class NoLeader(Unavailable):
    """The servers have no leader: too few of them are up or see each other.

    Nothing was written.
    Retry in some seconds; if it stays so, see that a majority of the servers is running.
    """


class NoServers(Unavailable):
    """No agent that could answer was reached.

    Nothing was written.
    See that the agents are running, and that the address is one of theirs.
    """


class Busy(Unavailable):
    """Too much is under way, here or at the leader.

    Nothing was written.
    Back off, then retry.
    """


class Indeterminate(CatalogError):
    """A write was sent, and contact was lost before its outcome was known.

    It may have happened, may yet happen, or may never.
    Read the state and decide; or repeat the write if doing it twice does no harm.
    """
