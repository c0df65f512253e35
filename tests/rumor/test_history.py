"""The memory of user events."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from rumor.core.history import Happenings
from rumor.messages import EventKey, UserEvent


def event(clock: int, origin: str = "a", sequence: int = 0) -> UserEvent:
    """Make an event."""
    return UserEvent(clock, origin, 0, sequence, "deploy", b"")


events = st.builds(event, st.integers(0, 9), st.sampled_from("abc"), st.integers(0, 2))


@settings(max_examples=100)
@given(st.lists(events, max_size=60), st.integers(1, 8))
def test_what_is_remembered_is_the_latest_and_nothing_is_new_twice(
    heard: list[UserEvent], count_max: int
) -> None:
    """Whatever the order of arrival: the greatest keys of all that were heard."""
    memory, delivered = Happenings[UserEvent](), list[EventKey]()
    for one in heard:
        if memory.is_new(one.key):
            delivered.append(one.key)
            memory.add(one, count_max)
    everything = sorted({one.key for one in heard})

    assert memory.keys == tuple(everything[-count_max:])
    assert len(delivered) == len(set(delivered))
    assert [one.key for one in memory.events] == list(memory.keys)


def test_what_fell_out_is_not_new_and_not_asked_for() -> None:
    """Nobody can tell whether it was heard; and the newest of all may be too old to enter."""
    memory = Happenings[UserEvent]()
    for clock in (5, 6, 7):
        memory.add(event(clock), 2)
    give, missing = memory.compare((event(4).key, event(5).key, event(7).key, event(9).key))

    assert not memory.is_new(event(5).key)
    assert memory.get(event(5).key) is None
    assert (give, missing) == ([event(6)], [event(9).key])
