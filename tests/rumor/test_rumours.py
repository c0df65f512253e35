"""What an update does to the list."""

from __future__ import annotations

import pytest
from attrs import evolve

from rumor.config import Config
from rumor.effects import (
    Answer,
    Conflicted,
    Failed,
    Joined,
    Left,
    Reaped,
    Recovered,
    Send,
    Suspected,
    Updated,
)
from rumor.events import Asked, Described
from rumor.messages import Alive, Dead, Health, Leave, Peer, Ping, Push, Suspect, Update
from rumor.testing import Bench, address_of, alive, notifications, only, told

A, S, D, L = Health.ALIVE, Health.SUSPECT, Health.DEAD, Health.LEFT

QUIET = Config(probe_interval=1e6, probe_timeout=1.0, exchange_interval=1e6, reconnect_interval=1e6)
"""Nothing happens by itself, so that a test sees rumours only."""


@pytest.mark.parametrize(
    ("first", "then", "health", "walk"),
    [
        ([], [alive("x")], A, [Joined]),
        ([alive("x")], [alive("x")], A, []),
        ([alive("x")], [alive("x", 1)], A, []),
        ([alive("x")], [alive("x", 1, b"m")], A, [Updated]),
        ([alive("x", 1)], [alive("x", 0, b"m")], A, []),
        ([alive("x")], [Suspect("x", 0, "y")], S, [Suspected]),
        ([alive("x"), Suspect("x", 0, "y")], [alive("x", 1)], A, [Recovered]),
        ([alive("x"), Suspect("x", 0, "y")], [alive("x", 1, b"m")], A, [Recovered, Updated]),
        ([alive("x"), Suspect("x", 0, "y")], [Suspect("x", 1, "y")], S, []),
        ([alive("x"), Suspect("x", 0, "y")], [Dead("x", 0, "y")], D, [Failed]),
        ([alive("x")], [Dead("x", 0, "y")], D, [Failed]),
        ([alive("x")], [Leave("x", 0)], L, [Left]),
        ([alive("x"), Dead("x", 0, "y")], [Leave("x", 0)], L, [Left]),
        ([alive("x"), Leave("x", 0)], [Dead("x", 0, "y")], L, []),
        ([alive("x"), Leave("x", 0)], [alive("x", 0)], L, []),
        ([alive("x"), Leave("x", 0)], [alive("x", 1)], A, [Joined]),
        ([alive("x"), Dead("x", 0, "y")], [alive("x", 1)], A, [Joined]),
        ([alive("x"), Dead("x", 0, "y")], [Suspect("x", 1, "y")], S, [Joined, Suspected]),
        ([alive("x"), Leave("x", 0)], [Dead("x", 1, "y")], D, [Joined, Failed]),
        ([], [alive("x", 1), alive("x", 2, b"m")], A, [Joined, Updated]),
    ],
)
def test_each_change_is_reported_once_and_as_what_it_is(
    first: list[Update], then: list[Update], health: Health, walk: list[type]
) -> None:
    """The notifications are a walk without repeats, and end where the record ends."""
    bench = Bench(config=QUIET)
    bench.hear(*first)
    effects = bench.hear(*then)

    assert [type(n) for n in notifications(effects)] == walk
    assert bench.peer("x").health is health


@pytest.mark.parametrize("update", [Suspect("x", 3, "y"), Dead("x", 3, "y"), Leave("x", 3)])
def test_the_unknown_cannot_be_accused_or_bid_farewell(update: Update) -> None:
    """Without an address there is nothing to remember, and nothing to pass on."""
    bench = Bench("a", config=QUIET)
    bench.run(100)
    effects = bench.hear(update)

    assert effects == []
    assert "x" not in bench.swim.members


@pytest.mark.parametrize("accuser", ["x", "me"])
def test_nobody_accuses_himself(accuser: str) -> None:
    """A suspicion that names its target as accuser changes nothing; one of ours counts."""
    bench = Bench("x", config=QUIET)
    bench.hear(Suspect("x", 0, accuser))

    assert bench.peer("x").health is (A if accuser == "x" else S)


def test_death_raises_the_incarnation_that_an_alive_must_beat() -> None:
    """Dead at 1, dead at 5: an Alive at 2 is too old to resurrect anybody."""
    bench = Bench(config=QUIET)
    bench.hear(alive("x", 1), Dead("x", 1, "y"), Dead("x", 5, "y"), alive("x", 2))

    assert (D, 5) == (bench.peer("x").health, bench.peer("x").incarnation)


def test_a_newer_suspicion_starts_afresh() -> None:
    """It has its own clock and confirmations, and an Alive of its number does not end it."""
    config = evolve(QUIET, probe_interval=1.0, probe_timeout=0.5)
    bench = Bench(*"abcdefgh", config=config)
    shortest = 4.0
    bench.hear(Suspect("x", 1, "a"))
    bench.hear(alive("x", 1), *(Suspect("x", 1, n) for n in "abcd"))
    effects = bench.hear(Suspect("x", 2, "a"), now=shortest - 0.1)
    effects += bench.hear(alive("x", 2), now=shortest + 0.1)

    assert notifications(effects) == []
    assert (S, 2) == (bench.peer("x").health, bench.peer("x").incarnation)


@pytest.mark.parametrize(("accusers", "dies"), [("a", 24.0), ("ab", 14.0), ("abcd", 4.0)])
def test_a_suspect_dies_sooner_the_more_accuse_it(accusers: str, dies: float) -> None:
    """Alone: six times the shortest; with one of three confirmations half way; then the least."""
    bench = Bench(*"abcdefgh", "x", config=evolve(QUIET, probe_interval=1.0, probe_timeout=0.5))
    effects = bench.hear(*(Suspect("x", 0, n) for n in accusers))
    before = [
        n for n in notifications(effects + bench.run(dies - 0.01, dead=())) if n.member.name == "x"
    ]
    after = [n for n in notifications(bench.run(dies + 0.01, dead=())) if n.member.name == "x"]

    assert [type(n) for n in before] == [Suspected]
    assert [type(n) for n in after] == [Failed]


def test_suspicion_times_count_the_living_only() -> None:
    """After nine hundred of a thousand died, a suspicion lasts as it does among a hundred."""
    names = [f"n{i}" for i in range(999)]
    bench = Bench(*names, config=evolve(QUIET, suspicion_confirmations=0, probe_interval=1.0,
                                        probe_timeout=0.5))  # fmt: skip
    bench.hear(*(Dead(name, 0, "y") for name in names[:900]))
    bench.hear(Suspect("n950", 0, "y"))

    assert bench.swim._state.suspicions["n950"].shortest == 8.0


def test_a_confirmation_is_passed_on_and_a_repetition_is_not() -> None:
    """Others can count the second accuser too; the same accuser again is no news."""
    bench = Bench(*"abcdefgh", "x", config=QUIET)
    bench.hear(Suspect("x", 0, "a"))
    second = told(bench.hear(Suspect("x", 0, "b")))
    bench.run(100)
    third = told(bench.hear(Suspect("x", 0, "b")))

    assert Suspect("x", 0, "b") in [update for _, update in second]
    assert third == []


def test_an_accusation_is_refuted_with_a_larger_incarnation() -> None:
    """It is passed on at once, and counts against our own health."""
    bench = Bench("a", "b", config=QUIET)
    effects = bench.hear(Suspect("me", 3, "a"))

    assert alive("me", 4) in [update for _, update in told(effects)]
    assert (1, 1) == (bench.swim.statistics().refutations, bench.swim.statistics().health_score)
    assert notifications(effects) == []


@pytest.mark.parametrize("accuser", ["", "me", "stranger"])
@pytest.mark.parametrize("kind", [Suspect, Dead])
def test_refutation_does_not_ask_who_accuses(kind: type[Suspect | Dead], accuser: str) -> None:
    """Nobody, ourselves, somebody unknown: we are alive."""
    bench = Bench("a", config=QUIET)
    bench.hear(kind("me", 0, accuser))

    assert (A, 1) == (bench.peer("me").health, bench.peer("me").incarnation)


def test_a_stale_accusation_is_answered_without_a_new_incarnation() -> None:
    """We are at 5, they hold us suspect at 3 and have not heard: say 5 again."""
    bench = Bench("a", "b", config=QUIET)
    bench.hear(Suspect("me", 4, "a"))
    bench.run(100)
    effects = bench.hear(Suspect("me", 3, "b"), message=Ping(9, "b", "me"), source="b")

    assert (address_of("b"), alive("me", 5)) in told(effects)
    assert bench.swim.statistics().refutations == 1


def test_refuting_thrice_leaves_one_update_queued() -> None:
    """The backlog keeps the newest, under our name."""
    bench = Bench("a", config=QUIET)
    bench.run(100)
    for incarnation in (0, 1, 2):
        bench.hear(Suspect("me", incarnation, "a"))

    assert bench.swim.statistics().backlog == 1


def test_a_restarted_member_is_told_what_it_has_to_beat() -> None:
    """Dead at 100; it comes back at 1, hears of its death, and returns with 101."""
    bench = Bench("a", config=QUIET)
    bench.hear(alive("x", 100), Dead("x", 100, "y"))
    bench.run(100)
    effects = bench.hear(alive("x", 1))
    again = bench.hear(alive("x", 1))

    assert (address_of("x"), Dead("x", 100, "y")) in told(effects)
    assert again == []
    restarted = Bench("a", config=QUIET)
    restarted.hear(Dead("me", 100, "y"))
    assert restarted.peer("me").incarnation == 101


@pytest.mark.parametrize("newer", [alive("x", 1), Leave("x", 0)])
def test_an_accuser_is_told_what_it_has_missed(newer: Update) -> None:
    """An old accusation is answered with the refutation or farewell, once in a period."""
    bench = Bench("y", config=QUIET)
    bench.hear(alive("x"), newer)
    bench.run(100)
    effects = bench.hear(Suspect("x", 0, "y"))
    again = bench.hear(Suspect("x", 0, "y"))

    assert [(address_of("y"), newer)] == told(effects)
    assert again == []


def test_an_earlier_life_at_our_address_is_outbid() -> None:
    """Our own words of before the restart are louder than ours; we speak up."""
    bench = Bench("a", config=QUIET, meta=b"new")
    bench.hear(alive("me", 7, b"old"))
    first = bench.peer("me")
    bench.hear(alive("me", 8, b"old"))

    assert (8, b"new") == (first.incarnation, first.meta)
    assert (9, b"new") == (bench.peer("me").incarnation, bench.peer("me").meta)


def test_a_name_used_twice_is_reported_and_the_first_owner_stays() -> None:
    """One notification in each period, whatever the incarnation that the rival claims."""
    bench = Bench("x", config=QUIET)
    rival = ("10.9.9.9", 1)
    effects = [
        effect
        for now in (0, 1, 29, 31)
        for effect in bench.hear(Alive("x", rival, 9, b""), now=now)
    ]

    assert notifications(effects) == [Conflicted(bench.peer("x"), rival)] * 2
    assert address_of("x") == bench.peer("x").address


def test_a_rival_for_our_own_name_is_reported_and_not_fought() -> None:
    """Neither our record nor our incarnation changes."""
    bench = Bench("a", config=QUIET)
    rival = ("10.9.9.9", 1)
    before = bench.peer("me")
    effects = bench.hear(Alive("me", rival, 9, b""))

    assert notifications(effects) == [Conflicted(before, rival)]
    assert bench.peer("me") == before


def test_a_name_may_move_once_its_owner_is_dead() -> None:
    """The new owner joins, and nothing more is said about the old address."""
    bench = Bench("x", "a", config=QUIET)
    moved = Alive("x", ("10.9.9.9", 1), 1, b"")
    effects = bench.hear(Dead("x", 0, "y"), moved)

    assert [type(n) for n in notifications(effects)] == [Failed, Joined]
    assert [u for _, u in told(effects) if u.name == "x"] == [moved] * len(
        [u for _, u in told(effects) if u.name == "x"]
    )
    assert bench.peer("x").address == ("10.9.9.9", 1)


def test_new_metadata_is_a_new_incarnation() -> None:
    """It is reported here too, told to others at once, and nothing happens if it is the same."""
    bench = Bench("a", config=QUIET)
    effects = bench.step(Described(b"new"))
    again = bench.step(Described(b"new"))

    assert alive("me", 1, b"new") in [update for _, update in told(effects)]
    assert [type(n) for n in notifications(effects)] == [Updated]
    assert again == []


def test_news_start_on_their_way_at_once() -> None:
    """A join is told to `gossip_nodes` members in the very step that learns of it."""
    bench = Bench(*"abcdefgh", config=QUIET)
    bench.run(100)
    effects = bench.hear(alive("x"))

    assert [update for _, update in told(effects)] == [alive("x")] * 3
    assert len({send.to for send in only(Send, effects)}) == 3


def test_each_update_is_sent_as_often_as_the_limit_says() -> None:
    """Four times two for ten members and more; then the deadline is far away."""
    bench = Bench(*"abcdefghij", config=QUIET)
    bench.run(100)
    effects = [*bench.hear(alive("x")), *bench.run(200)]

    assert len(told(effects)) == 8
    assert bench.swim.statistics().backlog == 0


def test_tombstones_are_reaped_in_time() -> None:
    """The failed and the departed are forgotten after the tombstone time, with a notification."""
    bench = Bench("x", "y", config=evolve(QUIET, tombstone_time=50.0))
    bench.hear(Dead("x", 0, "a"), Leave("y", 0), now=1.0)
    before = notifications(bench.run(50.9))
    after = notifications(bench.run(51.1))

    assert before == []
    assert [type(n) for n in after] == [Reaped, Reaped]
    assert list(bench.swim.members) == ["me"]


def test_who_returns_is_not_reaped() -> None:
    """The tombstone's timer ends with the death."""
    bench = Bench("x", config=evolve(QUIET, tombstone_time=50.0))
    bench.hear(Dead("x", 0, "a"))
    bench.hear(alive("x", 1), now=49.0)
    bench.run(60)

    assert bench.peer("x").health is A


def test_a_reaped_member_is_not_brought_back_by_old_tombstones() -> None:
    """Somebody who reaps later still holds it dead; that is no reason to learn of it again."""
    bench = Bench("a", config=QUIET)
    dead = Peer("x", address_of("x"), 3, D, accuser="y")
    effects = bench.step(Asked(1, Push((dead, evolve(dead, health=L, accuser=None)))))

    assert notifications(effects) == []
    assert "x" not in bench.swim.members


def test_suspect_alive_suspect_in_one_instant_leaves_one_timer() -> None:
    """The first suspicion's timer is inert: the second runs its full time from its own start."""
    bench = Bench(*"abcdefgh", "x", config=QUIET)
    bench.hear(Suspect("x", 0, "a"), alive("x", 1), Suspect("x", 1, "a"))
    first = bench.swim._state.suspicions["x"]

    assert (1, {"a": None}) == (first.incarnation, first.accusers)
    assert len([key for key in bench.swim._state.schedule._due if key[1] == "x"]) == 1


def test_an_accuser_in_an_exchange_counts_once_however_often_it_is_told() -> None:
    """Ten exchanges that carry one member's suspicion are one accusation."""
    bench = Bench(*"abcdefgh", "x", config=QUIET)
    record = Peer("x", address_of("x"), 0, S, accuser="a")
    for call in range(10):
        bench.step(Asked(call, Push((record,))))

    assert list(bench.swim._state.suspicions["x"].accusers) == ["a"]


def test_a_death_told_in_an_exchange_leaves_time_to_refute() -> None:
    """News from the other side of a healed partition suspect, and do not kill."""
    bench = Bench(*"abcdefgh", "x", config=QUIET)
    record = Peer("x", address_of("x"), 0, D, accuser="a")
    effects = bench.step(Asked(1, Push((record,))))

    assert [type(n) for n in notifications(effects)] == [Suspected]


def test_a_death_told_in_an_exchange_confirms_a_death() -> None:
    """If we hold the member dead ourselves, nothing is softened: no flapping."""
    bench = Bench("a", "x", config=QUIET)
    bench.hear(Dead("x", 0, "a"))
    effects = bench.step(Asked(1, Push((Peer("x", address_of("x"), 4, D, accuser="a"),))))

    assert notifications(effects) == []
    assert (D, 4) == (bench.peer("x").health, bench.peer("x").incarnation)


def test_a_death_of_ours_told_in_an_exchange_is_refuted_in_the_answer() -> None:
    """The one who holds us dead gets our new incarnation on the same stream."""
    bench = Bench("a", config=QUIET)
    record = Peer("me", address_of("me"), 6, D, accuser="a")
    (answer,) = only(Answer, bench.step(Asked(1, Push((record,)))))

    assert answer == Answer(1, Push((Peer("me", address_of("me"), 7),)))


def test_members_are_limited() -> None:
    """Newcomers beyond the limit are refused and counted."""
    bench = Bench(config=evolve(QUIET, members_max=3))
    bench.hear(*map(alive, "abcd"))

    assert (["me", "a", "b"], 2) == (
        list(bench.swim.members),
        bench.swim.statistics().refused,
    )


def test_news_are_told_again_soon_to_those_whom_the_first_round_left_out() -> None:
    """A quarter of the interval later, to as many; then at the ordinary pace."""
    config = Config(probe_interval=100.0, exchange_interval=1000.0)
    bench = Bench(*[f"n{k}" for k in range(20)], config=config)
    bench.run(10.0)
    bench.hear(alive("new"), now=10.0)

    def tellings(until: float) -> int:
        return sum(
            isinstance(update, Alive) and update.name == "new"
            for _, update in told(bench.run(until))
        )

    first, then = tellings(10.0 + config.gossip_interval / 4), tellings(10.0 + 2)
    assert config.gossip_nodes == first
    assert then > 0
