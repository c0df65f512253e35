"""Coordinates: what comes near, what is unknown, and what is forgotten."""

from __future__ import annotations

from math import inf

import pytest

from catalog.model import Coordinate
from catalog.registry.coordinates import CoordinateTable, distance

A = Coordinate("a", (0.0, 0.0), height=0.0)
B = Coordinate("b", (0.003, 0.004), height=0.001, adjustment=0.002)


def test_distance_is_the_way_with_heights_and_adjustments() -> None:
    """In seconds; never negative, to itself nothing, across segments unknown."""
    assert pytest.approx(0.005 + 0.001 + 0.002) == distance(A, B)
    assert distance(A, Coordinate("c", (0.01, 0.0), adjustment=-9.0, height=0.0)) == 0.01
    assert distance(B, B) == 0.0
    assert distance(A, Coordinate("c", (0.0, 0.0), segment="other")) == inf
    assert distance(A, Coordinate("c", (0.0,))) == inf


def test_the_nearest_come_first() -> None:
    """Those of unknown place keep their order, at the end."""
    table = CoordinateTable()
    for one in (A, B):
        table.set(one)
    things = [("x", 1), ("b", 2), ("y", 3), ("a", 4)]

    assert table.sorted_near("a", things) == [4, 2, 1, 3]
    assert table.sorted_near("nobody", things) == [1, 2, 3, 4]


def test_only_a_change_moves_the_index() -> None:
    """What is set again is nothing new; what is taken back never was."""
    table = CoordinateTable()
    table.set(A)
    assert table.commit(3)
    table.set(A)
    assert not table.commit(4)
    table.forget("a")
    table.set(B)
    table.rollback()

    assert not table.commit(5)
    assert (3, (A,)) == (table.index, table.coordinates())
    assert table.image() == CoordinateTable.from_image(table.image()).image()
