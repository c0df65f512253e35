"""Network coordinates on nets whose round trips are known: Serf's five, and its bounds.

In each of 1,000 cycles everybody measures the way to somebody; then all pairs are compared with the
truth. Serf's bounds are of one seed each; from seed to seed the errors differ by a factor of two
and more, so the median over seeds that were fixed beforehand has to keep them.
"""

from __future__ import annotations

from collections.abc import Callable
from math import cos, dist, hypot, pi, sin, sqrt
from random import Random
from statistics import median

from attrs import evolve

from rumor.core.coordinates import ORIGIN, Vivaldi, distance
from rumor.simulation.scenarios.result import Gate, Result

Truth = Callable[[int, int], float]

CYCLES = 1_000


def line(i: int, j: int) -> float:
    """Ten milliseconds from each to the next."""
    return 0.010 * abs(i - j)


def grid(i: int, j: int) -> float:
    """A square of five by five, ten milliseconds apart."""
    return 0.010 * dist(divmod(i, 5), divmod(j, 5))


def halves(i: int, j: int) -> float:
    """Two sites: a millisecond within each, ten more between them."""
    return 0.001 + (0.010 if (i <= 12) is not (j <= 12) else 0.0)


def circle(i: int, j: int) -> float:
    """A hundred milliseconds round a hub that nobody reaches in less than twice that."""
    if 0 in (i, j):
        return 0.200
    one, two = 2 * pi * i / 25, 2 * pi * j / 25
    return 0.100 * dist((cos(one), sin(one)), (cos(two), sin(two)))


def noise(i: int, j: int) -> float:
    """Each pair about a hundred milliseconds, which no space can fit."""
    return abs(Random(min(i, j) * 1_000 + max(i, j)).gauss(0.100, 0.010))


NETS: dict[str, tuple[int, Truth, float, float]] = {
    "line": (10, line, 0.0031, 0.013),
    "grid": (25, grid, 0.0016, 0.023),
    "halves": (25, halves, 0.00006, 0.00048),
    "circle": (25, circle, 0.0028, 0.064),
    "noise": (25, noise, 0.075, 0.33),
}
"""Members, round trips, and Serf's bounds of the mean and of the worst relative error."""

DRIFT_MAX = 0.8
"""After ten times as many cycles a net has come this much nearer to the origin, or more."""


def coordinates(*, seeds: int = 12, first: int = 0) -> Result:
    """Run each net from each seed, and one that begins far off the origin."""
    result = Result("coordinates", f"{seeds} seeds, {CYCLES} cycles; in brackets Serf's bounds")
    for net, (count, truth, mean_max, worst_max) in NETS.items():
        runs = [settle(count, truth, seed) for seed in range(first, first + seeds)]
        means, worsts = [mean for mean, _ in runs], [worst for _, worst in runs]
        result.rows.append(
            {
                "net": net,
                "mean error, median": median(means),
                "least": min(means),
                "most": max(means),
                "(Serf)": mean_max,
                "worst pair, median": median(worsts),
                "least ": min(worsts),
                "most ": max(worsts),
                "(Serf) ": worst_max,
            }
        )
        result.gates.append(Gate(f"{net}: mean error", median(means), 0.0, mean_max))
        result.gates.append(Gate(f"{net}: worst pair", median(worsts), 0.0, worst_max))
    drifts = [drift(seed) for seed in range(first, first + seeds)]
    gate = Gate("drift: what is left of the way to the origin", median(drifts), 0.0, DRIFT_MAX)
    result.gates.append(gate)
    return result


def settle(count: int, truth: Truth, seed: int) -> tuple[float, float]:
    """Run a net; return the mean and the largest relative error over all pairs."""
    random = Random(seed)
    nodes = [Vivaldi(random) for _ in range(count)]
    simulate(nodes, truth, CYCLES, random)
    errors = [
        abs(distance(nodes[i].point, nodes[j].point) - truth(i, j)) / truth(i, j)
        for i in range(count)
        for j in range(i + 1, count)
    ]
    return sum(errors) / len(errors), max(errors)


def drift(seed: int) -> float:
    """Let a square far off the origin settle, then go on; return the change of its distance."""
    random = Random(seed)
    nodes = [Vivaldi(random) for _ in range(4)]
    corners = [(0.0, 0.0), (0.0, 0.5), (0.5, 0.5), (0.5, 0.0)]
    for node, corner in zip(nodes, corners, strict=True):
        node.point = evolve(node.point, vector=(*corner, *ORIGIN.vector[2:]))

    def truth(i: int, j: int) -> float:
        return 0.5 * (sqrt(2) if (i - j) % 2 == 0 else 1)

    def off() -> float:
        axes = list(zip(*(node.point.vector for node in nodes), strict=True))
        return hypot(*((min(axis) + max(axis)) / 2 for axis in axes))

    simulate(nodes, truth, CYCLES, random)
    before = off()
    simulate(nodes, truth, 10 * CYCLES, random)
    return off() / before


def simulate(nodes: list[Vivaldi], truth: Truth, cycles: int, random: Random) -> None:
    """In each cycle, everybody measures the way to somebody."""
    for _ in range(cycles):
        for i, node in enumerate(nodes):
            j = random.randrange(len(nodes))
            if i != j:
                node.observe(str(j), nodes[j].point, truth(i, j))
