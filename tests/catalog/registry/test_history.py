"""The past: complete after its floor, silent about nothing."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.model import Change, ChangeKind, Instance, Node, Service
from catalog.registry.history import History

INSTANCE = Instance(Node("n1", "10.0.0.1"), Service("web"), None, (), 1, 1)


def change(index: int) -> Change:
    """Return some change at an index."""
    return Change(index, ChangeKind.UPDATED, INSTANCE)


def test_changes_come_in_order_and_by_name() -> None:
    """A subscriber gets what happened to its service since, oldest first."""
    history = History()
    for index, name in enumerate(("web", "db", "web", "web"), 1):
        history.record(name, change(index))

    assert (change(3), change(4)) == history.since("web", 1)
    assert history.since("web", 4) == ()
    assert history.since("mail", 0) == ()


def test_the_oldest_is_forgotten_and_the_floor_says_so() -> None:
    """Over the limit the oldest goes; who needs it is told, who does not is served."""
    history = History(changes_max=2)
    for index in (1, 2, 3):
        history.record("web", change(index))

    assert history.floor == 1
    assert history.since("web", 0) is None
    assert (change(2), change(3)) == history.since("web", 1)


def test_before_the_floor_nothing_is_known() -> None:
    """After a restore the past begins at the snapshot, whatever the name."""
    history = History(floor=10)

    assert history.since("web", 9) is None
    assert history.since("web", 10) == ()


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from("ab")), max_size=30),
    st.integers(1, 5),
    st.integers(0, 30),
)
def test_what_is_told_is_complete(
    steps: list[tuple[int, str]], changes_max: int, after: int
) -> None:
    """Either all changes after an index, or None; several may share one entry's index."""
    history, log, index = History(changes_max=changes_max), [], 1
    for step, name in steps:
        index += step
        history.record(name, change(index))
        log.append((name, change(index)))

    told = history.since("a", after)
    assert told is None or told == tuple(c for name, c in log if name == "a" and c.index > after)
    if len(log) <= changes_max:
        assert told is not None
