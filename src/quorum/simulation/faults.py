"""The mix of troubles that one seed makes: drawn, not fixed, so that seeds differ in kind.

A run in which everything fails a little all the time explores little: a cluster under constant
partitions never gets to the bugs that need a long healthy spell before them. So every seed draws
which kinds of fault it has at all, how often, and how hard ("swarm testing"). It draws the
cluster's settings as well, among them absurdly small limits: limits are where the branches are.
"""

from __future__ import annotations

from random import Random

from attrs import frozen

from quorum.config import Config

TIMED = (
    "crash",
    "pause",
    "partition",
    "leader cut off",
    "slow disk",
    "transfer",
    "members",
)
"""Faults (and acts of an operator) that strike at moments; the rest are chances per message."""


@frozen(kw_only=True)
class Faults:
    """What may go wrong, and how often. Chances are per message, per write or per effect."""

    loss: float = 0.0
    """Chance that a message vanishes."""
    duplicate: float = 0.0
    """Chance that a message arrives a second time, later."""
    delay: float = 0.0
    """Chance that a message is held up by a multiple of the usual latency, and so overtaken."""
    disk_error: float = 0.0
    """Chance that a write fails: the server stops, and restarts with what was synced before."""
    crash_in_effects: float = 0.0
    """Chance, per step, that the server dies between two of the step's effects."""
    drift: float = 0.0
    """Clocks run at a rate within this fraction of true time."""
    timed: tuple[str, ...] = ()
    """Which of `TIMED` strike at all; the more often one is named, the more often it strikes."""
    interval: float = 1.0
    """Mean election timeouts between two timed faults."""

    @classmethod
    def draw(cls, random: Random) -> Faults:
        """One seed's mix: each kind is present in about half of the seeds."""

        def sometimes(worst: float) -> float:
            return random.random() * worst if random.random() < 0.5 else 0.0

        return cls(
            loss=sometimes(0.3),
            duplicate=sometimes(0.3),
            delay=sometimes(0.3),
            disk_error=sometimes(0.01),
            crash_in_effects=sometimes(0.02),
            drift=sometimes(0.1),
            timed=tuple(kind for kind in TIMED for _ in range(random.choice((0, 0, 1, 1, 2)))),
            interval=random.choice((0.5, 1.0, 2.0, 4.0)),
        )


@frozen(kw_only=True)
class Pace:
    """How fast healthy things are, in seconds; each use draws between a tenth and twice this."""

    network: float
    disk: float
    apply: float
    turn: float
    """How long a server lets events gather before a step; 0 makes a step of every event."""
    think: float
    """Between a client's operations."""

    @classmethod
    def draw(cls, random: Random, patience: float) -> Pace:
        """One seed's paces: sometimes the disk is the slow part, sometimes the machine.

        Raft's timing requirement (§5.6) holds for all of them: well below `patience`, the election
        timeout.
        """
        return cls(
            network=patience * random.choice((0.003, 0.01, 0.03)),
            disk=patience * random.choice((0.001, 0.01, 0.03)),
            apply=patience * random.choice((0.001, 0.01, 0.1)),
            turn=patience * random.choice((0.0, 0.0, 0.005, 0.02)),
            think=patience * random.choice((0.03, 0.1, 0.5)),
        )


def draw_config(random: Random) -> Config:
    """A cluster's settings: usual timing, and limits small enough to be met."""
    heartbeat = random.choice((0.05, 0.1, 0.2))
    election_timeout = heartbeat * random.choice((3, 5, 10))
    protections = random.random() < 0.9
    return Config(
        heartbeat=heartbeat,
        election_timeout=election_timeout,
        # Plain Raft must be as safe; only its liveness is poorer.
        pre_vote=protections,
        check_quorum=protections,
        # Above the ratio of the fastest clock to the slowest that `Faults.drift` allows.
        lease_drift=random.choice((None, 0.25)) if protections else None,
        disk_grace=election_timeout * random.choice((1, 4)),
        forward=random.random() < 0.5,
        commit_delay=heartbeat * random.choice((0.0, 0.1, 1.0)),
        entries_max=random.choice((1, 2, 8, 1024)),
        message_bytes_max=random.choice((1, 64, 1 << 20)),
        inflight_max=random.choice((1, 2, 16)),
        command_bytes_max=1 << 10,
        uncommitted_bytes_max=random.choice((1 << 10, 64 << 20)),
        snapshot_entries=random.choice((3, 10, 40, 100_000)),
        tail_entries=random.choice((0, 2, 10)),
    )
