"""Queries: asked once, answered by those they are meant for, collected until time is up."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from rumor.config import DATAGRAM_BYTES_MIN, ENVELOPE_BYTES_MAX, Config
from rumor.core.happenings import CLOCK_LEAP_MAX
from rumor.core.queries import query_time
from rumor.core.swim import Swim
from rumor.effects import Collect, Deliver, Refuse, Send, Settled
from rumor.errors import ProtocolError
from rumor.events import Departed, Happened, Queried, Received, Replied, Unasked
from rumor.fields import NATURAL_MAX, check_query
from rumor.guard import OVERHEAD_BYTES
from rumor.messages import (
    ANSWER_BYTES_MAX,
    NAME_BYTES_MAX,
    QUERY_BYTES_MAX,
    Gossip,
    Peer,
    Query,
    QueryAck,
    QueryAnswer,
    QueryRelay,
)
from rumor.testing import Bench, address_of, only, told
from rumor.wire import encode

QUIET = Config(exchange_interval=1e6, reconnect_interval=1e6, probe_interval=1e6, probe_timeout=1e5)
ASK = Queried(tag=3, name="load")


def foreign(**changes: Any) -> Query:
    """A query of somebody else."""
    query = Query(1, "z", 0, 1, "load", b"?", address_of("z"), 3000, acks=False, relays=0)
    return evolve(query, **changes)


def sent(effects: list[Any], kind: type[Any]) -> list[Send]:
    """Keep the datagrams that carry such a message."""
    return [send for send in only(Send, effects) if isinstance(send.message, kind)]


def sequence_of(effects: list[Any]) -> int:
    """Find the number of the query that was asked."""
    (query,) = {word for _, word in told(effects) if isinstance(word, Query)}
    return query.sequence


def test_a_query_is_told_at_once_and_put_to_the_asker_too() -> None:
    """On the clock of the events: after an event at 7 it stands at 8."""
    bench = Bench("a", "b", config=QUIET)
    bench.hear(foreign(clock=7))
    effects = bench.step(ASK)

    (delivered,) = [effect.event for effect in only(Deliver, effects)]
    assert isinstance(delivered, Query)
    assert (delivered.clock, delivered.origin, delivered.name) == (8, "me", "load")
    assert {to for to, word in told(effects) if word == delivered} == {
        address_of("a"),
        address_of("b"),
    }


@pytest.mark.parametrize(
    ("members", "seconds"), [(5, 3.2), (10, 6.4), (50, 6.4), (100, 9.6), (1_000, 12.8)]
)
def test_a_query_is_open_as_long_as_serfs(members: int, seconds: float) -> None:
    """0.2 s of gossip interval, times 16, times the digits of n + 1: Serf's table."""
    assert query_time(16, 0.2, members) == pytest.approx(seconds)


def test_answers_are_collected_once_from_each_until_time_is_up() -> None:
    """What comes twice, what nobody asked for, and what comes late counts for nothing."""
    bench = Bench("a", "b", config=QUIET)
    number = sequence_of(bench.step(ASK, now=1.0))
    effects = bench.hear(message=QueryAnswer(number, "a", b"1"))
    effects += bench.hear(message=QueryAnswer(number, "a", b"2"))
    effects += bench.hear(message=QueryAnswer(number + 1, "b", b"3"))
    effects += bench.hear(message=QueryAck(number, "b"))
    effects += bench.run(1.0 + 3.2 + 0.01)
    late = bench.hear(message=QueryAnswer(number, "b", b"4"))

    assert only(Collect, effects) == [Collect(3, "a", b"1"), Collect(3, "b", None)]
    assert only(Settled, effects) == [Settled(3, 1)]
    assert only(Collect, late) == []


def test_who_has_heard_enough_is_settled_at_once() -> None:
    """And nothing of the query is kept."""
    bench = Bench("a", config=QUIET)
    number = sequence_of(bench.step(ASK))
    bench.hear(message=QueryAnswer(number, "a", b"1"))

    assert only(Settled, bench.step(Unasked(3))) == [Settled(3, 1)]
    assert only(Settled, bench.run(100)) == []


def test_a_query_is_delivered_once_passed_on_and_acknowledged_if_asked() -> None:
    """However often it comes; the acknowledgement goes to the address in the query."""
    bench = Bench("a", "b", config=QUIET)
    effects = [*bench.hear(foreign(acks=True)), *bench.hear(foreign(acks=True))]

    assert only(Deliver, effects) == [Deliver(foreign(acks=True))]
    assert [(s.to, s.message) for s in sent(effects, QueryAck)] == [
        (address_of("z"), QueryAck(1, "me"))
    ]
    assert foreign(acks=True) in [word for _, word in told(effects)]


def test_an_answer_goes_to_the_asker_and_by_way_of_others_if_asked() -> None:
    """Never by way of the asker itself; and our own answer to ourselves stays at home."""
    bench = Bench("a", "b", "c", "z", config=QUIET)
    query = foreign(relays=2)
    bench.hear(query)
    effects = bench.step(Replied(query, b"42"))

    answer = QueryAnswer(1, "me", b"42")
    assert [(s.to, s.message) for s in sent(effects, QueryAnswer)] == [(address_of("z"), answer)]
    relays = sent(effects, QueryRelay)
    assert [s.message for s in relays] == [QueryRelay("z", answer)] * 2
    assert len({s.to for s in relays} - {address_of("z")}) == 2

    (own,) = only(Deliver, bench.step(ASK))
    assert isinstance(own.event, Query)
    effects = bench.step(Replied(own.event, b"43"))
    assert only(Collect, effects) == [Collect(3, "me", b"43")]
    assert sent(effects, QueryAnswer) == []


def test_relays_serve_members_only() -> None:
    """Passed on to a member that lives, taken if it is for us, dropped for strangers."""
    bench = Bench("a", config=QUIET)
    number = sequence_of(bench.step(ASK))
    answer = QueryAnswer(number, "b", b"1")
    passed = sent(bench.hear(message=QueryRelay("a", answer)), QueryAnswer)

    assert [(s.to, s.message) for s in passed] == [(address_of("a"), answer)]
    assert sent(bench.hear(message=QueryRelay("stranger", answer)), QueryAnswer) == []
    assert only(Collect, bench.hear(message=QueryRelay("me", answer))) == [Collect(3, "b", b"1")]


def tags_of(meta: bytes) -> Mapping[str, str]:
    """Read metadata of one tag."""
    return {"role": meta.decode()}


@pytest.mark.parametrize(
    ("names", "tags", "meant"),
    [
        ((), (), True),
        (("me", "a"), (), True),
        (("a",), (), False),
        ((), (("role", "db"),), True),
        ((), (("role", "web"),), False),
        ((), (("role", "db"), ("zone", "1")), False),
        (("a",), (("role", "db"),), False),
    ],
)
def test_filters_tell_whom_a_query_is_meant_for(
    names: tuple[str, ...], tags: tuple[tuple[str, str], ...], meant: bool
) -> None:
    """All filters must fit; whoever is not meant passes the query on all the same."""
    me = Peer("me", address_of("me"), meta=b"db")
    swim = Swim(me, QUIET, now=0.0, random=Random(1), encode=encode, tags_of=tags_of)
    swim.step([Received(address_of("a"), Gossip(), ())], now=0.0)
    query = foreign(names=names, tags=tags, acks=True)
    effects = swim.step([Received(address_of("a"), Gossip(), (query,))], now=0.0)

    assert [effect.event for effect in only(Deliver, effects)] == [query] * meant
    assert len(sent(effects, QueryAck)) == meant
    assert swim.statistics().events_waiting == 1


def test_too_much_at_once_is_refused() -> None:
    """Too many open queries, too much that waits, or a member that has left: nobody is asked."""
    bench = Bench("a", config=evolve(QUIET, queries_max=2))
    for tag in (1, 2):
        assert only(Refuse, bench.step(Queried(tag=tag, name="q"))) == []
    assert only(Refuse, bench.step(Queried(tag=3, name="q"))) == [Refuse(3)]
    bench.step(Unasked(1))
    assert only(Refuse, bench.step(Queried(tag=4, name="q"))) == []

    crowded = Bench("a", config=evolve(QUIET, events_max=2))
    crowded.step(Happened(1, "e", b""))
    assert only(Refuse, crowded.step(ASK)) == [Refuse(3)]

    bench.step(Departed(9), Unasked(2))
    assert only(Refuse, bench.step(ASK)) == [Refuse(3)]


def test_who_has_left_is_not_asked_any_more() -> None:
    """It passes the query on, and says nothing."""
    bench = Bench("a", config=QUIET)
    bench.step(Departed(1))
    effects = bench.hear(foreign(acks=True))

    assert only(Deliver, effects) == []
    assert sent(effects, QueryAck) == []


def test_answers_are_bounded() -> None:
    """Members beyond the limit are counted and not kept."""
    bench = Bench("a", config=evolve(QUIET, answers_max=2))
    number = sequence_of(bench.step(ASK))
    effects = [
        effect
        for name in ("b", "c", "d")
        for effect in bench.hear(message=QueryAnswer(number, name, b""))
    ]

    assert [effect.source for effect in only(Collect, effects)] == ["b", "c"]
    assert bench.swim.statistics().refused == 1


def test_old_queries_and_leaping_clocks_are_no_news() -> None:
    """Not after it fell out of the memory, not from before our own restart."""
    bench = Bench("a", config=evolve(QUIET, events_max=2))
    first = foreign(clock=1)
    for clock in (1, 2, 3):
        bench.hear(foreign(clock=clock))
    assert only(Deliver, bench.hear(first)) == []
    assert only(Deliver, bench.hear(foreign(clock=CLOCK_LEAP_MAX + 9))) == []

    me = Peer("me", address_of("me"))
    again = Swim(me, QUIET, now=0.0, random=Random(1), encode=encode, clock=3)
    for clock, news in ((3, 0), (4, 1)):
        effects = again.step([Received(("1.1.1.1", 1), Gossip(), (foreign(clock=clock),))], now=0.0)
        assert len(only(Deliver, effects)) == news


def test_the_largest_query_and_answer_fit_into_the_smallest_datagram() -> None:
    """With every option on: keys, the longest names, an answer on a detour."""
    name, address = "n" * NAME_BYTES_MAX, ("1111:" * 7 + "1111", 65_535)
    room = DATAGRAM_BYTES_MIN - ENVELOPE_BYTES_MAX - OVERHEAD_BYTES
    largest = Query(
        *(NATURAL_MAX, name, NATURAL_MAX, NATURAL_MAX, "q" * 64, b"p" * 512, address, NATURAL_MAX),
        acks=True,
        relays=8,
    )
    names = tuple(f"{i:03}" for i in range((QUERY_BYTES_MAX - largest.weight) // 9))
    largest = evolve(largest, names=names)
    answer = QueryAnswer(NATURAL_MAX, name, b"a" * ANSWER_BYTES_MAX)

    check_query(largest)
    assert QUERY_BYTES_MAX - 9 < largest.weight
    assert len(encode(largest)) + len(encode(Gossip())) <= room
    assert len(encode(QueryRelay(name, answer))) <= room
    with pytest.raises(ProtocolError, match="928 bytes"):
        check_query(evolve(largest, names=(*names, "abcdefgh")))


@settings(max_examples=100)
@given(
    st.lists(st.text(max_size=40), max_size=40),
    st.lists(st.tuples(st.text(max_size=40), st.text(max_size=40)), max_size=20),
    st.binary(max_size=512),
)
def test_the_weight_bounds_the_bytes(
    names: list[str], tags: list[tuple[str, str]], payload: bytes
) -> None:
    """A query takes 96 bytes more than its weight at most, whatever its filters."""
    address = ("1111:" * 7 + "1111", 65_535)
    query = Query(
        *(NATURAL_MAX, "z", NATURAL_MAX, NATURAL_MAX, "q", payload, address, NATURAL_MAX, True, 8),
        tuple(names),
        tuple(tags),
    )

    assert len(encode(query)) <= query.weight + 96
