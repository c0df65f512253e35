"""The machine as a whole."""

from __future__ import annotations

from math import inf
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rumor.config import Config
from rumor.core.swim import Statistics, Swim
from rumor.effects import Effect
from rumor.events import (
    Answered,
    Asked,
    Departed,
    Described,
    Event,
    Happened,
    Introduced,
    Queried,
    Received,
    Replied,
    Unanswered,
    Unasked,
)
from rumor.messages import (
    META_BYTES_MAX,
    Ack,
    Alive,
    Dead,
    Digest,
    Gossip,
    Health,
    Leave,
    Nack,
    Peer,
    Ping,
    PingRequest,
    Push,
    Query,
    QueryAck,
    QueryAnswer,
    QueryRelay,
    Same,
    StreamAck,
    Summary,
    Suspect,
    UserEvent,
    Version,
)
from rumor.testing import Bench, address_of, alive
from rumor.wire import encode


def test_a_new_member_knows_itself() -> None:
    """Alive, with a deadline in the first second."""
    bench = Bench()

    assert dict(bench.swim.members) == {"me": Peer("me", address_of("me"))}
    assert 0 <= bench.swim.deadline < 1


def test_the_member_list_cannot_be_written_from_outside() -> None:
    """It is a view."""
    members = Bench().swim.members

    with pytest.raises(TypeError):
        members["x"] = Peer("x", address_of("x"))  # type: ignore[index]


@pytest.mark.parametrize(
    "me",
    [
        Peer("", ("10.0.0.1", 1)),
        Peer("x" * 129, ("10.0.0.1", 1)),
        Peer("x", ("10.0.0.1", 1), meta=b"m" * (META_BYTES_MAX + 1)),
        Peer("x", ("10.0.0.1", 1), health=Health.DEAD),
    ],
)
def test_nonsense_about_oneself_is_a_bug_of_the_caller(me: Peer) -> None:
    """The core asserts; the driver checks before."""
    with pytest.raises(AssertionError):
        Swim(me, Config(), now=0.0, random=Random(1), encode=encode)


def test_statistics_count_members_by_health() -> None:
    """And the work that was done."""
    bench = Bench(*"abcd")
    bench.hear(Suspect("a", 0, "z"), Dead("b", 0, "z"), Leave("c", 0))

    assert bench.swim.statistics() == Statistics(
        alive=2,
        suspect=1,
        dead=1,
        left=1,
        health_score=0,
        events_waiting=0,
        backlog=5,
        probes=0,
        probes_failed=0,
        probes_by_stream=0,
        unreachable=0,
        refutations=0,
        exchanges=0,
        refused=0,
    )


def test_time_does_not_run_backwards() -> None:
    """A clock that is set back is taken as standing still."""
    bench = Bench("a")
    bench.step(now=100.0)
    deadline = bench.swim.deadline
    bench.step(now=50.0)

    assert bench.swim.deadline == deadline > 100


def test_a_step_ends_with_the_next_deadline_in_the_future() -> None:
    """However late a step comes, it does not make the driver spin."""
    bench = Bench(*"abc")
    for now in (1e3, 1e4, 1e6, 1e9):
        bench.step(now=now)
        assert now < bench.swim.deadline < inf


names = st.sampled_from(["me", "a", "b", "c", "d"])
numbers = st.integers(0, 4)
addresses = names.map(address_of)
healths = st.sampled_from(Health)
updates = st.one_of(
    st.builds(Alive, names, addresses, numbers, st.sampled_from([b"", b"m"])),
    st.builds(Suspect, names, numbers, names),
    st.builds(Dead, names, numbers, names),
    st.builds(Leave, names, numbers),
)
peers = st.builds(Peer, names, addresses, numbers, healths, st.just(b""), names)
pushes = st.builds(
    Push,
    st.lists(peers, max_size=3).map(tuple),
    st.none() | st.lists(names, max_size=3).map(tuple),
)
versions = st.lists(st.builds(Version, names, numbers, healths, numbers), max_size=3).map(tuple)
answers = st.builds(QueryAck, numbers, names) | st.builds(
    QueryAnswer, numbers, names, st.just(b"answer")
)
messages = st.one_of(
    st.just(Gossip()),
    st.builds(Ping, numbers, names, names, st.sampled_from([None, b"f" * 16])),
    st.builds(PingRequest, numbers, names, names, addresses),
    st.builds(Ack, numbers, names),
    st.builds(Nack, numbers, names),
    answers,
    st.builds(QueryRelay, names, answers),
)
queries = st.builds(
    Query,
    *(numbers, names, numbers, numbers, st.just("q"), st.just(b""), addresses, numbers),
    st.booleans(),
    numbers,
    st.lists(names, max_size=2).map(tuple),
    st.just(()) | st.just((("role", "db"),)),
)
words = (
    updates
    | queries
    | st.builds(UserEvent, numbers, names, numbers, numbers, st.just("e"), st.just(b""))
)
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(Received, addresses, messages, st.lists(words, max_size=3).map(tuple)),
    st.builds(Queried, tag=numbers, name=st.just("q"), acks=st.booleans(), relays=numbers),
    st.builds(Replied, queries, st.just(b"answer")),
    st.builds(Unasked, numbers),
    st.builds(Happened, numbers, st.just("e"), st.just(b"")),
    st.builds(Asked, numbers, st.one_of(st.builds(Summary, st.just(b"f" * 16)), pushes)),
    st.builds(
        Answered,
        numbers,
        st.one_of(
            st.just(Same()), st.builds(Digest, versions), pushes, st.builds(StreamAck, names)
        ),
    ),
    st.builds(Unanswered, numbers),
    st.builds(Introduced, numbers, st.lists(addresses, max_size=2).map(tuple)),
    st.builds(Described, st.binary(max_size=3)),
)
histories = st.lists(st.tuples(st.floats(0, 3), st.lists(events, max_size=3)), max_size=25)


def play(history: list[tuple[float, list[Event]]], *, leaves: bool) -> list[list[Effect]]:
    """Give a history to a new member."""
    now = 0.0
    swim = Swim(Peer("me", address_of("me")), Config(), now=now, random=Random(7), encode=encode)
    effects = []
    incarnation = 0
    farewell: list[Event] = [Departed(1)] if leaves else []
    for wait, batch in [*history, (0.1, farewell), *history]:
        now += wait
        effects.append(swim.step(batch, now=now))
        me = swim.members["me"]
        assert me.health is Health.ALIVE or (leaves and me.health is Health.LEFT)
        assert me.incarnation >= incarnation
        assert swim.deadline > now
        incarnation = me.incarnation
    return effects


@settings(max_examples=100, deadline=None)
@given(histories, st.booleans())
def test_whatever_happens_nothing_breaks_and_it_happens_again_the_same(
    history: list[tuple[float, list[Event]]], leaves: bool
) -> None:
    """No input raises; our own record stays ours; the same history gives the same orders."""
    assert play(history, leaves=leaves) == play(history, leaves=leaves)


def test_an_alive_for_ourselves_at_the_same_number_is_no_news() -> None:
    """It is our own word coming back."""
    bench = Bench("a")
    bench.run(30, dead=())

    assert bench.hear(alive("me")) == []
