"""What a server's driver has done since it started: numbers that only grow, for monitoring."""

from __future__ import annotations

from attrs import define


@define
class Counters:
    """See `Server.counters`."""

    turns: int = 0
    """Turns of the loop; events of one turn are handled together."""
    messages_received: int = 0
    messages_sent: int = 0
    """Handed to the link, which may drop them."""
    writes: int = 0
    """Orders to the storage; several may share one sync."""
    entries_written: int = 0
    entries_applied: int = 0
    snapshots_taken: int = 0
    snapshots_not_saved: int = 0
    """Of our own machine; they are tried again."""
    snapshots_received: int = 0
    snapshots_sent: int = 0
    """With a receipt."""
    snapshots_failed: int = 0
    """Begun to be sent, without a receipt; they are tried again."""
    leader_changes: int = 0
    """Announcements of a leader that was not the one before."""
