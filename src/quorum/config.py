"""Settings of one server: seconds, bytes and counts, each with what it trades off."""

from __future__ import annotations

from attrs import evolve, frozen

from quorum.errors import ConfigError


@frozen(kw_only=True)
class Config:
    """How patient and how generous a server is. Every server of a cluster should have the same.

    Use `Config.lan()` (the default) or `Config.wan()` and change fields with `attrs.evolve`.
    """

    heartbeat: float = 0.05
    """Seconds between rounds of an idle leader. Smaller finds trouble sooner and costs packets;
    an election timeout should last ten of them."""

    election_timeout: float = 0.5
    """Least seconds without a leader before a follower campaigns; each time the server waits this
    plus a random part of it again (§5.2). Must be well above a round trip plus a disk write."""

    pre_vote: bool = True
    """Ask before campaigning (thesis 9.6), so that a server that was cut off does not disturb the
    leader when it comes back. Switch it off only to study plain Raft."""

    check_quorum: bool = True
    """A leader that has not heard from a majority for an election timeout steps down, and servers
    that hear a leader ignore candidates. Together with `pre_vote` this is what keeps a partly
    cut cluster live."""

    priority: float = 1.0
    """Above 0, at most 1: a server of priority 0.5 waits twice as long before it campaigns, so
    that others are preferred while they live. The one setting that may differ between servers."""

    lease_drift: float | None = None
    """Leases for reads (thesis 6.4.1): by how much, as a fraction, the speeds of two servers'
    clocks may differ; 0.1 is generous. None: no leases. A read under a lease costs no round of
    messages, and is linearizable only as long as this bound is true. With leases a server that
    was restarted votes for nobody for an election timeout. Needs `check_quorum`."""

    forward: bool = False
    """Pass proposals made at a follower on to the leader, instead of refusing them with its name.
    Simpler for callers; a lost message makes their outcome `Indeterminate`."""

    disk_grace: float = 2.0
    """Seconds a write may be under way before a leader steps down: a stalled disk is not
    leadership. Above the worst fsync that you are willing to wait for."""

    commit_delay: float = 0.005
    """Seconds after which an idle leader tells its followers of a commit, if no entries or
    heartbeat carried the news before. Smaller wakes readers at followers sooner; 0 costs a
    message for every lone write."""

    entries_max: int = 1024
    """Entries in one AppendEntries. A message is also bounded by `message_bytes_max`."""

    message_bytes_max: int = 1 << 20
    """Payload bytes in one AppendEntries; a single larger entry still travels, alone."""

    inflight_max: int = 16
    """AppendEntries on their way to one follower before the leader waits for an answer."""

    inflight_bytes_max: int = 16 << 20
    """Payload bytes on their way to one follower before the leader waits for an answer; at least
    one message is always sent."""

    uncommitted_bytes_max: int = 64 << 20
    """Payload bytes in the leader's log that no majority has yet; beyond it proposals are refused
    with `Overloaded`, so that memory stays bounded when followers are gone."""

    command_bytes_max: int = 8 << 20
    """Bytes of one command; a larger one is the caller's error."""

    pending_max: int = 65536
    """Proposals and reads waiting for an answer in one server before `Overloaded`."""

    snapshot_entries: int = 100_000
    """Applied entries since the last snapshot after which a new one is taken."""

    snapshot_bytes: int = 256 << 20
    """Payload bytes since the last snapshot after which a new one is taken."""

    tail_entries: int = 10_000
    """Entries kept before a snapshot, so that a follower a little behind needs no snapshot."""

    def __attrs_post_init__(self) -> None:
        if self.heartbeat <= 0:
            raise ConfigError(f"heartbeat is {self.heartbeat} s, must be above 0")
        if self.election_timeout < 2 * self.heartbeat:
            raise ConfigError(
                f"election_timeout is {self.election_timeout} s, must be at least two heartbeats "
                f"({2 * self.heartbeat} s); ten are advised"
            )
        if not 0 < self.priority <= 1:
            raise ConfigError(f"priority is {self.priority}, must be above 0 and at most 1")
        if self.lease_drift is not None and (self.lease_drift < 0 or not self.check_quorum):
            raise ConfigError("lease_drift must not be negative, and needs check_quorum")
        if self.commit_delay < 0:
            raise ConfigError(f"commit_delay is {self.commit_delay} s, must not be negative")
        if self.disk_grace < self.election_timeout:
            raise ConfigError(
                f"disk_grace is {self.disk_grace} s, must be at least election_timeout "
                f"({self.election_timeout} s)"
            )
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, must be at least 1")
        if self.tail_entries < 0:
            raise ConfigError(f"tail_entries is {self.tail_entries}, must not be negative")
        if self.command_bytes_max > self.uncommitted_bytes_max:
            raise ConfigError("command_bytes_max must not exceed uncommitted_bytes_max")

    @classmethod
    def lan(cls) -> Config:
        """Servers in one data centre: round trips up to some milliseconds."""
        return cls()

    @classmethod
    def wan(cls) -> Config:
        """Servers far apart: round trips up to some 300 ms."""
        return evolve(cls(), heartbeat=0.5, election_timeout=5.0, disk_grace=10.0)


_COUNTS = (
    "entries_max",
    "message_bytes_max",
    "inflight_max",
    "inflight_bytes_max",
    "uncommitted_bytes_max",
    "command_bytes_max",
    "pending_max",
    "snapshot_entries",
    "snapshot_bytes",
)
