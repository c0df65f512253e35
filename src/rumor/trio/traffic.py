"""Counts of what passed the port, and the snapshot of them that users get."""

from __future__ import annotations

from attrs import asdict, define, frozen

from rumor.core.swim import Statistics


@define
class Traffic:
    """Counts of what passed the port."""

    datagrams_sent: int = 0
    datagrams_unsent: int = 0
    bytes_sent: int = 0
    datagrams_received: int = 0
    datagrams_malformed: int = 0
    datagrams_foreign: int = 0
    datagrams_unauthentic: int = 0
    datagrams_replayed: int = 0
    datagrams_challenged: int = 0
    streams_served: int = 0
    streams_refused: int = 0
    streams_failed: int = 0

    def statistics(self, swim: Statistics) -> AgentStatistics:
        """Take a snapshot, together with the core's."""
        return AgentStatistics(swim=swim, **asdict(self))


@frozen
class AgentStatistics:
    """A look at one agent; counts are since its start."""

    swim: Statistics
    datagrams_sent: int
    datagrams_unsent: int
    """The kernel did not take them: a full buffer, no route."""
    bytes_sent: int
    """In datagrams, without the headers of UDP and IP."""
    datagrams_received: int
    datagrams_malformed: int
    """Dropped: not of our protocol."""
    datagrams_foreign: int
    """Dropped: of another cluster."""
    datagrams_unauthentic: int
    """Dropped: no key of ours sealed them."""
    datagrams_replayed: int
    """Dropped: recordings, or meant for another process."""
    datagrams_challenged: int
    """Sealed, but of a process or to a process that was not known yet; it was asked for a proof, or
    gave one."""
    streams_served: int
    streams_refused: int
    """Closed at once: too many at a time."""
    streams_failed: int
    """Broken off, in either direction: by the peer, by its bytes, by time."""
