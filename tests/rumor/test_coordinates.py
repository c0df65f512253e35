"""Network coordinates: Serf's simulated nets, whose round trips are known, with Serf's bounds."""

from __future__ import annotations

from math import isfinite
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
from rumor.simulation.scenarios.coordinates import DRIFT_MAX, NETS, drift, settle
from rumor.testing import Bench, address_of, only


@pytest.mark.parametrize("net", NETS)
def test_known_nets_are_found(net: str) -> None:
    """After 1,000 measurements of each member, distances are near the truth.

    Serf's bounds, which the scenario asks of a median over many seeds, are allowed twice here.
    """
    count, truth, mean_max, worst_max = NETS[net]
    mean, worst = settle(count, truth, seed=0)

    assert mean <= 2 * mean_max
    assert worst <= 2 * worst_max


def test_a_net_does_not_drift_away() -> None:
    """Four members far off the origin are pulled back towards it as a whole, by about a fifth."""
    assert drift(seed=0) == pytest.approx(DRIFT_MAX, abs=0.05)


def test_distances_are_symmetric_and_add_both_heights() -> None:
    """A negative sum with the adjustments does not count."""
    one = evolve(ORIGIN, vector=(3.0, *[0.0] * 7), height=0.1)
    two = evolve(ORIGIN, vector=(0.0, 4.0, *[0.0] * 6), height=0.2, adjustment=0.5)

    assert raw_distance(one, two) == pytest.approx(5.3)
    assert distance(one, two) == distance(two, one) == pytest.approx(5.8)
    assert distance(one, evolve(two, adjustment=-9.0)) == pytest.approx(5.3)


def test_one_slow_answer_does_not_count() -> None:
    """The median of three from one member does."""
    steady, shaken = Vivaldi(Random(1)), Vivaldi(Random(1))
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
    node = Vivaldi(Random(1))
    for other, round_trip in measured:
        node.observe("a", other, round_trip)

        assert is_sound(node.point)
        assert all(map(isfinite, node.point.vector))


@pytest.mark.parametrize("round_trip", [-0.1, 10.1, float("nan"), float("inf")])
def test_a_round_trip_that_is_none_is_left_out(round_trip: float) -> None:
    """Negative, more than ten seconds, or no number."""
    node = Vivaldi(Random(1))

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
