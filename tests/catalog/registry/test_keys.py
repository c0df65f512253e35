"""Keys: compare-and-set, prefixes, and indexes that never go back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.answers import Refusal
from catalog.commands import DeleteKey, PutKey
from catalog.model import KeyDelta, KeyValue
from catalog.registry.image import Tombstone
from catalog.registry.keys import TOMBSTONE_MS, TOMBSTONES_MAX, KeyTable


@pytest.fixture
def table() -> KeyTable:
    """Keys "a" and "a/b", written by entries 1 and 2."""
    table = KeyTable()
    table.put(PutKey("a", b"1"), 1)
    table.put(PutKey("a/b", b"2", flags=7), 2)
    table.commit(2, 0)
    return table


def touched(table: KeyTable, index: int, stamp: int = 0) -> list[str]:
    """End an entry; return the keys that it touched."""
    return list(table.commit(index, stamp))


def test_a_key_carries_its_indexes(table: KeyTable) -> None:
    """A key knows when it came and when it last changed."""
    assert table.put(PutKey("a", b"3", flags=1), 3) is None
    assert KeyValue("a", b"3", 1, 1, 3) == table.get("a")


def test_writing_the_same_changes_nothing(table: KeyTable) -> None:
    """The same value and flags move no index."""
    table.put(PutKey("a/b", b"2", flags=7), 3)
    assert touched(table, 3) == []
    assert table.index("a/b") == 2
    table.put(PutKey("a/b", b"2", flags=8), 4)
    assert touched(table, 4) == ["a/b"]


@pytest.mark.parametrize(
    ("key", "cas", "done"),
    [("a", 1, True), ("a", 2, False), ("a", 0, False), ("new", 0, True), ("new", 1, False)],
)
def test_cas_compares_the_modify_index(table: KeyTable, key: str, cas: int, done: bool) -> None:
    """A write with `cas` is done if the key was last changed then; 0: if there is no such key."""
    before = table.image()
    outcome = table.put(PutKey(key, b"x", cas=cas), 3)

    if done:
        assert outcome is None
        assert [key] == touched(table, 3)
    else:
        assert outcome is not None
        assert Refusal.CONFLICT is outcome[0]
        assert before == table.image()


def test_cas_guards_a_deletion(table: KeyTable) -> None:
    """A deletion with another index is refused; of a key that is gone it is done already."""
    outcome = table.delete(DeleteKey("a", cas=9))
    assert outcome is not None
    assert Refusal.CONFLICT is outcome[0]
    assert table.delete(DeleteKey("a", cas=1)) is None
    assert touched(table, 4) == ["a"]
    assert table.delete(DeleteKey("a", cas=1)) is None
    assert touched(table, 5) == []


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

    table.delete(DeleteKey("a", recurse=True))
    assert touched(table, 4) == ["b", "a", "a/b"]
    assert table.keys("") == ("b",)


def test_a_deletion_moves_the_index(table: KeyTable) -> None:
    """Who waits for a key or a prefix sees a deletion, which leaves nothing else to see."""
    table.delete(DeleteKey("a/b"))
    table.commit(3, 0)

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
        table.commit(2 * number + 1, 0)
        table.delete(DeleteKey(f"k{number}"))
        table.commit(2 * number + 2, 0)

    assert 2 == table.swept_index == table.index("k0") == table.prefix_index("other")
    assert table.index("k1") == 4


@settings(deadline=None)
@given(st.sets(st.text("ab/\x00\U0010ffff", min_size=1, max_size=3)), st.text("ab/\U0010ffff"))
def test_prefixes_agree_with_startswith(keys: set[str], prefix: str) -> None:
    """The slice of the sorted keys is what a plain search finds."""
    table = KeyTable()
    for index, key in enumerate(sorted(keys, reverse=True), 1):
        table.put(PutKey(key, b""), index)

    assert sorted(key for key in keys if key.startswith(prefix)) == list(table.keys(prefix))


def test_tombstones_are_swept_by_the_clock_of_the_log(table: KeyTable) -> None:
    """After a quarter of an hour a deletion is a lower bound of all indexes, and no more."""
    table.delete(DeleteKey("a"))
    table.commit(3, 1000)
    table.commit(4, 1000 + TOMBSTONE_MS - 1)
    assert table.index("other") == 0

    table.commit(5, 1000 + TOMBSTONE_MS)
    assert table.image().tombstones == ()
    assert 3 == table.index("a") == table.index("other") == table.prefix_index("zz")
    assert table.index("a/b") == 2


def test_an_image_brings_the_table_back(table: KeyTable) -> None:
    """A table from an image answers as the one that made it, tombstones included."""
    table.write("held", b"", 0, 3, session="s", lock_index=4)
    table.delete(DeleteKey("a"))
    table.commit(3, 7)
    copy = KeyTable.from_image(table.image())

    assert table.image() == copy.image()
    assert copy.index("a") == 3
    assert copy.keys("") == ("a/b", "held")
    assert copy.held("s") == ("held",)


def test_a_key_that_came_back_has_no_tombstone(table: KeyTable) -> None:
    """Each tombstone is of its latest deletion, so that the oldest is always the first."""
    for index, key in ((3, "a"), (4, "a/b")):
        table.delete(DeleteKey(key))
        table.commit(index, 0)
    table.put(PutKey("a", b""), 5)
    table.commit(5, 0)
    assert table.image().tombstones == (("a/b", Tombstone(4, 0, 0)),)

    table.delete(DeleteKey("a"))
    table.commit(6, 0)
    assert table.image().tombstones == (("a/b", Tombstone(4, 0, 0)), ("a", Tombstone(6, 0, 0)))


def test_what_came_and_went_in_one_entry_leaves_no_tombstone(table: KeyTable) -> None:
    """Nobody has seen it; but it was touched."""
    table.put(PutKey("new", b""), 3)
    table.delete(DeleteKey("new"))

    assert touched(table, 3) == ["new"]
    assert table.image().tombstones == ()


def test_lock_indexes_never_come_twice() -> None:
    """A key that was deleted goes on counting, even when its tombstone has been swept."""
    table = KeyTable()
    table.write("k", b"", 0, 1, session="s", lock_index=table.next_lock("k"))
    table.delete(DeleteKey("k"))
    assert table.next_lock("k") == 2
    table.commit(1, 0)
    assert table.next_lock("k") == 2
    table.commit(2, TOMBSTONE_MS)
    assert table.next_lock("k") == 2

    table.put(PutKey("k", b""), 3)
    assert table.next_lock("k") == 2


@pytest.mark.parametrize("count", [3, 100])
def test_what_is_taken_back_never_was(count: int) -> None:
    """Few keys or many: order, holders and values are as before."""
    table = KeyTable()
    for number in range(count):
        table.write(f"k{number}", b"", 0, 1, session="s", lock_index=1)
    table.commit(1, 0)
    before = table.image()
    table.delete(DeleteKey("k", recurse=True))
    table.put(PutKey("new", b""), 2)
    table.put(PutKey("k1", b"other"), 2)
    table.rollback()

    assert table.commit(2, 0) == {}
    assert before == table.image()
    assert len(table.held("s")) == count


def test_an_update_of_a_prefix_names_each_key_once(table: KeyTable) -> None:
    """What changed in the order of its last change, and what is gone; or all there is."""
    table.put(PutKey("a/c", b"1"), 3)
    table.commit(3, 0)
    table.put(PutKey("a/b", b"9"), 4)
    table.commit(4, 0)
    table.delete(DeleteKey("a/c"))
    table.put(PutKey("b", b""), 5)
    table.commit(5, 0)

    expected = KeyDelta(2, 6, "a/", table.items("a/b"), (("a/c", 5),))
    assert expected == table.update("a/", 2, 6)
    assert KeyDelta(5, 6, "a/", ()) == table.update("a/", 5, 6)
    assert KeyDelta(0, 6, "a/", table.items("a/"), whole=True) == table.update("a/", None, 6)
    table.swept_index = 5
    assert table.update("a/", 4, 6).whole
