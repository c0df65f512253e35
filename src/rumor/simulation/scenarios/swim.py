"""Load and first detection, from a few members to many (SWIM, DSN 2002, §5).

The paper's two claims: the messages that a member sends in a protocol period do not grow with the
group, and neither does the time until the first member suspects one that has crashed: e/(e-1), or
1.58, periods on average until somebody picks it, if all pick at random. Our members are not in
step, so a crash is noticed when the period ends of the first member that pinged it.
"""

from __future__ import annotations

from random import Random
from statistics import mean

from rumor.effects import Notification, Suspected
from rumor.simulation.host import Host
from rumor.simulation.report import quantile
from rumor.simulation.scenarios.result import Gate, Result
from rumor.simulation.world import World

SIZES = (16, 64, 256, 1_000)
REST = 30.0
CRASHES = 10


def swim(*, nodes: int | None = None, seeds: int = 1, first: int = 0) -> Result:
    """Measure the load at rest, then crash some members, one at a time."""
    result = Result("swim", f"{seeds} seeds, {CRASHES} crashes each; LAN settings, no loss")
    loads: list[float] = []
    all_found: list[float] = []
    for size in SIZES if nodes is None else (SIZES[0], nodes):
        sent: list[float] = []
        found: list[float] = []
        for seed in range(first, first + seeds):
            load, times = measure(size, seed)
            sent.append(load)
            found.extend(times)
        loads.append(mean(sent))
        all_found.extend(found)
        result.rows.append(
            {
                "members": size,
                "sent/member/period": loads[-1],
                "(paper)": 2.0,
                "first suspicion, mean periods": mean(found),
                "(paper's pick + 1)": 2.58,
                "p99": quantile(found, 0.99),
            }
        )
    result.gates = [
        Gate("datagrams sent by a member in a period", max(loads), 1.9, 2.2),
        Gate("load of the largest in parts of the smallest", loads[-1] / loads[0], 0.9, 1.1),
        Gate("first suspicion, mean periods", mean(all_found), 1.0, 2.58),
    ]
    return result


def measure(size: int, seed: int) -> tuple[float, list[float]]:
    """The load at rest, and for each crash the periods until the first suspicion."""
    heard: dict[str, float] = {}

    def listen(now: float, _host: Host, told: Notification) -> None:
        if isinstance(told, Suspected):
            heard.setdefault(told.member.name, now)

    world = World(Random(seed), listen=listen)
    names = [f"m{number:04d}" for number in range(size)]
    world.start_settled(names)
    world.run(5)
    before = world.counts["datagrams"]
    world.run(REST)
    load = (world.counts["datagrams"] - before) / size / REST
    times: list[float] = []
    for name in names[1 : min(CRASHES, size // 4) + 1]:
        heard.clear()
        world.crash(name)
        start = world.now
        world.run_until(lambda name=name: name in heard, within=60)  # type: ignore[misc]
        times.append(heard[name] - start)
    return load, times
