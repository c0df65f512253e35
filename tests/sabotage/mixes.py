"""Mixes of faults and settings under which some broken rules show sooner than under any."""

from __future__ import annotations

from quorum.config import Config
from quorum.simulation import Faults

CHANGES = Faults(
    timed=("members", "members", "partition", "crash", "slow disk"),
    interval=0.5,
    delay=0.2,
    loss=0.1,
)
"""Changes of members while servers come and go."""

CRASHES = Faults(
    timed=("crash", "crash", "partition", "pause"), interval=0.5, loss=0.1, crash_in_effects=0.01
)
"""Many elections, many restarts."""

PAUSES = Faults(timed=("pause", "partition", "transfer"), interval=0.5, delay=0.3, drift=0.1)
"""Leaders that sleep, and wake up believing that they lead."""

PARTITIONS = Faults(timed=("partition",), interval=2.0)
"""Leaders that are cut off, and left alone for long enough that others are elected."""

PLAIN = Config(pre_vote=False, check_quorum=False)
"""Raft as in the paper: a leader that was cut off goes on believing that it leads."""

LEASES = Config(lease_drift=2.0, entries_max=8, snapshot_entries=40, tail_entries=2)
"""Reads under a lease, although the fastest clock may be three times as fast as the slowest."""

DRIFTING = Faults(timed=("leader cut off",), interval=3.0, drift=0.5)
"""Leaders that are cut off with clocks that differ by so much, 1.5 / 0.5, and not more."""

ELECTED = "Election|Leader Completeness|State Machine Safety"
"""Promises that fall with the rules of elections."""

LOGS = "Acknowledgement|Log Matching|State Machine Safety"
"""Promises that fall with the rules of replication."""

INSTANT = {"timeouts": 2, "instant_disks": True}
"""A search that goes deep in elections."""
