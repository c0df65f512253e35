"""Where nodes are in the space of round trip times, as gossip measured it (Vivaldi)."""

from __future__ import annotations

from collections.abc import Iterable
from math import dist, inf
from typing import TypeVar

from attrs import Factory, define

from catalog.model import Coordinate
from catalog.registry.image import CoordinatesImage
from catalog.registry.rows import Rows

__all__ = ["CoordinateTable", "distance"]

T = TypeVar("T")


@define
class CoordinateTable:
    """Coordinates by node."""

    index: int = 0
    """Of the last change to any."""
    _rows: Rows[str, Coordinate] = Factory(Rows)

    def set(self, coordinate: Coordinate) -> None:
        """Record where a node is."""
        if self._rows.get(coordinate.node) != coordinate:
            self._rows.set(coordinate.node, coordinate)

    def forget(self, node: str) -> None:
        """Forget a node."""
        if node in self._rows:
            self._rows.delete(node)

    def coordinates(self, node: str = "") -> tuple[Coordinate, ...]:
        """Return the coordinates of all nodes, sorted by name, or of one."""
        names = [node] if node else sorted(self._rows)
        found = map(self._rows.get, names)
        return tuple(coordinate for coordinate in found if coordinate is not None)

    def sorted_near(self, origin: str, things: Iterable[tuple[str, T]]) -> list[T]:
        """Return things, each given with its node, the nearest to `origin` first.

        Those of unknown place keep their order, at the end; of an unknown origin, all do.
        """
        here = self._rows.get(origin)

        def how_far(thing: tuple[str, T]) -> float:
            there = self._rows.get(thing[0])
            return inf if here is None or there is None else distance(here, there)

        return [thing for _, thing in sorted(things, key=how_far)]

    def commit(self, index: int) -> bool:
        """End an entry: return whether it changed anything here."""
        changed = bool(self._rows.commit())
        if changed:
            self.index = index
        return changed

    def rollback(self) -> None:
        """Take back what the current entry did."""
        self._rows.rollback()

    def image(self) -> CoordinatesImage:
        """Return all that this table is, in canonical order."""
        return CoordinatesImage(self.coordinates(), self.index)

    @classmethod
    def from_image(cls, image: CoordinatesImage) -> CoordinateTable:
        """Return the table that made this image."""
        return cls(image.index, Rows({one.node: one for one in image.coordinates}))


def distance(one: Coordinate, two: Coordinate) -> float:
    """Return the round trip time between two nodes in seconds, as far as can be told.

    Of spaces that cannot be compared (another segment, another number of dimensions): `inf`.
    """
    if one.node == two.node:
        return 0.0
    if one.segment != two.segment or len(one.vector) != len(two.vector):
        return inf
    raw = dist(one.vector, two.vector) + one.height + two.height
    adjusted = raw + one.adjustment + two.adjustment
    return adjusted if adjusted > 0 else raw
