"""How long until everybody knows a newcomer, on a network that loses datagrams.

Gossip may miss somebody; then a push-pull exchange has to repair it. Libraries that exchange
rarely make such a member wait: memberlist 0.7.0 needed 54 and 101 s in two of 30 joins of 100
members at 1 % loss, kinship at most 1 s in 28 of 30 (kinship's own measurements).
"""

from __future__ import annotations

from math import inf
from random import Random

from rumor.messages import Health, Name
from rumor.simulation.report import quantile
from rumor.simulation.scenarios.result import Gate, Result
from rumor.simulation.world import World

JOINS = 10
LOSSES = (0.0, 0.01, 0.05)
FEW = 4
WITHIN = 60.0
BOUND = 5.0


def join(*, nodes: int = 100, seeds: int = 10, first: int = 0) -> Result:
    """Let newcomers join one after the other, a few members and many, at several rates of loss."""
    result = Result(
        "join",
        f"{JOINS} newcomers a run, {seeds} seeds; "
        "published for 100 members and 1 % loss: kinship at most 1 s in 28 of 30, "
        "memberlist 54 and 101 s in two",
    )
    for size in sorted({FEW, nodes}):
        for loss in LOSSES:
            times: list[float] = []
            for seed in range(first, first + seeds):
                times.extend(measure(size, loss, seed))
            result.rows.append(
                {
                    "members": size,
                    "loss": f"{loss:.0%}",
                    "joins": len(times),
                    "p50 s": quantile(times, 0.5),
                    "p99 s": quantile(times, 0.99),
                    "p99.9 s": quantile(times, 0.999),
                    "max s": max(times),
                }
            )
            name = f"p99.9 until all know, {size} members, {loss:.0%} loss, s"
            result.gates.append(Gate(name, quantile(times, 0.999), 0.0, BOUND))
    return result


def measure(nodes: int, loss: float, seed: int) -> list[float]:
    """For each newcomer, the seconds until everybody holds it alive."""
    world = World(Random(seed))
    names = [f"m{number:04d}" for number in range(nodes)]
    world.start_settled(names)
    world.network.loss = loss
    world.run(2)
    times: list[float] = []
    for number in range(JOINS):
        newcomer = f"n{number}"
        world.start(newcomer, seeds=names[:2])
        times.append(
            world.run_until(lambda name=newcomer: _all_know(world, name), within=WITHIN, look=0.02)  # type: ignore[misc]
        )
        world.run(2)
    return [WITHIN if time == inf else time for time in times]


def _all_know(world: World, name: Name) -> bool:
    for host in world.hosts.values():
        if host.core is not None:
            peer = host.core.members.get(name)
            if peer is None or peer.health is not Health.ALIVE:
                return False
    return True
