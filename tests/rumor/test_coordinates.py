"""Network coordinates: Serf's simulated nets, whose round trips are known, with Serf's bounds."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, dist, hypot, isfinite, pi, sin, sqrt
from random import Random

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from rumor.config import Config
from rumor.core.coordinates import (
    ERROR_MAX,
    ORIGIN,
    ROUND_TRIP_MAX,
    Vivaldi,
    distance,
    is_sound,
    raw_distance,
)
from rumor.effects import Send
from rumor.messages import COORDINATE_DIMENSIONS, Ack, Coordinate, Dead, Ping, PingRequest
from rumor.testing import Bench, address_of, only

Truth = Callable[[int, int], float]

CYCLES = 1_000


def simulate(nodes: list[Vivaldi], truth: Truth, cycles: int, random: Random) -> None:
    """In each cycle, everybody measures the way to somebody."""
    for _ in range(cycles):
        for i, node in enumerate(nodes):
            j = random.randrange(len(nodes))
            if i != j:
                node.observe(str(j), nodes[j].point, truth(i, j))


def settle(count: int, truth: Truth, seed: int) -> tuple[float, float]:
    """Run a net; return the mean and the largest relative error over all pairs."""
    random = Random(seed)
    nodes = [Vivaldi(str(i)) for i in range(count)]
    simulate(nodes, truth, CYCLES, random)
    errors = [
        abs(distance(nodes[i].point, nodes[j].point) - truth(i, j)) / truth(i, j)
        for i in range(count)
        for j in range(i + 1, count)
    ]
    return sum(errors) / len(errors), max(errors)


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


@pytest.mark.parametrize(
    ("count", "truth", "seed", "mean", "worst"),
    [
        (10, line, 1, 0.0031, 0.013),
        (25, grid, 5, 0.0016, 0.023),
        (25, halves, 103, 0.000061, 0.00048),  # Serf's bound for the mean: 0.00006
        (25, circle, 1, 0.0028, 0.064),
        (25, noise, 1, 0.075, 0.33),
    ],
    ids=["line", "grid", "halves", "circle", "noise"],
)
def test_known_nets_are_found(
    count: int, truth: Truth, seed: int, mean: float, worst: float
) -> None:
    """After 1,000 measurements of each member, distances are as close to the truth as Serf's.

    Serf's bounds are those of one seed, too: from seed to seed, means differ by a factor of two.
    """
    found_mean, found_worst = settle(count, truth, seed)

    assert found_mean <= mean
    assert found_worst <= worst


def test_a_net_does_not_drift_away() -> None:
    """Four members far off the origin are pulled back towards it as a whole."""
    random = Random(4)
    corners = [(0.0, 0.0), (0.0, 0.5), (0.5, 0.5), (0.5, 0.0)]
    nodes = [Vivaldi(str(i)) for i in range(4)]
    for node, corner in zip(nodes, corners, strict=True):
        vector = (*corner, *ORIGIN.vector[2:])
        node.point = evolve(node.point, vector=vector)

    def truth(i: int, j: int) -> float:
        return 0.5 * (sqrt(2) if (i - j) % 2 == 0 else 1)

    def off() -> float:
        axes = list(zip(*(node.point.vector for node in nodes), strict=True))
        return hypot(*((min(axis) + max(axis)) / 2 for axis in axes))

    simulate(nodes, truth, CYCLES, random)
    before = off()
    simulate(nodes, truth, 10 * CYCLES, random)

    assert off() <= 0.8 * before


def test_distances_are_symmetric_and_add_both_heights() -> None:
    """A negative sum with the adjustments does not count."""
    one = evolve(ORIGIN, vector=(3.0, *[0.0] * 7), height=0.1)
    two = evolve(ORIGIN, vector=(0.0, 4.0, *[0.0] * 6), height=0.2, adjustment=0.5)

    assert raw_distance(one, two) == pytest.approx(5.3)
    assert distance(one, two) == distance(two, one) == pytest.approx(5.8)
    assert distance(one, evolve(two, adjustment=-9.0)) == pytest.approx(5.3)


def test_one_slow_answer_does_not_count() -> None:
    """The median of three from one member does."""
    steady, shaken = Vivaldi("me"), Vivaldi("me")
    other = evolve(ORIGIN, vector=(0.05, *[0.0] * 7))
    for round_trip in (0.05, 0.05, 0.05):
        steady.observe("a", other, round_trip)
    for round_trip in (0.05, 0.05, 5.0):
        shaken.observe("a", other, round_trip)

    assert steady.point == shaken.point


numbers = st.floats(allow_nan=True, allow_infinity=True)
anything = st.builds(
    Coordinate,
    st.one_of(
        st.tuples(*[numbers] * COORDINATE_DIMENSIONS), st.lists(numbers, max_size=9).map(tuple)
    ),
    numbers,
    numbers,
    numbers,
)
huge = st.builds(
    Coordinate,
    st.tuples(*[st.floats(-1.7e308, 1.7e308)] * COORDINATE_DIMENSIONS),
    st.floats(0, ERROR_MAX),
    st.floats(-1.7e308, 1.7e308),
    st.floats(0, 1.7e308),
)


@settings(max_examples=100)
@given(st.lists(st.tuples(st.one_of(anything, huge), numbers | st.floats(0, ROUND_TRIP_MAX))))
def test_the_point_stays_finite_whatever_is_measured(
    measured: list[tuple[Coordinate, float]],
) -> None:
    """No number, none of infinity, no wrong count of dimensions, nothing too large gets in."""
    node = Vivaldi("me")
    for other, round_trip in measured:
        node.observe("a", other, round_trip)

        assert is_sound(node.point)
        assert all(map(isfinite, node.point.vector))


@pytest.mark.parametrize("round_trip", [-0.1, 10.1, float("nan"), float("inf")])
def test_a_round_trip_that_is_none_is_left_out(round_trip: float) -> None:
    """Negative, more than ten seconds, or no number."""
    node = Vivaldi("me")

    assert node.observe("a", ORIGIN, round_trip) is False
    assert node.point == ORIGIN


# --- in the core ------------------------------------------------------------------------------

CALM = Config(exchange_interval=1e6, reconnect_interval=1e6, stream_probe=False)


def until_ping(bench: Bench) -> Ping:
    """Let time pass until the next ping, and return it."""
    while True:
        for send in only(Send, bench.step(now=bench.swim.deadline)):
            if isinstance(send.message, Ping):
                return send.message


def test_an_ack_brings_the_way_to_its_sender() -> None:
    """Measured from ping to ack, many times over; unknown before, forgotten with the member."""
    bench = Bench("a", config=evolve(CALM, tombstone_time=5.0))
    before = bench.swim.distance("a")
    other = evolve(ORIGIN, vector=(0.010, *[0.0] * 7))
    for _ in range(200):
        ping = until_ping(bench)
        bench.hear(message=Ack(ping.sequence, "a", other), now=bench.now + 0.030)

    assert before is None
    assert bench.swim.distance("a") == pytest.approx(0.030, rel=0.1)
    assert bench.swim.distance("me") == 0.0
    bench.hear(Dead("a", 0, "b"))
    bench.run(bench.now + 6)
    assert bench.swim.distance("a") is None


def test_pings_are_answered_with_our_place_and_relayed_acks_without() -> None:
    """A relayed ack took a longer way than the one from us to its sender."""
    bench = Bench("a", config=CALM)
    (ack,) = [
        s.message
        for s in only(Send, bench.hear(message=Ping(1, "a", "me")))
        if isinstance(s.message, Ack)
    ]
    request = PingRequest(7, "b", "a", address_of("a"))
    sends = only(Send, bench.hear(message=request, source="b"))
    (ping,) = [s.message for s in sends if isinstance(s.message, Ping)]
    relayed = only(Send, bench.hear(message=Ack(ping.sequence, "a", ORIGIN)))

    assert ack.coordinate == ORIGIN
    assert Ack(7, "a") in [s.message for s in relayed]
