"""Starved members and lossy links: false deaths, and how fast a true one is found.

The grid that kinship 0.4.0 publishes for itself: 120 s, one crash at 60 s; a starved member reads
each datagram 0.5 to 2.5 s late. Its figures are from 200 seeds a cell, with Lifeguard on.
"""

from __future__ import annotations

from random import Random

from attrs import define, field

from rumor.effects import Failed, Notification, Suspected
from rumor.simulation.host import Host
from rumor.simulation.report import quantile
from rumor.simulation.scenarios.result import Gate, Result
from rumor.simulation.world import World

SIZES = (50, 200)
STARVED = (0, 1, 5, 20)
LOSSES = (0.0, 0.01, 0.05)
LATENESS = (0.5, 2.5)
CRASH, END = 60.0, 120.0

PUBLISHED: dict[tuple[int, int, float], tuple[float, float | None]] = {
    (50, 0, 0.0): (0.0, 8.4),
    (50, 1, 0.01): (0.01, 8.57),
    (50, 5, 0.05): (0.18, None),
    (200, 0, 0.0): (0.0, 10.9),
    (200, 20, 0.05): (0.02, 11.3),
}
"""kinship: false deaths in a run, and the median of detection in seconds, if it is published."""


@define
class Cell:
    """What the runs of one cell found."""

    deaths: int = 0
    """Members that anybody reported as failed, though they ran."""
    runs_with: int = 0
    suspicions: int = 0
    """Accusations of the living that were new; not how many members heard of them."""
    detected: list[float] = field(factory=list)
    """By each member that noticed the crash: seconds from the crash to its report."""


def grid(*, nodes: int | None = None, seeds: int = 2, first: int = 0) -> Result:
    """Run all cells, or those of one size."""
    sizes = SIZES if nodes is None else (nodes,)
    result = Result(
        "grid", f"{seeds} seeds a cell; in brackets what kinship 0.4.0 publishes for itself"
    )
    at_ease = 0
    for size in sizes:
        for starved in STARVED:
            for loss in LOSSES:
                cell = Cell()
                for seed in range(first, first + seeds):
                    measure(cell, size=size, starved=starved, loss=loss, seed=seed)
                at_ease += 0 if starved else cell.deaths
                deaths, p50 = cell.deaths / seeds, quantile(cell.detected, 0.5)
                bounds = PUBLISHED.get((size, starved, loss), (None, None))
                result.rows.append(
                    {
                        "members": size,
                        "starved": starved,
                        "loss": f"{loss:.0%}",
                        "false deaths/run": deaths,
                        "(k.)": "" if bounds[0] is None else bounds[0],
                        "runs with one": cell.runs_with,
                        "suspicions/run": cell.suspicions / seeds,
                        "detection p50 s": p50,
                        "(k.) ": "" if bounds[1] is None else bounds[1],
                        "p99 s": quantile(cell.detected, 0.99),
                    }
                )
                where = f"{size} members, {starved} starved, {loss:.0%} loss"
                for name, value, bound in zip(
                    ("false deaths in a run", "detection, p50 s"),
                    (deaths, p50),
                    bounds,
                    strict=True,
                ):
                    if bound is not None:
                        result.gates.append(Gate(f"{where}: {name}", value, 0.0, bound))
    result.gates.append(Gate("false deaths with nobody starved", float(at_ease), 0.0, 0.0))
    return result


def measure(cell: Cell, *, size: int, starved: int, loss: float, seed: int) -> None:
    """Run one seed of a cell."""
    random = Random(f"{seed} {size} {starved} {loss}")
    names = [f"m{number:04d}" for number in range(size)]
    *slow, victim = random.sample(names, starved + 1)
    dead: dict[str, None] = {}
    suspected: dict[tuple[str, int], None] = {}

    def listen(now: float, _host: Host, told: Notification) -> None:
        name = told.member.name
        if isinstance(told, Suspected):
            if name != victim:
                suspected[name, told.member.incarnation] = None
        elif isinstance(told, Failed):
            if name == victim and not world.hosts[victim].up:
                cell.detected.append(now - crashed)
            else:
                dead[name] = None

    world = World(random, listen=listen)
    world.start_settled(names)
    world.network.loss = loss
    for name in slow:
        world.hosts[name].lateness = LATENESS
    world.run(CRASH)
    crashed = world.now
    world.crash(victim)
    world.run(END - CRASH)
    cell.suspicions += len(suspected)
    cell.deaths += len(dead)
    cell.runs_with += bool(dead)
