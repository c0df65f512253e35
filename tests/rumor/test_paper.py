"""SWIM and Lifeguard, sentence by sentence.

The sections are those of Das, Gupta, Motivala: "SWIM: Scalable Weakly-consistent Infection-style
Process Group Membership Protocol" (DSN 2002), and of Dadgar, Phillips, Currey: "Lifeguard: Local
Health Awareness for More Accurate Failure Detection" (arXiv 1707.00788). Quotations are short; the
rest is in our words.
"""

from __future__ import annotations

from itertools import pairwise
from math import log10

import pytest
from attrs import evolve

from rumor.config import Config
from rumor.core.suspicion import suspicion_time, timeout, transmit_limit
from rumor.effects import Effect, Failed, Joined, Recovered, Send, Suspected
from rumor.messages import Ack, Dead, Gossip, Health, Ping, PingRequest, Suspect
from rumor.testing import Bench, address_of, alive, notifications, only, told

CALM = Config(exchange_interval=1e6, reconnect_interval=1e6)


def of(kind: type[Ping | PingRequest], effects: list[Effect]) -> list[Send]:
    """Keep the datagrams with one kind of message."""
    return [send for send in only(Send, effects) if isinstance(send.message, kind)]


def test_3_1_each_protocol_period_one_member_is_pinged() -> None:
    """§3.1: in each period a member is selected and a ping is sent to it."""
    bench = Bench(*"abcdefgh", config=CALM)

    assert [len(of(Ping, bench.run(t + 0.99, dead=()))) for t in range(30)] == [1] * 30


def test_3_1_load_per_member_does_not_depend_on_the_size_of_the_group() -> None:
    """§3.1: the expected number of messages per member and period is constant."""
    counts = []
    for size in (8, 64, 512):
        bench = Bench(*(f"n{i}" for i in range(size)), config=CALM)
        bench.run(50, dead=())
        counts.append(len(only(Send, bench.run(150, dead=()))))

    assert counts == [100, 100, 100]


def test_3_1_without_an_ack_in_time_k_members_are_asked_to_ping() -> None:
    """§3.1: after the timeout, k members at random each get a ping-req(M_j)."""
    bench = Bench(*"abcdefgh", config=evolve(CALM, indirect_probes=2))
    (ping,) = of(Ping, bench.run(0.999))
    asked = of(PingRequest, bench.run(1.499))

    assert isinstance(ping.message, Ping)
    assert len(asked) == len({send.to for send in asked}) == 2
    assert ping.to not in {send.to for send in asked}
    assert {s.message.target for s in asked if isinstance(s.message, PingRequest)} == {
        ping.message.target
    }


def test_3_2_an_update_is_piggybacked_on_pings_and_acks() -> None:
    """§4.1: dissemination rides on the failure detector's own messages."""
    bench = Bench("a", config=evolve(CALM, gossip_interval=1e6))
    bench.run(10, dead=())
    bench.hear(alive("x"))
    carriers = [type(send.message) for send in only(Send, bench.run(13, dead=())) if send.gossip]
    bench.hear(alive("y"))
    answer = only(Send, bench.hear(message=Ping(1, "a", "me"), source="a"))

    assert Ping in carriers
    assert [send.gossip != () for send in answer if isinstance(send.message, Ack)] == [True]


def test_4_1_an_update_is_passed_on_at_most_lambda_log_n_times() -> None:
    """§4.1: with lambda * log(n), infection-style dissemination reaches all but n^-(2λ-2)."""
    assert transmit_limit(4, 1000) == 4 * 4
    for n in (10, 100, 1_000, 10_000):
        assert transmit_limit(4, n) >= 4 * log10(n)


def test_4_1_updates_passed_on_fewer_times_are_preferred() -> None:
    """§4.1: the younger rumour goes first when a message has no room for all."""
    bench = Bench(*(f"n{i}" for i in range(60)), config=CALM)
    bench.run(30, dead=())
    bench.hear(*(alive(f"old{i}", 0, b"m" * 500) for i in range(4)))
    bench.run(30.3, dead=())
    effects = bench.hear(alive("young", 0, b"m" * 500))

    assert "young" in {update.name for _, update in told(effects)}


def test_4_2_a_silent_member_is_suspected_not_declared_dead() -> None:
    """§4.2: it is marked as Suspected and the suspicion is disseminated."""
    bench = Bench("a", config=CALM)
    effects = bench.run(2.5)

    assert [type(n) for n in notifications(effects)] == [Suspected]
    assert Suspect("a", 0, "me") in {update for _, update in told(effects)}


def test_4_2_a_suspect_is_treated_as_a_member() -> None:
    """§4.2: it is still pinged, and told of updates."""
    bench = Bench("a", config=CALM)
    bench.hear(Suspect("a", 0, "z"))

    assert of(Ping, bench.run(2.0, dead=()))


def test_4_2_a_suspect_that_speaks_up_in_time_is_alive() -> None:
    """§4.2: an Alive with a larger incarnation number un-suspects."""
    bench = Bench("a", config=CALM)
    bench.hear(Suspect("a", 0, "z"))
    effects = bench.hear(alive("a", 1)) + bench.run(60, dead=())

    assert [type(n) for n in notifications(effects)] == [Recovered]


def test_4_2_an_alive_of_the_same_incarnation_does_not_clear_a_suspicion() -> None:
    """§4.2: Suspect overrides Alive of the same number, in either order of arrival."""
    bench = Bench("a", "b", config=CALM)
    bench.hear(Suspect("a", 0, "z"), alive("a", 0))
    bench.hear(alive("b", 0), Suspect("b", 0, "z"))

    assert {bench.peer(n).health for n in "ab"} == {Health.SUSPECT}


def test_4_2_a_suspicion_that_is_not_refuted_is_confirmed() -> None:
    """§4.2: after the timeout the member is declared faulty, and others are told."""
    bench = Bench("a", config=CALM)
    effects = bench.run(2.5 + 4.0)

    assert [type(n) for n in notifications(effects)] == [Suspected, Failed]
    assert Dead("a", 0, "me") in {update for _, update in told(bench.hear(alive("x")) + effects)}


def test_4_2_only_the_member_itself_raises_its_incarnation() -> None:
    """§4.2: we suspect and bury others at the number that they gave themselves."""
    bench = Bench("a", config=CALM)
    bench.hear(alive("a", 5))
    bench.run(60)

    assert (bench.peer("a").incarnation, bench.peer("a").health) == (5, Health.DEAD)


def test_4_3_a_failure_is_probed_within_2n_minus_1_periods() -> None:
    """§4.3: round-robin with shuffling bounds the time between two probes of one member."""
    bench = Bench(*"abcdefgh", config=CALM)
    targets = [s.message.target for s in of(Ping, bench.run(200, dead=()))
               if isinstance(s.message, Ping)]  # fmt: skip
    for name in "abcdefgh":
        places = [i for i, target in enumerate(targets) if target == name]
        gaps = [b - a for a, b in pairwise(places)]
        assert max(gaps) <= 2 * 8 - 1


def test_4_4_a_join_is_known_at_once_to_whoever_is_asked() -> None:
    """§4.4 leaves joining open; ours is an Alive like any other."""
    bench = Bench(config=CALM)

    assert [type(n) for n in notifications(bench.hear(alive("a")))] == [Joined]


def test_lifeguard_lha_probe_scales_interval_and_timeout_up_to_nine_times() -> None:
    """LHA-Probe: with S = 8, half a second may become 4.5, and one second nine."""
    bench = Bench(*"abcdefgh", config=CALM)
    for i in range(20):
        bench.hear(Suspect("me", i, "a"))
    pings = [bench.now for _ in range(3) if until_ping(bench)]
    gaps = [b - a for a, b in pairwise(pings)]

    assert bench.swim.statistics().health_score == 8
    assert gaps == [pytest.approx(9.0), pytest.approx(9.0)]


def until_ping(bench: Bench) -> bool:
    """Let time pass until the next ping, without an answer."""
    while not of(Ping, bench.step(now=bench.swim.deadline)):
        pass
    return True


def test_lifeguard_lha_suspicion_formula() -> None:
    """LHA-Suspicion: max - (max - min) log(C + 1) / log(K + 1), at least min."""
    shortest = suspicion_time(5, 128, 1)
    longest = 6 * shortest
    times = [timeout(c, 3, shortest, longest) for c in range(5)]

    assert times[0] == pytest.approx(longest, abs=0.001)
    assert times[1] == pytest.approx((longest + shortest) / 2, abs=0.001)
    assert times[3] == times[4] == shortest
    assert times == sorted(times, reverse=True)


def test_lifeguard_buddy_tells_the_suspect_first() -> None:
    """Buddy System: the accusation is on the ping to the suspect, however full the datagram."""
    bench = Bench(*(f"n{i}" for i in range(30)), "x", config=CALM)
    bench.hear(*(alive(f"n{i}", 1, b"m" * 400) for i in range(30)))
    bench.hear(Suspect("x", 0, "z"))
    effects: list[Effect] = []
    while not [s for s in of(Ping, effects) if s.to == address_of("x")]:
        effects = bench.step(now=bench.swim.deadline)
        for send in of(Ping, effects):
            if isinstance(send.message, Ping) and send.to != address_of("x"):
                bench.hear(message=Ack(send.message.sequence, send.message.target))

    assert next(update for to, update in told(effects) if to == address_of("x")) == Suspect(
        "x", 0, "z"
    )


def test_datagrams_stay_within_the_limit() -> None:
    """§4.1: as many updates as fit, no more."""
    bench = Bench(*(f"n{i}" for i in range(100)), config=CALM)
    sizes = [
        sum(map(len, send.gossip)) + 80
        for send in only(Send, bench.hear(*(alive(f"n{i}", 1, b"m" * i) for i in range(100))))
        if isinstance(send.message, Gossip)
    ]

    assert len(sizes) == 3
    assert all(1300 < size <= 1400 for size in sizes)
