"""The memory of user events, and of queries: the latest in their order, and what fell out of it.

The order is that of their keys, the same at all members; so members that have heard the same
remember the same, whatever the order in which they heard it.
"""

from __future__ import annotations

from bisect import insort
from typing import Generic, TypeVar

from attrs import define, field

from rumor.messages import EventKey, Query, UserEvent

Told = TypeVar("Told", UserEvent, Query)


@define
class Happenings(Generic[Told]):
    """The latest events, or queries, in their order."""

    _keys: list[EventKey] = field(factory=list)
    _events: dict[EventKey, Told] = field(factory=dict)
    _floor: EventKey | None = None
    """The greatest key that was forgotten."""

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def keys(self) -> tuple[EventKey, ...]:
        """What is remembered, the earliest first."""
        return tuple(self._keys)

    @property
    def events(self) -> tuple[Told, ...]:
        """What is remembered, the earliest first."""
        return tuple([self._events[key] for key in self._keys])

    def get(self, key: EventKey) -> Told | None:
        """The event of that key, if it is remembered."""
        return self._events.get(key)

    def is_new(self, key: EventKey) -> bool:
        """Whether an event was not heard before, as far as anybody can tell."""
        return key not in self._events and (self._floor is None or key > self._floor)

    def add(self, event: Told, count_max: int) -> list[EventKey]:
        """Remember an event; return the keys of those forgotten for it."""
        insort(self._keys, event.key)
        self._events[event.key] = event
        forgotten = self._keys[: max(0, len(self._keys) - count_max)]
        for key in forgotten:
            del self._events[key]
        if forgotten:
            del self._keys[: len(forgotten)]
            self._floor = forgotten[-1]
        return forgotten

    def compare(self, theirs: tuple[EventKey, ...]) -> tuple[list[Told], list[EventKey]]:
        """Decide which events to give to a peer that holds `theirs`, and which to ask for."""
        held = set(theirs)  # asked for membership, never iterated
        give = [self._events[key] for key in self._keys if key not in held]
        return give, [key for key in theirs if self.is_new(key)]
