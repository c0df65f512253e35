"""The backlog."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from rumor.core.backlog import Backlog


def test_an_update_is_drawn_as_often_as_the_limit_says() -> None:
    """After `limit` draws it is gone."""
    backlog = Backlog()
    backlog.put("a", b"A")

    assert [backlog.draw(10, 3) for _ in range(4)] == [(b"A",), (b"A",), (b"A",), ()]
    assert not backlog


def test_less_often_sent_goes_first_and_newest_among_equals() -> None:
    """The least spread rumour has the first claim to the room."""
    backlog = Backlog()
    backlog.put("a", b"A")
    backlog.draw(1, 9)
    backlog.put("b", b"B")
    backlog.put("c", b"C")

    assert [backlog.draw(1, 9) for _ in range(2)] == [(b"C",), (b"B",)]


def test_a_newer_update_of_a_name_replaces_the_older() -> None:
    """However often a member refutes, one update about it is queued, and it starts anew."""
    backlog = Backlog()
    for text in (b"1", b"2", b"3"):
        backlog.put("me", text)
        backlog.draw(9, 9)

    assert len(backlog) == 1
    assert [backlog.draw(9, 3) for _ in range(3)] == [(b"3",), (b"3",), ()]


def test_equal_updates_of_two_names_are_both_kept() -> None:
    """Identity is the name, not the bytes."""
    backlog = Backlog()
    backlog.put("a", b"same")
    backlog.put("b", b"same")

    assert backlog.draw(100, 1) == (b"same", b"same")


def test_what_does_not_fit_waits() -> None:
    """A long update is passed over for a shorter one, and stays queued."""
    backlog = Backlog()
    backlog.put("short", b"s")
    backlog.put("long", b"l" * 50)

    assert backlog.draw(10, 1) == (b"s",)
    assert backlog.draw(50, 1) == (b"l" * 50,)


def test_news_are_marked_as_fresh() -> None:
    """The owner clears the mark; only new updates set it again."""
    backlog = Backlog()
    backlog.put("a", b"A")
    marks = [backlog.fresh]
    backlog.fresh = False
    backlog.draw(9, 9)
    marks.append(backlog.fresh)

    assert marks == [True, False]


@settings(max_examples=100)
@given(
    st.dictionaries(st.text(max_size=3), st.binary(min_size=1, max_size=40), max_size=60),
    st.integers(40, 200),
    st.integers(1, 5),
)
def test_every_update_is_drawn_exactly_limit_times(
    updates: dict[str, bytes], room: int, limit: int
) -> None:
    """Nothing is lost, starved or sent too often, and no datagram overflows."""
    backlog = Backlog()
    for name, update in updates.items():
        backlog.put(name, update)
    drawn: list[bytes] = []
    while backlog:
        batch = backlog.draw(room, limit)
        assert batch
        assert sum(map(len, batch)) <= room
        drawn += batch

    assert sorted(list(updates.values()) * limit) == sorted(drawn)


def test_a_farewell_behind_a_thousand_deaths_leaves_at_once_and_is_done_in_bounded_time() -> None:
    """What is new is in the very next datagram; all are done when all have had their turns."""
    backlog, room, limit = Backlog[str](), 1_200, 12
    for number in range(1_000):
        backlog.put(f"dead-{number}", b"d" * 40)
    for _ in range(10):
        backlog.draw(room, limit)
    backlog.put("leaver", b"farewell")
    first = backlog.draw(room, limit)
    datagrams, told = 1, 1
    while "leaver" in backlog:
        told += b"farewell" in backlog.draw(room, limit)
        datagrams += 1

    assert first[0] == b"farewell"
    assert told == limit
    assert datagrams <= 1_000 * 40 * limit / room + limit
