"""User events: told, heard once, in order, given to those who come late, and not starved."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from attrs import evolve

from rumor.config import Config
from rumor.core.exchange import fingerprint
from rumor.core.happenings import CLOCK_LEAP_MAX
from rumor.core.suspicion import transmit_limit
from rumor.effects import Answer, Deliver, Effect, Exchange, Send, Settled
from rumor.events import Answered, Asked, Happened, Introduced
from rumor.messages import (
    Alive,
    Dead,
    Digest,
    Leave,
    Push,
    Same,
    Summary,
    Suspect,
    Update,
    UserEvent,
)
from rumor.testing import Bench, address_of, alive, only, told
from rumor.wire import encode

QUIET = Config(exchange_interval=1e6, reconnect_interval=1e6, probe_interval=1e6, probe_timeout=1e5)


def delivered(effects: Iterable[Effect]) -> list[UserEvent]:
    """Keep the events that the user gets."""
    events = [effect.event for effect in only(Deliver, effects)]
    return [event for event in events if isinstance(event, UserEvent)]


def foreign(clock: int = 1, sequence: int = 1, payload: bytes = b"x") -> UserEvent:
    """An event of somebody else."""
    return UserEvent(clock, "z", 0, sequence, "deploy", payload)


def test_what_the_user_says_is_told_at_once_and_delivered_at_home() -> None:
    """With the clock one further, and a few members as the first to know."""
    bench = Bench("a", "b", config=QUIET)
    bench.hear(foreign(clock=7))
    effects = bench.step(Happened(3, "deploy", b"v2"))

    (event,) = delivered(effects)
    assert (event.clock, event.origin, event.name, event.payload) == (8, "me", "deploy", b"v2")
    assert Settled(3, 1) in effects
    assert {to for to, word in told(effects) if word == event} == {address_of("a"), address_of("b")}


def test_an_event_is_delivered_once_and_passed_on() -> None:
    """However often it comes."""
    bench = Bench("a", "b", config=QUIET)
    effects = [*bench.hear(foreign()), *bench.hear(foreign()), *bench.hear(foreign())]

    assert delivered(effects) == [foreign()]
    assert foreign() in [word for _, word in told(effects)]


def test_two_equal_events_are_two_events() -> None:
    """Said twice by us, or by another one; and by another life of the same member."""
    bench = Bench("a", config=QUIET)
    mine = [
        *delivered(bench.step(Happened(1, "deploy", b""))),
        *delivered(bench.step(Happened(2, "deploy", b""))),
    ]
    again = Bench("a", config=QUIET, seed=2)
    reborn = delivered(again.step(Happened(1, "deploy", b"")))

    assert len({event.key for event in (*mine, *reborn)}) == 3
    assert delivered(bench.hear(foreign(sequence=1), foreign(sequence=2))) == [
        foreign(sequence=1),
        foreign(sequence=2),
    ]


def test_a_clock_that_leaps_is_refused() -> None:
    """It would leave no room for honest clocks."""
    bench = Bench("a", config=QUIET)

    assert delivered(bench.hear(foreign(clock=CLOCK_LEAP_MAX + 1))) == []
    assert bench.swim.statistics().refused == 1
    assert delivered(bench.step(Happened(1, "x", b"")))[0].clock == 1


def test_too_many_events_are_refused_until_some_have_left() -> None:
    """Settled with 0; nothing was told."""
    bench = Bench("a", config=evolve(QUIET, events_max=8))
    orders = bench.step(*[Happened(i, "x", b"") for i in range(6)])
    settled = [order.count for order in only(Settled, orders)]
    bench.run(bench.now + 10)

    assert settled == [1, 1, 1, 1, 0, 0]
    assert bench.swim.statistics().events_waiting == 0
    assert Settled(9, 1) in bench.step(Happened(9, "x", b""))


def test_news_of_members_do_not_starve_events() -> None:
    """With more news than datagrams can hold, an event is sent its full number of times.

    It is the first in one datagram of four, so that takes at most four datagrams for each.
    """
    bench = Bench("a", "b", "c", config=QUIET)
    bench.step(Happened(1, "deploy", b"x" * 500))
    limit = transmit_limit(QUIET.transmit_multiplier, 4)
    datagrams = told_times = 0
    number = 0
    while datagrams < 4 * limit + 12:
        number += 1
        news = [alive(name, number, b"m" * 500) for name in "abc"]
        for send in only(Send, bench.hear(*news)):
            datagrams += 1
            told_times += any(b"deploy" in word for word in send.gossip)

    assert bench.swim.statistics().events_waiting == 0
    assert told_times >= limit - 3  # three left with the first step


def test_events_do_not_starve_news_of_members() -> None:
    """With more events than datagrams can hold, three in four begin with news of members."""
    bench = Bench("a", "b", config=evolve(QUIET, events_max=512))
    bench.run(30.0)
    flood = [foreign(sequence=i, payload=b"x" * 512) for i in range(200)]
    bench.hear(*flood)
    sends = only(Send, bench.hear(alive("a", 5, b"m" * 500)))

    news = encode(alive("a", 5, b"m" * 500))
    assert sends
    assert any(news in send.gossip for send in sends)


@pytest.mark.parametrize("word", [Leave("a", 0), alive("a", 5), Dead("a", 0, "z")])
def test_farewells_refutations_and_deaths_are_not_starved_by_events(word: Update) -> None:
    """A backlog of events that is full all the time takes one datagram of four, no more.

    So the word has been sent as often as the limit says after at most two of three datagrams more.
    """
    bench = Bench("a", "b", "c", "d", config=QUIET)
    bench.run(30.0)
    bench.hear(Suspect("a", 0, "b"))
    bench.run(60.0)
    limit = transmit_limit(QUIET.transmit_multiplier, 5 if isinstance(word, Alive) else 4)
    told_times = datagrams = number = 0
    effects = bench.hear(word)
    while told_times < limit - 3:  # as above
        for send in only(Send, effects):
            datagrams += 1
            told_times += encode(word) in send.gossip
        flood = [foreign(sequence=number + i, payload=b"x" * 512) for i in range(20)]
        number += 20
        effects = bench.hear(*flood)
        assert bench.swim.statistics().events_waiting >= 20
        assert datagrams <= 2 * limit + 6

    assert told_times >= limit - 3


def test_an_exchange_gives_a_latecomer_all_events_in_their_order() -> None:
    """To a newcomer at once, to others by comparing keys; then both are the same."""
    old, new = Bench("x", config=QUIET), Bench(config=QUIET, seed=2)
    old.hear(foreign(clock=2, sequence=2), foreign(clock=1, sequence=1))
    (join,) = only(Exchange, new.step(Introduced(1, (address_of("x"),))))
    (answer,) = only(Answer, old.step(Asked(1, join.request)))

    assert delivered(new.step(Answered(join.ticket, answer.reply))) == [
        foreign(clock=1, sequence=1),
        foreign(clock=2, sequence=2),
    ]
    assert new.swim.happened == old.swim.happened


def test_events_that_one_side_has_missed_are_found_by_an_exchange() -> None:
    """Both ways, by their keys; afterwards there is nothing to exchange."""
    one, two = Bench("b", config=QUIET), Bench("b", config=QUIET, seed=2)
    one.hear(foreign(sequence=1), foreign(sequence=2))
    two.hear(foreign(sequence=2), foreign(sequence=3))
    (ask,) = only(Exchange, one.step(Introduced(1, (address_of("q"),))))
    (answer,) = only(Answer, two.step(Asked(1, ask.request)))
    assert isinstance(answer.reply, Digest)
    (push,) = only(Exchange, one.step(Answered(ask.ticket, answer.reply)))
    assert isinstance(push.request, Push)
    assert (push.request.events, push.request.missing) == (
        (foreign(sequence=1),),
        (foreign(sequence=3).key,),
    )
    effects = two.step(Asked(2, push.request))
    (reply,) = only(Answer, effects)

    assert delivered(effects) == [foreign(sequence=1)]
    assert delivered(one.step(Answered(push.ticket, reply.reply))) == [foreign(sequence=3)]
    assert one.swim.happened == two.swim.happened
    keys = tuple(event.key for event in one.swim.happened)
    summary = Summary(fingerprint(two.swim.members.values(), keys))
    assert only(Answer, two.step(Asked(3, summary))) == [Answer(3, Same())]
