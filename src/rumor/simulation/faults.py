"""The mix of troubles that one seed makes: drawn, not fixed, so that seeds differ in kind.

A run in which everything fails a little all the time explores little. So every seed draws which
kinds of fault it has at all, how often, and how hard ("swarm testing"). It draws the cluster's
settings as well.

Times are in protocol periods here: a cluster that probes twice as fast lives twice as fast.
"""

from __future__ import annotations

from random import Random

from attrs import frozen

from rumor.config import DATAGRAM_BYTES_MIN, Config
from rumor.simulation.network import Network

TIMED = (
    "crash",
    "leave",
    "pause",
    "block",
    "starve",
    "partition",
    "cut",
    "describe",
    "say",
    "move",
    "garbage",
    "replay",
)
"""What strikes, or is done by an operator, at moments; the rest are chances for each datagram."""

ISOLATION_MAX = 40.0
"""No member stays cut off, held or down for longer, in periods; tombstones live far longer."""

TOMBSTONE = 600.0
"""How many periods a seed's shortest tombstones live: longer than any isolation, and than it takes
a member that was isolated to learn, at its slowest, of a death that it missed."""


@frozen(kw_only=True)
class Faults:
    """What may go wrong, and how often."""

    loss: float = 0.0
    duplicate: float = 0.0
    held_up: float = 0.0
    stream_loss: float = 0.0
    delay: float = 1.0
    """How late a held-up or repeated datagram may be, in periods."""
    timed: tuple[str, ...] = ()
    """Which of :data:`TIMED` strike at all; the more often one is named, the more often."""
    interval: float = 5.0
    """Mean periods between two timed faults."""

    @classmethod
    def draw(cls, random: Random) -> Faults:
        """One seed's mix: each kind is present in about half of the seeds."""

        def sometimes(worst: float) -> float:
            return random.random() * worst if random.random() < 0.5 else 0.0

        return cls(
            loss=sometimes(0.3),
            duplicate=sometimes(0.3),
            held_up=sometimes(0.3),
            stream_loss=sometimes(0.5),
            delay=random.choice((0.1, 1.0, 10.0)),
            timed=tuple(kind for kind in TIMED for _ in range(random.choice((0, 0, 1, 1, 2)))),
            interval=random.choice((1.0, 3.0, 10.0)),
        )

    def apply(self, network: Network, period: float) -> None:
        """Give the network its chances."""
        network.loss = self.loss
        network.duplicate = self.duplicate
        network.held_up = self.held_up
        network.stream_loss = self.stream_loss
        network.delay = self.delay * period


def draw_config(random: Random) -> Config:
    """A cluster's settings: usual ones, and a few that are unusual."""
    period = random.choice((0.2, 1.0, 5.0))
    return Config(
        probe_interval=period,
        probe_timeout=period * random.choice((0.2, 0.5)),
        indirect_probes=random.choice((0, 1, 3)),
        awareness_max=random.choice((0, 3, 8)),
        suspicion_multiplier=random.choice((2.0, 4.0)),
        suspicion_max_multiplier=random.choice((1.0, 6.0)),
        suspicion_confirmations=random.choice((0, 2, 3)),
        gossip_interval=period * random.choice((0.2, 0.5)),
        gossip_nodes=random.choice((1, 3)),
        gossip_to_dead=period * 30,
        transmit_multiplier=random.choice((2.0, 4.0)),
        datagram_bytes_max=random.choice((DATAGRAM_BYTES_MIN, 1400, 65_507)),
        exchange_interval=period * random.choice((3, 10, 30)),
        reconnect_interval=period * random.choice((3, 10)),
        stream_timeout=period * random.choice((2, 10)),
        leave_acks=random.choice((1, 3)),
        leave_timeout=period * 5,
        tombstone_time=period * random.choice((TOMBSTONE, 100_000.0)),
        relays_max=random.choice((1, 1_024)),
    )
