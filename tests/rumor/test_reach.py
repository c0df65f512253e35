"""Who is there but not for us: reported once, as such, instead of flapping."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from rumor.config import Config
from rumor.core.reach import DETOURS_MIN
from rumor.effects import (
    Answer,
    Effect,
    Exchange,
    Failed,
    Left,
    Notification,
    Reachable,
    Send,
    Suspected,
    Unreachable,
)
from rumor.events import Answered, Asked
from rumor.messages import (
    Ack,
    Alive,
    Dead,
    Leave,
    Ping,
    PingRequest,
    StreamAck,
    StreamPing,
)
from rumor.simulation.host import Host
from rumor.simulation.world import World
from rumor.testing import SOMEWHERE, Bench, address_of, notifications, only

QUIET = Config(exchange_interval=1e6, reconnect_interval=1e6)


def probe(bench: Bench, *, way: str) -> list[Effect]:
    """Run one protocol period in which the target answers by that way."""
    while True:
        orders = bench.step(now=max(bench.now, bench.swim.deadline))
        pings = [s.message for s in only(Send, orders) if isinstance(s.message, Ping)]
        if pings:
            break
    (ping,) = pings
    if way == "straight":
        return bench.hear(message=Ack(ping.sequence, ping.target, SOMEWHERE), source=ping.target)
    orders = bench.step(now=bench.now + bench.swim.statistics().health_score + 0.5)
    assert only(Exchange, orders)
    if way == "relayed":
        assert [s for s in only(Send, orders) if isinstance(s.message, PingRequest)]
        return bench.hear(message=Ack(ping.sequence, ping.target))
    (exchange,) = only(Exchange, orders)
    assert exchange.request == StreamPing(ping.target)
    return bench.step(Answered(exchange.ticket, StreamAck(ping.target)))


def two() -> Bench:
    """One other member to be probed, and another, suspected one that may help nobody."""
    bench = Bench("a", "b", config=QUIET)
    bench.hear(Leave("b", 0))
    return bench


def three() -> Bench:
    """Two others."""
    return Bench("a", "b", config=QUIET)


def test_answers_by_stream_only_are_told_once() -> None:
    """At the third in a row, whatever comes after; and the end of it is told once, too."""
    bench = two()
    told = [notifications(probe(bench, way="stream")) for _ in range(DETOURS_MIN + 3)]
    peer = bench.peer("a")

    assert told == [[]] * (DETOURS_MIN - 1) + [[Unreachable(peer)]] + [[]] * 3
    assert bench.swim.statistics().unreachable == 1
    assert notifications(probe(bench, way="straight")) == [Reachable(peer)]
    assert notifications(probe(bench, way="straight")) == []
    assert bench.swim.statistics().unreachable == 0


def test_answers_by_helpers_only_are_told() -> None:
    """Each of two members is behind the other."""
    bench = three()
    told = [n for _ in range(2 * DETOURS_MIN) for n in notifications(probe(bench, way="relayed"))]

    assert {type(n) for n in told} == {Unreachable}
    assert {n.member.name for n in told} == {"a", "b"}


def test_a_straight_answer_between_begins_the_count_anew() -> None:
    """Lost datagrams are no cut link."""
    bench = two()
    for way in ("stream", "stream", "straight") * 5:
        assert notifications(probe(bench, way=way)) == []


@pytest.mark.parametrize("end", [Dead("a", 0, "z"), Leave("a", 0)])
def test_who_is_dead_or_gone_is_not_unreachable_any_more(end: Dead | Leave) -> None:
    """The count begins anew with the next life."""
    bench = two()
    for _ in range(DETOURS_MIN):
        probe(bench, way="stream")
    assert [type(n) for n in notifications(bench.hear(end))] in ([Failed], [Left])
    assert bench.swim.statistics().unreachable == 0
    bench.hear(Alive("a", address_of("a"), 1, b""))
    assert notifications(probe(bench, way="straight")) == []


def test_an_answer_of_somebody_else_tells_nothing() -> None:
    """Neither another's ack nor the reply of whoever has the address now."""
    bench = two()
    for _ in range(2 * DETOURS_MIN):
        bench.hear(message=Ack(999, "a"))
        bench.step(Answered(999, StreamAck("a")), Asked(1, StreamPing("me")))
    assert bench.swim.statistics().unreachable == 0
    assert only(Answer, bench.step(Asked(2, StreamPing("me"))))


def test_a_quarter_of_an_hour_without_one_link_is_told_once_by_each_end() -> None:
    """A reaches B, B reaches C, A does not reach C; nobody flaps; then the link is mended."""
    told: Counter[tuple[str, type[Notification], str]] = Counter()

    def listen(_now: float, host: Host, notification: Notification) -> None:
        told[host.name, type(notification), notification.member.name] += 1

    world = World(Random(1), listen=listen)
    names = [f"m{i}" for i in range(5)]
    world.start_settled(names)
    world.run(30)
    told.clear()
    world.network.cuts |= {("m0", "m2"), ("m2", "m0")}
    world.run(900)

    assert told == {("m0", Unreachable, "m2"): 1, ("m2", Unreachable, "m0"): 1}
    world.network.heal()
    world.run(60)
    assert told["m0", Reachable, "m2"] == told["m2", Reachable, "m0"] == 1
    assert not any(kind in (Suspected, Failed) for _, kind, _ in told)
