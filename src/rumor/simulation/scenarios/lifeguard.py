"""Slow members, and whom they accuse: Lifeguard's Interval experiment (arXiv 1707.00788, §V).

C of the members are blocked for D seconds, run for I seconds, and so on, all in step. A blocked
member neither completes a send nor handles what it receives. Nobody fails; so each report of a
failure of a member that was never blocked is a false positive (FP), wherever it is raised; raised
at a member that was never blocked itself it counts as FP- as well.

The paper's agents are made of tasks that wait separately: while sends do not complete, the task
that probes hangs in its first ping and starts no other, but the timers of suspicions run out all
the same; and when the block ends, that probe's time is over before the ack to it can come. So
:func:`block` lets one probe begin and stops the detector's timers then, and :func:`unblock` lets
them fire before what has come is read. (Our own driver is one task, which hangs as a whole and
reads first; it is the harder case that is measured here.)

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
from rumor.core.state import Due, State
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
DURATIONS = (16.384, 32.768)
INTERVALS = (0.001, 0.004)
"""Seconds blocked and running: the corner of the paper's grid (from 0.128 s, to 16.384 s) in which
a simulated cluster has false positives at all. A shorter block ends before SWIM's shortest
suspicion does; in a longer interval the refutation arrives, as here no CPU is slow."""

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
    """Run `seeds` draws of D and I for each number of blocked members, in all arms.

    A draw takes about a minute for each number of blocked members.
    """
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
        for name in slow:
            block(world, name)
        world.run(duration)
        for name in slow:
            unblock(world, name)
        world.run(interval)
    tally.bytes += sum(host.bytes for host in world.up()) - before[0]
    tally.datagrams += world.counts["datagrams"] - before[1]


def block(world: World, name: Name) -> None:
    """Block a member; its tasks hang in their first send, the one that probes in its first ping."""
    state = _state(world, name)
    world.hold(name, Mode.BLOCKED)
    for due in (Due.GOSSIP, Due.EXCHANGE, Due.RECONNECT):
        state.schedule.cancel((due, 0))
    if state.probe is not None:
        _hang(state)
    else:
        state.schedule.cancel((Due.PROBE, 0))
        state.schedule.set((Due.PROBE, 0), world.now)
        world.look_at_clock(name)
        _hang(state)


def unblock(world: World, name: Name) -> None:
    """Let a member run again: its tasks find their time over, then it reads what has come."""
    state, now = _state(world, name), world.now
    for due in (Due.GOSSIP, Due.EXCHANGE, Due.RECONNECT):
        state.schedule.set((due, 0), now)
    end, probe = now, state.probe
    if probe is not None:
        end = probe.started + probe.scale * state.config.probe_interval
        ask = probe.started + probe.scale * state.config.probe_timeout
        if not probe.helpers and end > now:
            state.schedule.set((Due.ACK, 0), max(now, ask))
    state.schedule.set((Due.PROBE, 0), max(now, end))
    world.look_at_clock(name)
    world.release(name)


def _hang(state: State) -> None:
    for due in (Due.ACK, Due.PROBE):
        state.schedule.cancel((due, 0))


def _state(world: World, name: Name) -> State:
    core = world.hosts[name].core
    assert core is not None
    return core._state  # noqa: SLF001  # no event says that a task hangs


def percent(part: float, whole: float) -> float:
    """How many hundredths; 0 of nothing."""
    return 100.0 * part / whole if whole else 0.0
