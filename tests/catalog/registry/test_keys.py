"""Keys: compare-and-set, prefixes, and indexes that never go back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.commands import DeleteKey, PutKey, Refusal
from catalog.model import KeyValue
from catalog.registry.keys import TOMBSTONES_MAX, KeyTable


@pytest.fixture
def table() -> KeyTable:
    """Keys "a" and "a/b", written by entries 1 and 2."""
    table = KeyTable()
    table.put(PutKey("a", b"1"), 1)
    table.put(PutKey("a/b", b"2", flags=7), 2)
    return table


def test_a_key_carries_its_indexes(table: KeyTable) -> None:
    """A key knows when it came and when it last changed."""
    assert table.put(PutKey("a", b"3", flags=1), 3) == {"a": 3}
    assert KeyValue("a", b"3", 1, 1, 3) == table.get("a")


def test_writing_the_same_changes_nothing(table: KeyTable) -> None:
    """The same value and flags move no index."""
    assert table.put(PutKey("a/b", b"2", flags=7), 3) == {}
    assert table.index("a/b") == 2
    assert table.put(PutKey("a/b", b"2", flags=8), 4) == {"a/b": 4}


@pytest.mark.parametrize(
    ("key", "cas", "done"),
    [("a", 1, True), ("a", 2, False), ("a", 0, False), ("new", 0, True), ("new", 1, False)],
)
def test_cas_compares_the_modify_index(table: KeyTable, key: str, cas: int, done: bool) -> None:
    """A write with `cas` is done if the key was last changed then; 0: if there is no such key."""
    before = table.image()
    outcome = table.put(PutKey(key, b"x", cas=cas), 3)

    if done:
        assert {key: 3} == outcome
    else:
        assert Refusal.CONFLICT is outcome[0]  # type: ignore[index]
        assert before == table.image()


def test_cas_guards_a_deletion(table: KeyTable) -> None:
    """A deletion with another index is refused; of a key that is gone it is done already."""
    assert Refusal.CONFLICT is table.delete(DeleteKey("a", cas=9), 3)[0]  # type: ignore[index]
    assert table.delete(DeleteKey("a", cas=1), 4) == {"a": 4}
    assert table.delete(DeleteKey("a", cas=1), 5) == {}


def test_a_prefix_is_a_slice(table: KeyTable) -> None:
    """Keys come sorted; a prefix is compared as text, not by path."""
    table.put(PutKey("ab", b""), 3)
    table.put(PutKey("b", b""), 4)

    assert table.keys("") == ("a", "a/b", "ab", "b")
    assert table.keys("a") == ("a", "a/b", "ab")
    assert table.keys("a/") == ("a/b",)
    assert table.keys("c") == ()
    assert tuple(one.value for one in table.items("a/")) == (b"2",)


def test_a_recursive_deletion_takes_the_prefix(table: KeyTable) -> None:
    """All keys under the prefix go, the key of that name included, and nothing else."""
    table.put(PutKey("b", b""), 3)

    assert table.delete(DeleteKey("a", recurse=True), 4) == {"a": 4, "a/b": 4}
    assert table.keys("") == ("b",)


def test_a_deletion_moves_the_index(table: KeyTable) -> None:
    """Who waits for a key or a prefix sees a deletion, which leaves nothing else to see."""
    table.delete(DeleteKey("a/b"), 3)

    assert table.index("a/b") == 3
    assert table.prefix_index("a/") == 3
    assert table.index("a") == 1


def test_an_absent_key_is_not_moved_by_others(table: KeyTable) -> None:
    """Who waits for a key to appear is not woken by another."""
    assert table.index("later") == 0
    assert table.prefix_index("later") == 0


def test_forgotten_tombstones_leave_a_lower_bound() -> None:
    """When tombstones are dropped, no index goes back: all rise to the newest one dropped."""
    table = KeyTable()
    for number in range(TOMBSTONES_MAX + 1):
        table.put(PutKey(f"k{number}", b""), 2 * number + 1)
        table.delete(DeleteKey(f"k{number}"), 2 * number + 2)

    assert 2 == table.reaped_index == table.index("k0") == table.prefix_index("other")
    assert table.index("k1") == 4


@settings(deadline=None)
@given(st.sets(st.text("ab/\x00\U0010ffff", min_size=1, max_size=3)), st.text("ab/\U0010ffff"))
def test_prefixes_agree_with_startswith(keys: set[str], prefix: str) -> None:
    """The slice of the sorted keys is what a plain search finds."""
    table = KeyTable()
    for index, key in enumerate(sorted(keys, reverse=True), 1):
        table.put(PutKey(key, b""), index)

    assert sorted(key for key in keys if key.startswith(prefix)) == list(table.keys(prefix))


def test_an_image_brings_the_table_back(table: KeyTable) -> None:
    """A table from an image answers as the one that made it, tombstones included."""
    table.delete(DeleteKey("a"), 3)
    copy = KeyTable.from_image(table.image())

    assert table.image() == copy.image()
    assert copy.index("a") == 3
    assert copy.keys("") == ("a/b",)


def test_a_key_that_came_back_has_no_tombstone(table: KeyTable) -> None:
    """Each tombstone is of its latest deletion, so that the oldest is always the first."""
    table.delete(DeleteKey("a"), 3)
    table.delete(DeleteKey("a/b"), 4)
    table.put(PutKey("a", b""), 5)
    assert table.image().tombstones == (("a/b", 4),)

    table.delete(DeleteKey("a"), 6)
    assert table.image().tombstones == (("a/b", 4), ("a", 6))
