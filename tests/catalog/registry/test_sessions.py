"""The table of sessions: its indexes, and what it takes back."""

from __future__ import annotations

import pytest

from catalog.model import Session
from catalog.registry.sessions import SessionTable


@pytest.fixture
def table() -> SessionTable:
    """Two sessions on one node, one on another."""
    table = SessionTable()
    for index, (name, node) in enumerate((("a", "n1"), ("b", "n1"), ("c", "n2")), 1):
        assert table.create(Session(name, node, service_checks=["web"]), index) is None
        table.commit(index)
    return table


def test_sessions_are_found_by_node_and_check(table: SessionTable) -> None:
    """Sorted, so that every replica ends them in one order."""
    assert table.on_node("n1") == ("a", "b")
    assert table.on_check("n1", "web") == ("a", "b")
    assert table.on_check("n2", "other") == ()
    assert [one.id for one in table.sessions()] == ["a", "b", "c"]
    assert [one.id for one in table.sessions("n2")] == ["c"]


def test_each_node_has_its_index(table: SessionTable) -> None:
    """Who waits for the sessions of one node is not woken by those of another."""
    assert (2, 3, 3) == (table.node_index("n1"), table.node_index("n2"), table.index)
    assert table.get("a").create_index == 1 == table.session_index("a")

    table.remove("c")
    assert [one.id for one in table.commit(4)] == ["c"]
    assert (2, 4, 4) == (table.node_index("n1"), table.node_index("n2"), table.index)
    assert table.session_index("c") == 4


def test_removing_nothing_changes_nothing(table: SessionTable) -> None:
    """There is no such session, and no index moves."""
    assert table.remove("x") is None
    assert table.commit(4) == []
    assert table.index == 3


def test_what_is_taken_back_never_was(table: SessionTable) -> None:
    """A session that ended is back, with what it stands on; a new one is gone."""
    before = table.image()
    table.remove("a")
    table.create(Session("d", "n3"), 4)
    table.rollback()

    assert table.commit(4) == []
    assert before == table.image()
    assert table.on_check("n1", "web") == ("a", "b")
    assert table.on_node("n3") == ()


def test_an_image_brings_the_table_back(table: SessionTable) -> None:
    """A table from an image answers as the one that made it."""
    table.remove("b")
    table.commit(4)
    copy = SessionTable.from_image(table.image())

    assert table.image() == copy.image()
    assert copy.on_check("n1", "web") == ("a",)
    assert (4, 3) == (copy.node_index("n1"), copy.node_index("n2"))
