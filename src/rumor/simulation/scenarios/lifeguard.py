"""Slow members, and whom they accuse: Lifeguard's Interval experiment (arXiv 1707.00788, §V).

C of 128 members are blocked for D seconds, run for I seconds, and so on for two minutes, all in
step; :mod:`rumor.simulation.scenarios.blocking` says what a block is. Nobody fails; so each report
of the failure of a member that was never blocked is a false positive (FP), wherever it is raised;
raised at a member that was never blocked itself it counts as FP- as well.

Five arms: SWIM, each of Lifeguard's three parts alone, and all together. They follow the rules of
the paper's agents where ours do more: news wait for the next round of gossip, nobody is asked over
a stream, members carry as much metadata, and exchanges are as rare. Each draw of C, D and I is run
in every arm with the same blocked members, so that arms are compared on equal terms.

The paper runs the whole grid of C x D x I ten times; here each seed takes one cell of D x I for
each C, by a fixed pattern that covers the grid after 48 seeds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any

from attrs import define, evolve

from rumor.config import Config
from rumor.effects import Failed, Notification
from rumor.simulation.host import Host
from rumor.simulation.scenarios.blocking import Blocked
from rumor.simulation.scenarios.result import Gate, Result
from rumor.simulation.world import World

LIFEGUARD = Config(
    suspicion_multiplier=5.0,
    suspicion_max_multiplier=6.0,
    suspicion_confirmations=3,
    exchange_interval=30.0,
    reconnect_interval=30.0,
    stream_probe=False,
    gossip_at_once=False,
)
SWIM = evolve(LIFEGUARD, awareness_max=0, suspicion_confirmations=0, buddy=False)
ARMS = {
    "SWIM": SWIM,
    "LHA-Probe": evolve(SWIM, awareness_max=LIFEGUARD.awareness_max),
    "LHA-Suspicion": evolve(SWIM, suspicion_confirmations=LIFEGUARD.suspicion_confirmations),
    "Buddy": evolve(SWIM, buddy=True),
    "Lifeguard": LIFEGUARD,
}
META = bytes(200)
"""About what an agent of the paper's says of itself: role, versions, ids."""

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
SETTLE = 5.0


@define
class Tally:
    """One arm's counts."""

    fp: int = 0
    fp_healthy: int = 0
    bytes: int = 0
    datagrams: int = 0


def cell(seed: int, row: int) -> tuple[float, float]:
    """Choose D and I of a seed for the C at `row`: spread over the grid, elsewhere in each seed."""
    grid = len(DURATIONS) * len(INTERVALS)
    at = (row * grid // len(BLOCKED) + 17 * seed) % grid
    return DURATIONS[at // len(INTERVALS)], INTERVALS[at % len(INTERVALS)]


def lifeguard(
    *, nodes: int = 128, seeds: int = 1, first: int = 0, blocked: Sequence[int] = BLOCKED
) -> Result:
    """Run one draw of D and I for each number of blocked members and seed, in all arms.

    One seed takes a quarter of an hour of one core.
    """
    arms = {arm: Tally() for arm in ARMS}
    by_blocked: Counter[tuple[str, int]] = Counter()
    for seed in range(first, first + seeds):
        for row, count in enumerate(blocked):
            duration, interval = cell(seed, row)
            for arm, tally in arms.items():
                before = tally.fp
                Draw(nodes, count, duration, interval, seed).measure(arm, tally)
                by_blocked[arm, count] += tally.fp - before
    result = Result(
        "lifeguard",
        f"{nodes} members, {seeds} draws of D and I for each C, {LENGTH:g} s each; "
        "in brackets Table IV of arXiv 1707.00788, in percent of SWIM",
    )
    seconds = nodes * LENGTH * seeds * len(blocked)
    for arm, tally in arms.items():
        row_of = _row(arm, tally, arms["SWIM"], seconds)
        row_of.update((f"C={count}", by_blocked[arm, count]) for count in blocked)
        result.rows.append(row_of)
    result.gates = _gates(arms)
    return result


def _row(arm: str, tally: Tally, swim: Tally, seconds: float) -> dict[str, Any]:
    fp, fp_healthy, sent = PUBLISHED[arm]
    return {
        "arm": arm,
        "FP": tally.fp,
        "FP %": percent(tally.fp, swim.fp),
        "(paper)": fp,
        "FP-": tally.fp_healthy,
        "FP- %": percent(tally.fp_healthy, swim.fp_healthy),
        "(paper) ": fp_healthy,
        "datagrams/member/s": tally.datagrams / seconds,
        "bytes/member/s": tally.bytes / seconds,
        "bytes %": percent(tally.bytes, swim.bytes),
        "(paper)  ": sent,
    }


def _gates(arms: dict[str, Tally]) -> list[Gate]:
    swim = arms["SWIM"]
    gates = [
        Gate(f"{arm}: FP in percent of SWIM", percent(arms[arm].fp, swim.fp), low, high)
        for arm, (low, high) in GATES.items()
    ]
    share = percent(arms["Lifeguard"].bytes, swim.bytes)
    return [*gates, Gate("Lifeguard: bytes in percent of SWIM", share, 0.0, 105.0)]


@define
class Draw:
    """One cell of the grid and one choice of members."""

    nodes: int
    count: int
    duration: float
    interval: float
    seed: int

    def measure(self, arm: str, tally: Tally) -> None:
        """Run it in one arm."""
        random = Random(f"{self.seed} {self.count} {self.duration} {self.interval}")
        names = [f"m{number:03d}" for number in range(self.nodes)]
        slow = dict.fromkeys(random.sample(names, self.count))

        def listen(_now: float, host: Host, told: Notification) -> None:
            if isinstance(told, Failed) and told.member.name not in slow:
                tally.fp += 1
                tally.fp_healthy += host.name not in slow

        world = World(random, config=ARMS[arm], listen=listen)
        world.start_settled(names, meta=META)
        world.run(SETTLE)
        before = sum(host.bytes for host in world.up()), world.counts["datagrams"]
        blocked = [Blocked(world, name) for name in slow]
        end = world.now + LENGTH
        while world.now < end:
            for member in blocked:
                member.block()
            world.run(self.duration)
            for member in blocked:
                member.unblock()
            world.run(self.interval)
        tally.bytes += sum(host.bytes for host in world.up()) - before[0]
        tally.datagrams += world.counts["datagrams"] - before[1]


def percent(part: float, whole: float) -> float:
    """How many hundredths; 0 of nothing."""
    return 100.0 * part / whole if whole else 0.0
