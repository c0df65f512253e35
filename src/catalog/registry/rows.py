"""A table of frozen rows that can take back what the entry under way did to it.

A transaction is done step by step, since each step sees those before it; if one fails, nothing of
it may remain. So a table remembers what each row was before the entry first touched it: `commit`
forgets that and says which rows were touched, `rollback` puts the rows back.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import Generic, TypeVar

from attrs import Factory, define, field

__all__ = ["Indexes", "Rows"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@define
class Rows(Generic[K, V]):
    """Rows by key."""

    _rows: dict[K, V] = Factory(dict)
    _before: dict[K, V | None] = field(factory=dict, init=False)
    """Rows that the current entry touched, as they were before it."""

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, key: K) -> bool:
        return key in self._rows

    def __iter__(self) -> Iterator[K]:
        return iter(self._rows)

    def get(self, key: K) -> V | None:
        """Return a row, or `None`."""
        return self._rows.get(key)

    def values(self) -> Iterable[V]:
        """Return the rows, in the order in which they came."""
        return self._rows.values()

    def set(self, key: K, row: V) -> None:
        """Enter or replace a row."""
        self._before.setdefault(key, self._rows.get(key))
        self._rows[key] = row

    def delete(self, key: K) -> V:
        """Remove a row that is there, and return it."""
        row = self._rows.pop(key)
        self._before.setdefault(key, row)
        return row

    @property
    def touched(self) -> bool:
        """Whether the current entry did anything here."""
        return bool(self._before)

    def commit(self) -> dict[K, V | None]:
        """End an entry: return the rows that it touched, as they were before it."""
        if not self._before:
            return self._before
        before, self._before = self._before, {}
        return before

    def rollback(self) -> None:
        """Put back what the current entry touched."""
        for key, row in self.commit().items():
            if row is None:
                self._rows.pop(key, None)
            else:
                self._rows[key] = row


@define
class Indexes:
    """The index of the last change, by name; of names that are gone, one for all.

    Something that is gone answers with the index at which the last one of any name went: it is no
    older than its own end, and costs one int where an index for every name ever used would cost
    memory without bound.
    """

    extinction: int = 0
    """When the last one of any name went."""
    _by_name: dict[str, int] = Factory(dict)

    def of(self, name: str) -> int:
        """Return the index of a name."""
        return self._by_name.get(name, self.extinction)

    def move(self, name: str, index: int) -> None:
        """Record a change."""
        self._by_name[name] = index

    def end(self, name: str, index: int) -> None:
        """Record that a name is gone."""
        self._by_name.pop(name, None)
        self.extinction = index

    def image(self) -> tuple[tuple[str, int], ...]:
        """Return the indexes by name, in canonical order."""
        return tuple(sorted(self._by_name.items()))
