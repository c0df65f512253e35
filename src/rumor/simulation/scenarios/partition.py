"""A cluster that was split in two for long becomes one again.

Longer than suspicion: each side has buried the other. Longer than the tombstone time: each side
has forgotten the other, and only the seeds are left to find it again.
"""

from __future__ import annotations

from math import inf
from random import Random

from attrs import evolve

from rumor.config import Config
from rumor.messages import Health
from rumor.simulation.report import quantile
from rumor.simulation.scenarios.result import Gate, Result
from rumor.simulation.world import World

SPLIT = 180.0
WITHIN = 120.0
TOMBSTONES = {"buried": 86_400.0, "forgotten": 60.0}


def partition(*, nodes: int = 50, seeds: int = 5, first: int = 0) -> Result:
    """Split off two fifths of the members, wait, heal."""
    result = Result("partition", f"two sides for {SPLIT:g} s, {seeds} seeds, LAN settings, no loss")
    sizes = sorted({max(5, nodes // 4), nodes})
    costs: list[float] = []
    for kind, tombstone in TOMBSTONES.items():
        config = evolve(Config.lan(), tombstone_time=tombstone)
        for size in sizes:
            runs = [measure(size, config, seed) for seed in range(first, first + seeds)]
            times = [time for time, _ in runs]
            costs.append(max(cost for _, cost in runs))
            result.rows.append(
                {
                    "the other side is": kind,
                    "members": size,
                    "healed after s, p50": quantile(times, 0.5),
                    "max": max(times),
                    "datagrams/member, beyond rest": costs[-1],
                }
            )
            if max(times) >= WITHIN:
                result.violations.append(f"{kind}, {size} members: not one cluster in time")
    slowest = max(float(row["max"]) for row in result.rows)
    result.gates = [
        Gate("seconds until one cluster", slowest, 0.0, 4 * Config.lan().reconnect_interval),
        Gate("datagrams for a heal, by each member and for each", max(costs) / max(sizes), 0.0, 10),
    ]
    return result


def measure(size: int, config: Config, seed: int) -> tuple[float, float]:
    """The seconds from heal to one cluster, and the datagrams by each member that it took."""
    world = World(Random(seed), config=config)
    names = [f"m{number:04d}" for number in range(size)]
    world.start_settled(names)
    for name in names:
        world.join(name, names[:1] + names[-1:])
    world.run(5)
    world.network.sides = dict.fromkeys(names[: 2 * size // 5], 1)
    world.run(SPLIT)
    before = world.counts["datagrams"]
    world.network.heal()
    took = world.run_until(lambda: is_whole(world), within=WITHIN)
    took = WITHIN if took == inf else took
    world.run(20)  # what the heal set going is told to the end
    rest = 2.0 * (took + 20)
    return took, (world.counts["datagrams"] - before) / size - rest


def is_whole(world: World) -> bool:
    """Whether everybody who runs is held alive by everybody who runs."""
    up = world.up()
    for host in up:
        assert host.core is not None
        members = host.core.members
        for other in up:
            peer = members.get(other.name)
            if peer is None or peer.health is not Health.ALIVE:
                return False
    return True
