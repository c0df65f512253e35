"""Slow members, and whom they accuse: Lifeguard's Interval experiment (arXiv 1707.00788, §V).

C of the members are blocked for D seconds, run for I seconds, and so on, all in step. A blocked
member neither completes a send nor handles what it receives, but its timers run. Nobody fails; so
each report of a failure of a member that was never blocked is a false positive (FP), wherever it
is raised; raised at a member that was never blocked itself it counts as FP- as well.

Five arms: SWIM, each of Lifeguard's three parts alone, and all together. Each draw of D, I and the
blocked members is run in every arm, so that arms are compared on equal terms. Absolute counts
depend on how deep queues are and in what order they drain; what can be compared with the paper is
the ratios between arms.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

from attrs import define, evolve

from rumor.config import Config
from rumor.effects import Failed, Notification
from rumor.messages import Name
from rumor.simulation.host import Host, Mode
from rumor.simulation.scenarios.result import Gate, Result
from rumor.simulation.world import World

ALPHA, BETA, CONFIRMATIONS = 5.0, 6.0, 3

LIFEGUARD = Config(
    suspicion_multiplier=ALPHA,
    suspicion_max_multiplier=BETA,
    suspicion_confirmations=CONFIRMATIONS,
    exchange_interval=30.0,  # what the paper's agents did
)
SWIM = evolve(LIFEGUARD, awareness_max=0, suspicion_confirmations=0, buddy=False)
ARMS = {
    "SWIM": SWIM,
    "LHA-Probe": evolve(SWIM, awareness_max=LIFEGUARD.awareness_max),
    "LHA-Suspicion": evolve(SWIM, suspicion_confirmations=CONFIRMATIONS),
    "Buddy": evolve(SWIM, buddy=True),
    "Lifeguard": LIFEGUARD,
}

PUBLISHED = {
    "SWIM": (100.0, 100.0, 100.0),
    "LHA-Probe": (67.72, 32.88, 90.03),
    "LHA-Suspicion": (3.00, 6.71, 106.52),
    "Buddy": (94.08, 44.57, 99.01),
    "Lifeguard": (1.53, 1.89, 97.97),
}
"""Table IV: FP, FP- and bytes, in percent of SWIM."""

GATES = {
    "LHA-Probe": (50.0, 85.0),
    "LHA-Suspicion": (0.0, 6.0),
    "Buddy": (85.0, 105.0),
    "Lifeguard": (0.0, 3.0),
}
"""Bounds of FP in percent of SWIM."""

BLOCKED = (1, 4, 8, 12, 16, 20, 24, 28, 32)
DURATIONS = (0.128, 0.512, 2.048, 8.192, 16.384, 32.768)
INTERVALS = (0.001, 0.004, 0.016, 0.064, 0.256, 1.024, 4.096, 16.384)
LENGTH = 120.0


@define
class Tally:
    """One arm's counts."""

    fp: int = 0
    fp_healthy: int = 0
    bytes: int = 0
    datagrams: int = 0


def lifeguard(
    *, nodes: int = 128, seeds: int = 1, first: int = 0, blocked: Sequence[int] = BLOCKED
) -> Result:
    """Run `seeds` draws of D and I for each number of blocked members, in all arms."""
    arms = {arm: Tally() for arm in ARMS}
    by_blocked: Counter[tuple[str, int]] = Counter()
    for count in blocked:
        for seed in range(first, first + seeds):
            for arm in ARMS:
                tally = arms[arm]
                before = tally.fp
                measure(arm, tally, nodes=nodes, count=count, seed=seed)
                by_blocked[arm, count] += tally.fp - before
    result = Result(
        "lifeguard",
        f"{nodes} members, {seeds} draws for each C, {LENGTH:g} s each; "
        "beside Table IV of arXiv 1707.00788, in percent of SWIM",
    )
    swim = arms["SWIM"]
    for arm, tally in arms.items():
        published = PUBLISHED[arm]
        result.rows.append(
            {
                "arm": arm,
                "FP": tally.fp,
                "FP %": percent(tally.fp, swim.fp),
                "(paper)": published[0],
                "FP-": tally.fp_healthy,
                "FP- %": percent(tally.fp_healthy, swim.fp_healthy),
                "(paper) ": published[1],
                "datagrams": tally.datagrams,
                "bytes %": percent(tally.bytes, swim.bytes),
                "(paper)  ": published[2],
                **{f"C={count}": by_blocked[arm, count] for count in blocked},
            }
        )
    for arm, (low, high) in GATES.items():
        value = percent(arms[arm].fp, swim.fp)
        result.gates.append(Gate(f"{arm}: FP in percent of SWIM", value, low, high))
    share = percent(arms["Lifeguard"].bytes, swim.bytes)
    result.gates.append(Gate("Lifeguard: bytes in percent of SWIM", share, 0.0, 105.0))
    return result


def measure(arm: str, tally: Tally, *, nodes: int, count: int, seed: int) -> None:
    """Run one draw in one arm."""
    random = Random(f"{seed} {count}")
    duration, interval = random.choice(DURATIONS), random.choice(INTERVALS)
    names = [f"m{number:03d}" for number in range(nodes)]
    slow = dict.fromkeys(random.sample(names, count))

    def listen(_now: float, host: Host, told: Notification) -> None:
        if isinstance(told, Failed) and told.member.name not in slow:
            tally.fp += 1
            tally.fp_healthy += host.name not in slow

    world = World(random, config=ARMS[arm], listen=listen)
    world.start_settled(names)
    world.run(10)
    before = sum(host.bytes for host in world.up()), world.counts["datagrams"]
    end = world.now + LENGTH
    while world.now < end:
        hold(world, slow, Mode.BLOCKED)
        world.run(duration)
        for name in slow:
            world.release(name)
        world.run(interval)
    tally.bytes += sum(host.bytes for host in world.up()) - before[0]
    tally.datagrams += world.counts["datagrams"] - before[1]


def hold(world: World, names: dict[Name, None], mode: Mode) -> None:
    """Hold several members at once."""
    for name in names:
        world.hold(name, mode)


def percent(part: float, whole: float) -> float:
    """How many hundredths; 0 of nothing."""
    return 100.0 * part / whole if whole else 0.0
