"""The failure detector."""

from __future__ import annotations

from collections import Counter

import pytest
from attrs import evolve

from rumor.config import Config
from rumor.core.coordinates import ORIGIN
from rumor.effects import Answer, Effect, Exchange, Send, Suspected
from rumor.events import Answered, Asked, Received, Unanswered
from rumor.messages import (
    Ack,
    Dead,
    Gossip,
    Leave,
    Nack,
    Name,
    Ping,
    PingRequest,
    Same,
    StreamAck,
    StreamPing,
    Suspect,
)
from rumor.testing import Bench, address_of, alive, notifications, only, told

CALM = Config(exchange_interval=1e6, reconnect_interval=1e6)
"""The LAN preset, probing every second with half a second for an answer; no exchanges."""


def pings(effects: list[Effect]) -> list[Ping]:
    """Keep the pings."""
    return [s.message for s in only(Send, effects) if isinstance(s.message, Ping)]


def requests(effects: list[Effect]) -> list[Send]:
    """Keep the requests for help."""
    return [s for s in only(Send, effects) if isinstance(s.message, PingRequest)]


def until_ping(bench: Bench) -> Ping:
    """Let time pass until the next ping, and return it."""
    while True:
        found = pings(bench.step(now=bench.swim.deadline))
        if found:
            return found[0]


def test_each_period_probes_one_member_in_turn() -> None:
    """In every round each of eight members is probed once; rounds are shuffled anew."""
    bench = Bench(*"abcdefgh", config=CALM)
    targets = [ping.target for ping in pings(bench.run(80.5, dead=()))]
    rounds = [tuple(targets[i : i + 8]) for i in range(0, 80, 8)]

    assert all(sorted(r) == list("abcdefgh") for r in rounds)
    assert len(set(rounds)) > 5


def test_a_newcomer_gets_a_random_place_in_the_round() -> None:
    """Over many seeds it is probed early, late, and in between."""
    places = Counter[int]()
    for seed in range(200):
        bench = Bench(*"abcdefgh", config=CALM, seed=seed)
        bench.run(1.0, dead=())
        bench.hear(alive("x"))
        targets = [ping.target for ping in pings(bench.run(10.5, dead=()))]
        places[targets.index("x")] += 1

    assert max(places) <= 8
    assert min(places[i] for i in range(8)) > 5


def test_the_departed_and_the_dead_are_not_probed() -> None:
    """They are passed over in the round."""
    bench = Bench("a", "b", config=CALM)
    bench.hear(Leave("b", 0))

    assert {ping.target for ping in pings(bench.run(20, dead=()))} == {"a"}


def test_an_answer_in_time_is_no_news() -> None:
    """All answer: no suspicion, no request for help, local health stays well."""
    bench = Bench(*"abcd", config=CALM)
    effects = bench.run(60, dead=())

    assert (notifications(effects), requests(effects)) == ([], [])
    assert bench.swim.statistics().health_score == 0


def test_silence_is_probed_through_helpers_and_then_suspected() -> None:
    """Half a second, then k others are asked; at the end of the period, suspicion."""
    bench = Bench(*"abcdef", config=CALM)
    ping = until_ping(bench)
    start = bench.now
    asked = bench.run(start + 0.5)
    later = bench.run(start + 0.99)
    end = bench.run(start + 1.0)

    assert len({send.to for send in requests(asked)}) == 3
    expected = PingRequest(ping.sequence, "me", ping.target, address_of(ping.target))
    assert [send.message for send in requests(asked)] == [expected] * 3
    assert address_of(ping.target) not in {send.to for send in requests(asked)}
    assert notifications(asked + later) == []
    assert notifications(end) == [Suspected(bench.peer(ping.target), "me")]


def test_a_target_that_moves_while_it_is_asked_is_not_suspected() -> None:
    """Its former address is silent; the new one was not asked."""
    bench = Bench("a", config=CALM)
    until_ping(bench)
    moved = evolve(alive("a", 3), address=address_of("elsewhere"))
    bench.run(bench.now + 0.9)
    bench.hear(Dead("a", 0, "z"), moved)
    effects = bench.run(bench.now + 0.2)

    assert bench.peer("a").address == moved.address
    assert only(Suspected, effects) == []


def test_an_ack_by_way_of_a_helper_saves_the_target() -> None:
    """At the last moment, from anywhere, with our own number and the target's name."""
    bench = Bench(*"abcdef", config=CALM)
    ping = until_ping(bench)
    start = bench.now
    bench.run(start + 0.99)
    bench.hear(message=Ack(ping.sequence, ping.target), source="helper")

    assert notifications(bench.run(start + 1.0)) == []


@pytest.mark.parametrize("ack", ["number", "name"])
def test_an_ack_counts_only_with_the_right_number_and_name(ack: str) -> None:
    """An answer to another ping, or from whoever has the address now, saves nobody."""
    bench = Bench(*"abcdef", config=CALM)
    ping = until_ping(bench)
    wrong = Ack(ping.sequence + 1, ping.target) if ack == "number" else Ack(ping.sequence, "z")
    bench.hear(message=wrong)

    assert notifications(bench.run(bench.now + 1.0)) == [Suspected(bench.peer(ping.target), "me")]


def test_a_paused_process_hears_its_acks_before_it_accuses() -> None:
    """Five seconds late, with the ack in the same batch: no suspicion."""
    bench = Bench(*"abcdef", config=CALM)
    ping = until_ping(bench)
    ack = Received(address_of(ping.target), Ack(ping.sequence, ping.target))
    effects = bench.step(ack, now=bench.now + 5)

    assert notifications(effects) == []
    assert bench.swim.statistics().health_score == 0


def test_a_paused_process_does_not_accuse_before_helpers_had_their_time() -> None:
    """Both deadlines passed in the pause; the helpers are asked, and get half a second."""
    bench = Bench(*"abcdef", config=CALM)
    until_ping(bench)
    late = bench.now + 5
    effects = bench.step(now=late)

    assert (len(requests(effects)), notifications(effects)) == (3, [])
    assert notifications(bench.run(late + 0.49)) == []
    assert [type(n) for n in notifications(bench.run(late + 0.51))] == [Suspected]


@pytest.mark.parametrize(("nacks", "score"), [(0, 4), (1, 3), (2, 2), (3, 1)])
def test_a_failed_probe_and_each_missing_nack_worsen_local_health(nacks: int, score: int) -> None:
    """Helpers that say "I am here" exonerate us; only those asked count, and each once."""
    bench = Bench(*"abcdef", config=CALM)
    ping = until_ping(bench)
    start = bench.now
    asked = requests(bench.run(start + 0.5))
    helpers = [n for n in "abcdef" if address_of(n) in {send.to for send in asked}]
    for name in [*helpers[:nacks], *helpers[:nacks], ping.target, "stranger"]:
        bench.hear(message=Nack(ping.sequence, name), now=start + 0.9)
    bench.run(start + 1.0)

    assert bench.swim.statistics().health_score == score


def test_bad_local_health_stretches_interval_and_timeout() -> None:
    """At score 3, a direct ping has four times as long, and so has the period."""
    bench = Bench(*"abcdef", config=CALM)
    for i in range(3):
        bench.hear(Suspect("me", i, "a"))
    until_ping(bench)
    start = bench.now

    assert requests(bench.run(start + 1.99)) == []
    assert len(requests(bench.run(start + 2.0))) == 3
    assert notifications(bench.run(start + 3.99)) == []
    assert [type(n) for n in notifications(bench.run(start + 4.001))] == [Suspected]


@pytest.mark.parametrize("buddy", [True, False])
def test_the_suspect_is_told_on_the_ping_itself(buddy: bool) -> None:
    """Lifeguard's buddy system, even when the backlog has long forgotten; unless switched off."""
    bench = Bench("a", config=evolve(CALM, buddy=buddy))
    bench.run(0.01)
    bench.hear(Suspect("a", 0, "y"))
    tells: list[bool] = []
    while len(tells) < 3:
        effects = bench.step(now=bench.swim.deadline)
        if pings(effects):
            tells.append((address_of("a"), Suspect("a", 0, "y")) in told(effects))
        for ping in pings(effects):
            bench.hear(message=Ack(ping.sequence, "a"))

    assert tells[1:] == [buddy, buddy]


def test_a_ping_is_answered_to_where_it_came_from() -> None:
    """Behind NAT that is another port than the advertised one."""
    bench = Bench("a", config=CALM)
    bench.run(0.0)
    source = ("192.0.2.1", 40_000)
    effects = bench.step(Received(source, Ping(7, "a", "me")))

    assert [(s.to, s.message) for s in only(Send, effects) if s.message != Gossip()] == [
        (source, Ack(7, "me", ORIGIN))
    ]


def test_a_ping_for_another_name_is_not_answered() -> None:
    """The address has changed hands; the former owner shall be found dead."""
    bench = Bench(config=CALM)

    assert bench.hear(message=Ping(7, "a", "former")) == []


def helper_with(request: PingRequest) -> tuple[Bench, Ping]:
    """Ask a member for help; return it and the ping that it made."""
    bench = Bench(config=evolve(CALM, probe_interval=1.0))
    (ping,) = pings(bench.hear(message=request, source="asker"))
    return bench, ping


def sent_to(name: Name, effects: list[Effect]) -> list[object]:
    """Keep the messages to one member."""
    return [s.message for s in only(Send, effects) if s.to == address_of(name)]


REQUEST = PingRequest(7, "asker", "x", address_of("x"))


def test_a_helper_relays_the_ack_under_the_askers_number() -> None:
    """It pings a target that it need not know; no nack follows."""
    bench, ping = helper_with(REQUEST)
    effects = bench.hear(message=Ack(ping.sequence, "x"), now=0.1) + bench.run(2)

    assert (ping.source, ping.target) == ("me", "x")
    assert sent_to("asker", effects) == [Ack(7, "x")]


def test_a_helper_sends_its_nack_at_80_percent_and_the_ack_still_later() -> None:
    """At 0.4 of 0.5 seconds, in time for an asker whose period ends 0.5 s after it asked."""
    bench, ping = helper_with(REQUEST)
    early = bench.run(0.39)
    nack = bench.run(0.41)
    ack = bench.hear(message=Ack(ping.sequence, "x"), now=0.6)

    assert [sent_to("asker", e) for e in (early, nack, ack)] == [[], [Nack(7, "me")], [Ack(7, "x")]]


def test_a_helper_forgets_the_request_after_a_period() -> None:
    """A very late ack goes nowhere, and nothing piles up."""
    bench, ping = helper_with(REQUEST)
    bench.run(1.0)

    assert sent_to("asker", bench.hear(message=Ack(ping.sequence, "x"))) == []
    assert bench.swim._state.relays == {}


def test_help_is_limited() -> None:
    """Requests beyond the limit are refused and counted."""
    bench = Bench(config=evolve(CALM, relays_max=2))
    made = [pings(bench.hear(message=evolve(REQUEST, sequence=i))) for i in range(4)]

    assert [len(m) for m in made] == [1, 1, 0, 0]
    assert bench.swim.statistics().refused == 2


def test_a_target_that_left_during_its_probe_is_no_failure() -> None:
    """Its silence is not counted against us either."""
    bench = Bench(*"abcd", config=CALM)
    ping = until_ping(bench)
    bench.hear(Leave(ping.target, 0))
    bench.run(bench.now + 1.0)

    assert bench.swim.statistics().probes_failed == 0
    assert bench.swim.statistics().health_score == 0


# --- the probe over a stream ------------------------------------------------------------------


def until_stream_ping(bench: Bench) -> tuple[Ping, Exchange]:
    """Let a ping stay unanswered; return it and what is asked over a stream."""
    ping = until_ping(bench)
    (exchange,) = only(Exchange, bench.run(bench.now + 0.5))
    return ping, exchange


def test_a_silent_target_is_asked_over_a_stream_too() -> None:
    """At its own address, by its own name, when the helpers are asked."""
    bench = Bench("a", config=CALM)
    _, exchange = until_stream_ping(bench)

    assert (exchange.to, exchange.request) == (address_of("a"), StreamPing("a"))


def test_an_answer_over_the_stream_spares_the_target() -> None:
    """No suspicion; it is counted, and our health stays as it was."""
    bench = Bench("a", config=CALM)
    _, exchange = until_stream_ping(bench)
    effects = bench.step(Answered(exchange.ticket, StreamAck("a")))
    effects += bench.run(bench.now + 0.6)

    assert only(Suspected, effects) == []
    statistics = bench.swim.statistics()
    assert (statistics.probes_by_stream, statistics.probes_failed) == (1, 0)
    assert statistics.health_score == 0


@pytest.mark.parametrize("answer", [StreamAck("b"), Same(), None, "late"])
def test_any_other_answer_over_the_stream_spares_nobody(answer: StreamAck | Same | str) -> None:
    """Another name at its address, another reply, none, or one after the period."""
    bench = Bench("a", config=CALM)
    ping, exchange = until_stream_ping(bench)
    if isinstance(answer, StreamAck | Same):
        effects = bench.step(Answered(exchange.ticket, answer))
    else:
        effects = bench.step(Unanswered(exchange.ticket)) if answer is None else []
    effects += bench.run(bench.now + 0.6)
    bench.step(Answered(exchange.ticket, StreamAck(ping.target)))

    assert [e.member.name for e in only(Suspected, effects)] == ["a"]
    assert bench.swim.statistics().probes_by_stream == 0


def test_who_is_asked_over_a_stream_gives_its_name() -> None:
    """Whoever was meant: the asker decides."""
    bench = Bench("a", config=CALM)

    assert only(Answer, bench.step(Asked(7, StreamPing("somebody")))) == [
        Answer(7, StreamAck("me"))
    ]


def test_the_stream_can_be_left_out() -> None:
    """As in the paper."""
    bench = Bench("a", config=evolve(CALM, stream_probe=False))
    until_ping(bench)

    assert only(Exchange, bench.run(bench.now + 0.5)) == []
