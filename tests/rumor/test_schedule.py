"""Deadlines."""

from __future__ import annotations

from math import inf

from hypothesis import given, settings
from hypothesis import strategies as st

from rumor.core.schedule import Schedule


def test_nothing_scheduled_is_never_due() -> None:
    """An empty schedule has no deadline and gives nothing."""
    schedule = Schedule[str]()

    assert (inf, None) == (schedule.deadline, schedule.pop(1e9))


def test_a_replaced_deadline_never_fires() -> None:
    """Only the last deadline of a key counts, whether it came sooner or later."""
    schedule = Schedule[str]()
    schedule.set("a", 1)
    schedule.set("a", 3)
    schedule.set("b", 2)
    schedule.set("b", 1)

    assert [schedule.pop(2), schedule.pop(2)] == ["b", None]
    assert schedule.deadline == 3


def test_a_cancelled_deadline_never_fires() -> None:
    """Cancelling and setting again within one instant leaves one deadline."""
    schedule = Schedule[str]()
    schedule.set("a", 1)
    schedule.cancel("a")
    schedule.cancel("unknown")
    schedule.set("a", 1)

    assert [schedule.pop(1), schedule.pop(1)] == ["a", None]
    assert "a" not in schedule


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(st.sampled_from(["set", "cancel", "pop"]), st.integers(0, 5), st.integers(0, 9)),
        max_size=200,
    )
)
def test_schedule_agrees_with_a_plain_dict(steps: list[tuple[str, int, int]]) -> None:
    """Whatever is set, cancelled and popped, a dict that is searched each time says the same."""
    schedule = Schedule[int]()
    model: dict[int, float] = {}
    for verb, key, at in steps:
        if verb == "set":
            schedule.set(key, at)
            model.pop(key, None)
            model[key] = at
        elif verb == "cancel":
            schedule.cancel(key)
            model.pop(key, None)
        else:
            popped = schedule.pop(at)
            first = min(model, key=lambda k: model[k], default=None)
            due = first if first is not None and model[first] <= at else None
            assert due == popped
            if due is not None:
                del model[due]
        assert min(model.values(), default=inf) == schedule.deadline


def test_stale_entries_do_not_pile_up() -> None:
    """A key that is set for ever does not make the heap grow for ever."""
    schedule = Schedule[str]()
    for at in range(10_000):
        schedule.set("a", at)

    assert len(schedule._heap) < 100


def test_a_key_tells_when_it_falls_due():
    """Without a deadline that is never."""
    schedule = Schedule[str]()
    schedule.set("a", 5.0)

    assert schedule.due("a") == 5.0
    assert schedule.due("b") == inf
