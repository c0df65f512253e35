"""What can go wrong in the catalog, as exceptions.

    CatalogError
    ├── ProtocolError   bytes from a peer, a log or a snapshot that are not ours
    ├── NotRegistered   a report on a check or service that this agent did not register
    ├── OutOfStep       an update that does not continue what a subscriber has
    └── Refused         a command was applied by every replica, and every replica said no

A value that its own constructor refuses (a port of 70000) is a plain `ValueError` or `TypeError`:
the caller made it, nothing was sent, nothing changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from catalog.commands import Applied

__all__ = ["CatalogError", "NotRegistered", "OutOfStep", "ProtocolError", "Refused"]


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
