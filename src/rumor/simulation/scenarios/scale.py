"""What a simulated member costs, among few and among many: CPU time, by the caller's clock.

The only scenario whose figures are not decided by the seed. Members are at rest: each probes once
in a period, answers, and compares its list with another's now and then. The first seconds, in which
everybody shuffles and digests a long list for the first time, are given beside the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from rumor.simulation.scenarios.result import Gate, Result
from rumor.simulation.world import World

SIZES = (100, 300, 1_000)
FIRST, REST = 5.0, 20.0
FLAT = 2.0
"""How many times the cost of a member may grow from the smallest group to the largest."""


def scale(*, clock: Callable[[], float], nodes: int | None = None, first: int = 0) -> Result:
    """Run groups at rest; ``nodes`` is the largest, and 10,000 take about 17 GB.

    `clock` counts the CPU seconds of this process.
    """
    sizes = SIZES if nodes is None else (*SIZES, nodes)
    result = Result("scale", f"LAN settings, no loss, invariants checked, {REST:g} s")
    costs: list[float] = []
    for size in sizes:
        world = World(Random(first))
        world.start_settled([f"m{number:05d}" for number in range(size)])
        start = clock()
        world.run(FIRST)
        beginning, datagrams = clock() - start, world.counts["datagrams"]
        start = clock()
        world.run(REST)
        spent = clock() - start
        costs.append(spent / size / REST)
        result.rows.append(
            {
                "members": size,
                "times real time": REST / spent,
                "(first seconds)": FIRST / beginning,
                "CPU us/member/s": 1e6 * costs[-1],
                "CPU us/datagram": 1e6 * spent / (world.counts["datagrams"] - datagrams),
            }
        )
        if size >= SIZES[-1]:
            result.gates.append(Gate(f"{size} members, times real time", REST / spent, 1.0, 1e9))
    result.gates.append(
        Gate("a member's cost, largest to smallest", costs[-1] / costs[0], 0.0, FLAT)
    )
    return result
