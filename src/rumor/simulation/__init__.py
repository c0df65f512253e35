"""Whole clusters in one process, in virtual time, from a seed.

The members are real cores speaking the real wire format; the network, the clocks and the processes
are simulated. Equal seeds give equal runs, byte for byte::

    from random import Random
    from rumor.simulation import World

    world = World(Random(1))
    world.start("ada")
    world.start("bob", seeds=["ada"])
    world.run(10)
    world.crash("bob")
    world.run(60)
    print(world.hosts["ada"].core.members["bob"].health)    # Health.DEAD

``python -m rumor.simulation --seeds 100`` looks for broken promises under troubles of all kinds;
``python -m rumor.simulation --scenario lifeguard`` measures, and prints the figures beside those
that were published.
"""

from __future__ import annotations

from rumor.simulation.chaos import run
from rumor.simulation.faults import Faults
from rumor.simulation.host import Host, Mode
from rumor.simulation.invariants import Violation
from rumor.simulation.network import Network
from rumor.simulation.report import Finding, Report
from rumor.simulation.trace import Trace
from rumor.simulation.world import World

__all__ = [
    "Faults",
    "Finding",
    "Host",
    "Mode",
    "Network",
    "Report",
    "Trace",
    "Violation",
    "World",
    "run",
]
