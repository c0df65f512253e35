"""How long a user event takes to nearly everybody, on a network that loses datagrams.

Beside the model by which Serf's documentation estimates the same: an epidemic in rounds of 0.2 s in
which everybody who knows tells three others. It leaves out transmit limits and exchanges, and says
nothing of the last ones; we count the seconds until 99.99 % have been told for real.
"""

from __future__ import annotations

from math import ceil, exp, log
from random import Random

from rumor.simulation.report import quantile
from rumor.simulation.scenarios.result import Gate, Result
from rumor.simulation.world import World

SIZES = (100, 1_000)
LOSSES = (0.0, 0.1, 0.5)
PART = 0.9999
EVENTS = 5
WITHIN = 60.0

FANOUT, ROUND = 3, 0.2
"""Of Serf's model: its LAN settings."""


def events(*, nodes: int | None = None, seeds: int = 2, first: int = 0) -> Result:
    """Let members say something, at two sizes or one; ten thousand members take some 17 GB."""
    result = Result(
        "events",
        f"{EVENTS} events a run, {seeds} seeds; in brackets Serf's model of itself",
    )
    for size in SIZES if nodes is None else (nodes,):
        for loss in LOSSES:
            halves: list[float] = []
            times: list[float] = []
            for seed in range(first, first + seeds):
                for half, most in measure(size, loss, seed):
                    halves.append(half)
                    times.append(most)
            bound = serf_model(size, loss, PART)
            result.rows.append(
                {
                    "members": size,
                    "loss": f"{loss:.0%}",
                    "to 50 %, p50 s": quantile(halves, 0.5),
                    "(Serf)": serf_model(size, loss, 0.5),
                    "to 99.99 %, p50 s": quantile(times, 0.5),
                    "(Serf) ": bound,
                    "max s": max(times),
                }
            )
            name = f"99.99 % of {size} at {loss:.0%} loss, median s"
            result.gates.append(Gate(name, quantile(times, 0.5), 0.0, bound))
    return result


def measure(size: int, loss: float, seed: int) -> list[tuple[float, float]]:
    """For each event, the seconds until half of the members and until nearly all have heard it."""
    random = Random(f"{seed} {size} {loss}")
    world = World(random)
    names = [f"m{number:05d}" for number in range(size)]
    world.start_settled(names)
    world.run(2)
    world.network.loss = loss
    for number in range(EVENTS):
        world.say(random.choice(names), "event", b"%d" % number)
        world.run(0.5)
    enough = ceil(PART * size)
    heard = world.deliveries.times
    world.run_until(lambda: all(len(each) >= enough for each in heard.values()), within=WITHIN)
    return [
        (
            times[ceil(size / 2) - 1] - times[0],
            times[enough - 1] - times[0] if len(times) >= enough else WITHIN,
        )
        for times in heard.values()
    ]


def serf_model(members: int, loss: float, part: float) -> float:
    """The seconds after which that part of the members is infected, in whole rounds."""
    rate = 0.5 * FANOUT * (1 - loss)
    rounds = log((members + 1) * part / (1 - part)) / rate
    assert 1 / (1 + (members + 1) * exp(-rate * ceil(rounds))) >= part
    return ROUND * ceil(rounds)
