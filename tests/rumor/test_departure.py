"""Leaving."""

from __future__ import annotations

from attrs import evolve

from rumor.config import Config
from rumor.core.coordinates import ORIGIN
from rumor.effects import Effect, Exchange, Left, Send, Settled
from rumor.events import Departed, Described, Dismissed, Introduced
from rumor.messages import Ack, Dead, Gossip, Health, Leave, Ping, Suspect
from rumor.testing import Bench, address_of, alive, notifications, only, told

CALM = Config(exchange_interval=5.0, reconnect_interval=5.0)


def farewells(effects: list[Effect]) -> list[Send]:
    """Keep the pings that carry our farewell."""
    return [s for s in only(Send, effects) if isinstance(s.message, Ping)]


def test_alone_one_leaves_at_once() -> None:
    """There is nobody to tell."""
    bench = Bench(config=CALM)

    assert only(Settled, bench.step(Departed(1))) == [Settled(1, 0)]
    assert bench.peer("me").health is Health.LEFT


def test_the_farewell_is_settled_when_enough_have_heard() -> None:
    """Three pings, each with the farewell on it; three acks settle it."""
    bench = Bench(*"abcdef", config=CALM)
    effects = bench.step(Departed(1))
    sends = farewells(effects)
    settled: list[Settled] = []
    for send in sends:
        assert (send.to, Leave("me", 0)) in told(effects)
        assert settled == []
        assert isinstance(send.message, Ping)
        settled = only(Settled, bench.hear(message=Ack(send.message.sequence, send.message.target)))

    assert len(sends) == 3
    assert settled == [Settled(1, 3)]
    assert [type(n) for n in notifications(effects)] == [Left]


def test_lost_farewells_are_repeated_until_time_is_up() -> None:
    """Every half second to members that have not confirmed; settled after five seconds."""
    bench = Bench(*"abcdef", config=CALM)
    sends = farewells([*bench.step(Departed(1)), *bench.run(4.99)])
    settled = only(Settled, bench.run(5.01))

    assert len(sends) == 30
    assert settled == [Settled(1, 0)]


def test_two_members_need_one_confirmation() -> None:
    """No more than there are."""
    bench = Bench("a", config=CALM)
    (send,) = farewells(bench.step(Departed(1)))
    assert isinstance(send.message, Ping)

    assert only(Settled, bench.hear(message=Ack(send.message.sequence, "b"))) == []
    assert only(Settled, bench.hear(message=Ack(send.message.sequence, "a"))) == [Settled(1, 1)]


def test_every_call_to_leave_is_settled() -> None:
    """A second while the first waits, and a third afterwards."""
    bench = Bench("a", config=CALM)
    (send,) = farewells(bench.step(Departed(1)))
    assert isinstance(send.message, Ping)
    bench.step(Departed(2))
    both = only(Settled, bench.hear(message=Ack(send.message.sequence, "a")))

    assert both == [Settled(1, 1), Settled(2, 1)]
    assert only(Settled, bench.step(Departed(3))) == [Settled(3, 1)]


def test_who_has_left_is_not_talked_back_to_life() -> None:
    """Neither an old Alive of ours nor any accusation, nor a command, ends the farewell."""
    bench = Bench("a", config=CALM)
    bench.hear(Suspect("me", 0, "a"))
    bench.step(Departed(1))
    bench.hear(alive("me", 0), alive("me", 1), Suspect("me", 1, "a"), Dead("me", 1, "a"))
    bench.step(Described(b"new"))
    settled = only(Settled, bench.step(Introduced(2, (address_of("b"),))))

    me = bench.peer("me")
    assert (me.health, me.incarnation, me.meta) == (Health.LEFT, 1, b"")
    assert settled == [Settled(2, 0)]


def test_an_accusation_of_a_larger_number_is_answered_with_a_farewell_of_a_larger() -> None:
    """Somebody mistook us; we have left all the same."""
    bench = Bench("a", config=CALM)
    bench.step(Departed(1))
    effects = bench.hear(Dead("me", 7, "a"))

    assert Leave("me", 8) in [update for _, update in told(effects)]
    assert bench.swim.statistics().refutations == 0


def test_who_has_left_probes_and_asks_nobody() -> None:
    """It answers pings, with its farewell, and that is all."""
    bench = Bench(*"abc", config=evolve(CALM, leave_timeout=1.0))
    bench.step(Departed(1))
    bench.run(60)
    effects = bench.run(120)
    answer = bench.hear(message=Ping(7, "a", "me"), source="a")

    assert effects == []
    assert only(Exchange, effects) == []
    assert [s.message for s in only(Send, answer) if s.message != Gossip()] == [
        Ack(7, "me", ORIGIN)
    ]
    assert (address_of("a"), Leave("me", 0)) in told(answer)


def test_the_departed_is_known_to_have_left_and_is_never_reported_as_failed() -> None:
    """Whatever is said of it afterwards, at its incarnation."""
    bench = Bench("a", "x", config=CALM)
    effects = bench.hear(Leave("x", 0), Suspect("x", 0, "a"), Dead("x", 0, "a"))
    effects += bench.run(60, dead=("x",))

    assert [type(n) for n in notifications(effects)] == [Left]


def test_the_dead_are_dismissed_for_everybody() -> None:
    """The farewell goes round as if they had said it; to say it again changes nothing."""
    bench = Bench("a", "x", config=CALM)
    bench.hear(Dead("x", 0, "a"))
    effects = bench.step(Dismissed(1, "x"))
    sent = bench.run(2, dead=("x",))

    assert (only(Settled, effects), bench.peer("x").health) == ([Settled(1, 1)], Health.LEFT)
    assert [type(n) for n in notifications(effects)] == [Left]
    assert (address_of("a"), Leave("x", 0)) in told([*effects, *sent])
    assert bench.step(Dismissed(2, "x")) == [Settled(2, 1)]


def test_nobody_else_is_dismissed() -> None:
    """Not the living, not a suspect, nobody unknown, not oneself; nor by one that has left."""
    bench = Bench("a", "s", "x", config=CALM)
    bench.hear(Suspect("s", 0, "a"), Dead("x", 0, "a"))

    for name in ("a", "s", "me", "nobody"):
        assert bench.step(Dismissed(1, name)) == [Settled(1, 0)]
    bench.step(Departed(2))
    assert only(Settled, bench.step(Dismissed(3, "x"))) == [Settled(3, 0)]
    assert bench.peer("x").health is Health.DEAD


def test_who_was_dismissed_by_mistake_is_back_with_its_next_word() -> None:
    """It has heard the farewell, and answers with a larger number."""
    bench = Bench("a", "x", config=CALM)
    bench.hear(Dead("x", 0, "a"))
    bench.step(Dismissed(1, "x"))
    bench.hear(alive("x", 1))

    assert bench.peer("x").health is Health.ALIVE
