"""Push-pull."""

from __future__ import annotations

from random import Random

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from rumor.config import Config
from rumor.core.exchange import compare, digest, fingerprint, version_of
from rumor.core.members import Members
from rumor.core.swim import Swim
from rumor.effects import Answer, Exchange, Send, Settled
from rumor.events import Answered, Asked, Introduced, Unanswered
from rumor.messages import (
    Ack,
    Dead,
    Digest,
    Health,
    Leave,
    Peer,
    Ping,
    Push,
    Request,
    Same,
    StreamAck,
    StreamPing,
    Summary,
    Version,
)
from rumor.testing import Bench, address_of, alive, only
from rumor.wire import encode

A, S, D, L = Health.ALIVE, Health.SUSPECT, Health.DEAD, Health.LEFT

QUIET = Config(probe_interval=1e6, probe_timeout=1.0, exchange_interval=1e6, reconnect_interval=1e6)
CALM = Config(exchange_interval=10.0, reconnect_interval=1e6)


def record(name: str, incarnation: int = 0, health: Health = A) -> Peer:
    """Make a record."""
    accuser = "z" if health in (S, D) else None
    return Peer(name, address_of(name), incarnation, health, accuser=accuser)


def version(name: str, incarnation: int, health: Health) -> Version:
    """Make what is compared of a record."""
    return version_of(record(name, incarnation, health))


def members_of(*peers: Peer) -> Members:
    """Make a list."""
    members = Members(record("me"))
    for peer in peers:
        members.put(peer, 0.0)
    return members


def test_fingerprints_agree_whatever_the_order() -> None:
    """The same members, learnt in another order."""
    a, b = record("a"), record("b", 3, S)

    assert fingerprint([a, b]) == fingerprint([b, a])
    assert len(fingerprint([])) == 16


def test_fingerprints_tell_any_difference_among_the_living() -> None:
    """Another name, number or health; the dead and the departed do not count."""
    prints = [
        fingerprint(peers)
        for peers in (
            [],
            [record("a")],
            [record("b")],
            [record("a", 1)],
            [record("a", 0, S)],
            [record("a"), record("b")],
        )
    ]

    assert len(set(prints)) == len(prints)
    assert fingerprint([record("a", 0, D), record("b", 0, L)]) == fingerprint([])


def test_compare_gives_what_is_newer_and_asks_for_what_is_older() -> None:
    """By the table of precedence; tombstones of the unknown are neither given nor asked for."""
    members = members_of(
        record("same"), record("newer", 2), record("older", 1), record("mine"), record("dead", 0, D)
    )
    versions = [
        version("me", 0, A),
        version("same", 0, A),
        version("newer", 1, D),
        version("older", 1, S),
        version("theirs", 0, A),
        version("their-dead", 0, D),
        version("their-left", 0, L),
    ]
    give, wanted = compare(members, versions)

    assert [peer.name for peer in give] == ["newer", "mine"]
    assert wanted == ["older", "theirs"]


def test_one_name_at_two_addresses_is_given_and_asked_for() -> None:
    """Neither side is newer, so both must see the other to report it; the dead do not matter."""
    elsewhere = evolve(record("x"), address=("10.9.9.9", 1))
    buried = evolve(record("y", 0, D), address=("10.9.9.9", 1))
    members = members_of(record("x"), record("y", 0, D))
    give, wanted = compare(members, map(version_of, (record("me"), elsewhere, buried)))

    assert (give, wanted) == ([record("x")], ["x"])
    assert fingerprint([elsewhere]) != fingerprint([record("x")])


def test_equal_lists_are_answered_with_same() -> None:
    """A summary of 16 bytes each way is all."""
    bench = Bench("a", "b", config=QUIET)
    summary = Summary(fingerprint(bench.swim.members.values()))

    assert bench.step(Asked(5, summary)) == [Answer(5, Same())]


def test_different_lists_are_answered_with_a_digest() -> None:
    """All versions, tombstones included."""
    bench = Bench("a", "b", config=QUIET)
    bench.hear(Dead("b", 0, "z"))
    (answer,) = only(Answer, bench.step(Asked(5, Summary(b"0" * 16))))

    expected = Digest((version("me", 0, A), version("a", 0, A), version("b", 0, D)))
    assert answer == Answer(5, expected)


OTHER = Ping(7, "a", "me", b"0" * 16)
"""A ping of a member whose list is not the same as ours."""


def test_one_ping_in_an_interval_carries_our_fingerprint() -> None:
    """At rest that is all that lists cost."""
    bench = Bench("a", config=CALM)
    sent = [e.message for e in only(Send, bench.run(100.0, dead=()))]
    pings = [message for message in sent if isinstance(message, Ping)]
    marked = [ping for ping in pings if ping.fingerprint is not None]

    assert len(pings) >= 99
    assert 9 <= len(marked) <= 11
    assert {ping.fingerprint for ping in marked} == {fingerprint([record("me"), record("a")])}


def test_a_ping_with_our_own_fingerprint_is_answered_and_no_more() -> None:
    """Equal lists need no exchange."""
    bench = Bench("a", config=QUIET)
    same = Ping(7, "a", "me", fingerprint(bench.swim.members.values()))
    effects = bench.hear(message=same, source="a")

    assert only(Exchange, effects) == []
    assert [type(e.message) for e in only(Send, effects)] == [Ack]


def test_a_ping_with_another_fingerprint_begins_an_exchange_with_its_sender() -> None:
    """At the address in its record, whoever sent the datagram; a stranger where it came from."""
    known, stranger = Bench("a", config=QUIET), Bench(config=QUIET)
    (first,) = only(Exchange, known.hear(message=OTHER, source="elsewhere"))
    (second,) = only(Exchange, stranger.hear(message=OTHER, source="elsewhere"))

    assert (first.to, second.to) == (address_of("a"), address_of("elsewhere"))
    assert isinstance(first.request, Summary)


def test_a_member_that_answers_over_streams_only_is_compared_with_over_a_stream() -> None:
    """For no datagram reaches it, or us."""
    bench = Bench("a", config=evolve(CALM, stream_probe=True))
    while not (found := only(Exchange, bench.run(bench.now + 0.1))):
        assert bench.now < 2
    (ping,) = found
    assert isinstance(ping.request, StreamPing)
    (exchange,) = only(Exchange, bench.step(Answered(ping.ticket, StreamAck("a"))))

    assert isinstance(exchange.request, Summary)


def test_a_digest_is_followed_by_a_push_of_the_difference() -> None:
    """To the same address; the reply to it ends the exchange."""
    bench = Bench("a", config=QUIET)
    (first,) = only(Exchange, bench.hear(message=OTHER, source="a"))
    versions = (version("me", 0, A), version("x", 0, A))
    (second,) = only(Exchange, bench.step(Answered(first.ticket, Digest(versions))))
    bench.step(Answered(second.ticket, Push((record("x"),))))

    assert first.to == second.to == address_of("a")
    assert first.request == Summary(fingerprint([record("me"), record("a")]))
    assert second.request == Push((record("a"),), ("x",))
    assert "x" in bench.swim.members


def test_a_digest_that_shows_nothing_new_ends_the_exchange() -> None:
    """What is newer there may have arrived by gossip meanwhile."""
    bench = Bench("a", config=QUIET)
    (first,) = only(Exchange, bench.hear(message=OTHER, source="a"))
    versions = (version("me", 0, A), version("a", 0, A))

    assert only(Exchange, bench.step(Answered(first.ticket, Digest(versions)))) == []
    assert bench.swim._state.outgoing == {}


def test_a_reply_that_nobody_asked_for_is_ignored() -> None:
    """A ticket of another life changes nothing."""
    bench = Bench("a", config=QUIET)
    bench.step(Answered(999, Push((record("x"),))), Unanswered(998))

    assert "x" not in bench.swim.members


def test_pings_begin_one_exchange_at_a_time() -> None:
    """While the first has not ended, no second starts; afterwards it does."""
    bench = Bench("a", config=QUIET)
    (first,) = only(Exchange, bench.hear(message=OTHER, source="a"))
    more = only(Exchange, bench.hear(message=OTHER, source="a"))
    bench.step(Unanswered(first.ticket))

    assert more == []
    assert len(only(Exchange, bench.hear(message=OTHER, source="a"))) == 1


def test_a_newcomer_asks_all_seeds_for_everything() -> None:
    """It pushes itself; its own address among the seeds is passed over; repeats count once."""
    bench = Bench(config=QUIET)
    seeds = (address_of("a"), address_of("me"), address_of("b"), address_of("a"))
    exchanges = only(Exchange, bench.step(Introduced(1, seeds)))

    assert [e.to for e in exchanges] == [address_of("a"), address_of("b")]
    assert all(e.request == Push((record("me"),), None) for e in exchanges)


def test_joining_is_settled_when_the_last_seed_answered_or_failed() -> None:
    """With the number of those that answered."""
    bench = Bench(config=QUIET)
    seeds = tuple(map(address_of, "abc"))
    a, b, c = only(Exchange, bench.step(Introduced(8, seeds)))
    first = bench.step(Answered(a.ticket, Push((record("a"),))), Unanswered(b.ticket))
    second = bench.step(Answered(c.ticket, Push((record("c"),))))

    assert (only(Settled, first), only(Settled, second)) == ([], [Settled(8, 2)])


def test_no_seeds_but_ourselves_are_settled_at_once() -> None:
    """There is nobody to wait for."""
    bench = Bench(config=QUIET)

    assert bench.step(Introduced(8, (address_of("me"),))) == [Settled(8, 0)]


def test_a_push_that_wants_all_is_answered_with_all() -> None:
    """The joiner is known from then on, and learns of everybody, tombstones included."""
    bench = Bench("a", config=QUIET)
    bench.hear(alive("b"), Leave("b", 0))
    (answer,) = only(Answer, bench.step(Asked(3, Push((record("x"),), None))))

    assert answer == Answer(3, Push((record("me"), record("a"), record("b", 0, L), record("x"))))


def test_a_lone_member_goes_on_trying_its_seeds() -> None:
    """At every probe interval, until one answers."""
    config = Config(exchange_interval=1e6, reconnect_interval=10.0)
    bench = Bench(config=config)
    (first,) = only(Exchange, bench.step(Introduced(1, (address_of("seed"),))))
    bench.step(Unanswered(first.ticket))
    attempts = []
    for second in range(1, 6):
        exchanges = only(Exchange, bench.run(float(second)))
        attempts.append([e.to for e in exchanges])
        for exchange in exchanges:
            bench.step(Unanswered(exchange.ticket))

    assert attempts == [[address_of("seed")]] * 5


def test_failed_members_are_tried_again() -> None:
    """Cut off from everybody, we try at every interval; in a large cluster we take turns."""
    config = Config(exchange_interval=1e6, reconnect_interval=10.0)
    tries = {}
    for others in (1, 20):
        names = [f"n{i}" for i in range(others)]
        bench = Bench("x", *names, config=config)
        bench.hear(Dead("x", 0, "z"))
        tries[others] = 0
        for second in range(10, 2010, 10):
            for exchange in only(Exchange, bench.run(float(second), dead=())):
                tries[others] += 1
                bench.step(Unanswered(exchange.ticket))

    assert tries[1] >= 199
    assert 3 <= tries[20] <= 25


def test_nobody_is_tried_when_nobody_is_missing() -> None:
    """Living seeds and members that left are not dialled."""
    config = Config(exchange_interval=1e6, reconnect_interval=1.0)
    bench = Bench("a", "b", config=config)
    (join,) = only(Exchange, bench.step(Introduced(1, (address_of("a"),))))
    bench.step(Answered(join.ticket, Same()))
    bench.hear(Leave("b", 0))

    assert only(Exchange, bench.run(100.0, dead=())) == []


def test_seeds_are_limited() -> None:
    """The oldest give way."""
    bench = Bench(config=evolve(QUIET, seeds_max=2))
    bench.step(Introduced(1, tuple(map(address_of, "abc"))))

    assert list(bench.swim._state.seeds) == [address_of("b"), address_of("c")]


def converse(asker: Swim, answerer: Swim, ticket: int, request: Request) -> None:
    """Carry an exchange between two cores to its end."""
    (answer,) = only(Answer, answerer.step([Asked(1, request)], now=1.0))
    for following in only(Exchange, asker.step([Answered(ticket, answer.reply)], now=1.0)):
        assert not isinstance(following.request, type(request))
        converse(asker, answerer, following.ticket, following.request)


healths = st.sampled_from([A, S, L])
lists = st.dictionaries(
    st.sampled_from("abcdef"), st.tuples(st.integers(0, 3), healths), max_size=6
)


@settings(max_examples=100, deadline=None)
@given(lists, lists)
def test_an_exchange_makes_two_lists_of_the_living_equal(
    left: dict[str, tuple[int, Health]], right: dict[str, tuple[int, Health]]
) -> None:
    """Whatever the two believe before; and a second exchange finds nothing to do."""
    swims = []
    for name, peers in (("left", left), ("right", right)):
        swim = Swim(
            Peer(name, address_of(name)), QUIET, now=0.0, random=Random(1), encode=encode
        )  # fmt: skip
        records = tuple(record(n, i, h) for n, (i, h) in peers.items())
        swim.step([Asked(0, Push(records))], now=0.0)
        swims.append(swim)
    asker, answerer = swims
    (join,) = only(Exchange, asker.step([Introduced(1, (address_of("right"),))], now=1.0))
    assert isinstance(join.request, Summary | Push)
    converse(asker, answerer, join.ticket, join.request)

    views = [
        {v.name: v for v in digest(s.members.values()).versions if v.health in (A, S)}
        for s in swims
    ]
    assert views[0] == views[1]
    assert fingerprint(asker.members.values()) == fingerprint(answerer.members.values())
