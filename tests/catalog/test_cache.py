"""A subscriber's copy: forward only, never over a gap, and it knows its age."""

from __future__ import annotations

from math import inf

import pytest

from catalog.cache import Cache, KeyCache
from catalog.errors import OutOfStep
from catalog.kv import KeyChange, KeyDelta, KeyValue
from catalog.model import (
    Change,
    ChangeKind,
    CheckState,
    Delta,
    Instance,
    Node,
    Service,
    Status,
    View,
)


def instance(id: str, index: int, status: Status = Status.PASSING) -> Instance:
    """Return an instance of "web"."""
    checks = (CheckState("c", status),)
    return Instance(Node("n1", "10.0.0.1"), Service("web", id), None, checks, 1, index)


A, B = instance("a", 3), instance("b", 4)
VIEW = View(4, "web", (A, B))


@pytest.fixture
def cache() -> Cache:
    """A copy with two instances, as of index 4, from second 10."""
    cache = Cache("web")
    cache.apply(VIEW, now=10.0)
    return cache


def test_a_new_copy_knows_nothing() -> None:
    """Before the first update a copy is empty, at index 0, and infinitely old."""
    cache = Cache("web")

    assert View(0, "web", ()) == cache.lookup()
    assert inf == cache.age(now=5.0)


def test_a_view_is_what_a_lookup_gives(cache: Cache) -> None:
    """A copy answers as the registry would."""
    assert cache.lookup(healthy=False) == VIEW
    assert cache.age(now=12.5) == 2.5


def test_changes_are_applied_in_order(cache: Cache) -> None:
    """Added, updated, removed: the copy follows, sorted as a lookup is."""
    first, last = instance("0", 5), instance("a", 6, Status.CRITICAL)
    changes = (
        Change(5, ChangeKind.ADDED, first),
        Change(6, ChangeKind.UPDATED, last),
        Change(7, ChangeKind.REMOVED, B),
    )

    assert cache.apply(Delta(4, 7, "web", changes), now=11.0)
    assert View(7, "web", (first, last)) == cache.lookup(healthy=False)
    assert View(7, "web", (first,)) == cache.lookup()
    assert cache.lookup(tag="blue").instances == ()


def test_a_gap_is_refused_and_nothing_changes(cache: Cache) -> None:
    """Changes that start after the end of the copy would leave a hole."""
    with pytest.raises(OutOfStep, match="subscribe again from 4"):
        cache.apply(Delta(5, 6, "web", (Change(6, ChangeKind.REMOVED, B),)), now=11.0)

    assert cache.lookup(healthy=False) == VIEW
    assert cache.age(now=11.0) == 1.0


def test_what_is_known_already_is_skipped(cache: Cache) -> None:
    """The same update twice, or one that begins earlier, does no harm."""
    newer = instance("b", 5)
    delta = Delta(
        2, 5, "web", (Change(3, ChangeKind.REMOVED, A), Change(5, ChangeKind.UPDATED, newer))
    )

    assert cache.apply(delta, now=11.0)
    assert not cache.apply(delta, now=12.0)
    assert View(5, "web", (A, newer)) == cache.lookup()
    assert not cache.apply(Delta(1, 3, "web", (Change(3, ChangeKind.REMOVED, A),)), now=13.0)
    assert cache.index == 5


def test_an_empty_delta_is_a_sign_of_life(cache: Cache) -> None:
    """Nothing new moves the time of last contact, and the index if it says so."""
    assert not cache.apply(Delta(4, 9, "web", ()), now=20.0)
    assert cache.index == 9
    assert cache.age(now=20.0) == 0.0


def test_a_newer_view_replaces_the_copy(cache: Cache) -> None:
    """A view needs no history; whether it brought anything new is told."""
    assert not cache.apply(View(5, "web", (A, B)), now=11.0)
    assert cache.apply(View(6, "web", (B,)), now=12.0)
    assert View(6, "web", (B,)) == cache.lookup()


def test_time_does_not_run_backwards(cache: Cache) -> None:
    """A view older than the copy, from a server that lags, is refused."""
    with pytest.raises(OutOfStep, match="ask another server"):
        cache.apply(View(3, "web", ()), now=11.0)

    assert cache.lookup(healthy=False) == VIEW


def test_another_service_is_refused(cache: Cache) -> None:
    """An update of another name was sent to the wrong copy."""
    with pytest.raises(OutOfStep, match="'db'"):
        cache.apply(View(9, "db", ()), now=11.0)


def test_a_reset_copy_starts_again(cache: Cache) -> None:
    """After a reset any view is taken, of a rebuilt cluster too."""
    cache.reset()
    assert inf == cache.age(now=11.0)

    cache.apply(View(1, "web", (A,)), now=11.0)
    assert View(1, "web", (A,)) == cache.lookup()


def entry(key: str, index: int) -> KeyValue:
    """Return a key that changed at an index."""
    return KeyValue(key, b"", 0, 1, index)


def test_a_copy_of_a_prefix_goes_forward_only() -> None:
    """It takes all there is, then what changed; what leaves a gap or goes back is refused."""
    cache = KeyCache("a/")
    both = (entry("a/x", 2), entry("a/y", 3))
    assert [KeyChange(2, "a/x", both[0]), KeyChange(3, "a/y", both[1])] == cache.apply(
        KeyDelta(0, 4, "a/", both, whole=True), now=1.0
    )
    assert both == cache.items()

    update = KeyDelta(4, 7, "a/", (entry("a/z", 6),), (("a/x", 5),))
    expected = [KeyChange(5, "a/x", None), KeyChange(6, "a/z", entry("a/z", 6))]
    assert expected == cache.apply(update, now=2.0)
    assert [] == cache.apply(KeyDelta(7, 9, "a/", ()), now=3.0)
    assert (9, 1.0) == (cache.index, cache.age(now=4.0))

    for wrong in (
        KeyDelta(10, 11, "a/", ()),
        KeyDelta(0, 8, "a/", (), whole=True),
        KeyDelta(9, 9, "b/", ()),
    ):
        with pytest.raises(OutOfStep):
            cache.apply(wrong, now=5.0)
    assert [one.key for one in cache.items()] == ["a/y", "a/z"]


def test_all_there_is_says_what_is_gone() -> None:
    """A copy whose past was forgotten learns of deletions from the whole."""
    cache = KeyCache("")
    cache.apply(KeyDelta(0, 4, "", (entry("x", 2), entry("y", 3)), whole=True), now=1.0)
    update = KeyDelta(4, 9, "", (entry("y", 3),), whole=True)

    assert [KeyChange(9, "x", None)] == cache.apply(update, now=2.0)
    cache.reset()
    assert (0, ()) == (cache.index, cache.items())
