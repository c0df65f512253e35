"""Rows that can be taken back, and indexes of what is gone."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.registry.rows import Indexes, Rows


@settings(deadline=None, max_examples=50)
@given(
    st.dictionaries(st.sampled_from("abc"), st.integers()),
    st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.integers())),
)
def test_whatever_an_entry_did_is_taken_back(rows, changes) -> None:
    """Set, deleted and set again: afterwards all is as before the entry, or as after it."""
    table: Rows[str, int] = Rows(dict(rows))
    expected = dict(rows)

    def change() -> None:
        for key, value in changes:
            if value is not None:
                table.set(key, value)
            elif key in table:
                table.delete(key)

    change()
    table.rollback()
    assert {key: table.get(key) for key in table} == rows
    change()
    for key, value in changes:
        expected.pop(key, None)
        if value is not None:
            expected[key] = value
    before = table.commit()
    assert {key: table.get(key) for key in table} == expected
    assert all(rows.get(key) == old for key, old in before.items())
    assert not table.touched


def test_what_is_gone_has_the_index_of_the_last_end() -> None:
    """Of any name; those that are there have their own."""
    indexes = Indexes()
    indexes.move("a", 3)
    indexes.move("b", 4)
    indexes.end("a", 5)

    assert [5, 4, 5] == [indexes.of(name) for name in "abc"]
    assert indexes.image() == (("b", 4),)
