"""Deadlines: what falls due when, at most one deadline for each key.

A heap with lazy cancellation. Setting a key again, or cancelling it, leaves the old entry in the
heap; it is recognised as stale when it surfaces. So a timer that was replaced can never fire,
however close the two instants were.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from math import inf
from typing import Generic, TypeVar

from attrs import define, field

Key = TypeVar("Key")

STALE_RATIO_MAX = 4
"""The heap is rebuilt when it holds this many times more entries than there are deadlines."""


@define
class Schedule(Generic[Key]):
    """Deadlines by key, in seconds of the caller's clock."""

    _due: dict[Key, tuple[float, int]] = field(factory=dict)
    _heap: list[tuple[float, int, Key]] = field(factory=list)
    _count: int = 0  # breaks ties in the order of setting, and keeps keys from being compared

    def set(self, key: Key, at: float) -> None:
        """Let `key` fall due at `at`, in place of its former deadline."""
        self._count += 1
        self._due[key] = (at, self._count)
        heappush(self._heap, (at, self._count, key))
        if len(self._heap) > STALE_RATIO_MAX * len(self._due) + 64:
            self._heap = [(at, count, key) for key, (at, count) in self._due.items()]
            heapify(self._heap)

    def cancel(self, key: Key) -> None:
        """Forget the deadline of `key`, if there is one."""
        self._due.pop(key, None)

    def __contains__(self, key: Key) -> bool:
        return key in self._due

    def due(self, key: Key) -> float:
        """When `key` falls due; ``inf`` if it has no deadline."""
        return self._due.get(key, (inf, 0))[0]

    @property
    def deadline(self) -> float:
        """The earliest deadline, or ``inf``."""
        self._drop_stale()
        return self._heap[0][0] if self._heap else inf

    def pop(self, now: float) -> Key | None:
        """Take the earliest key that is due at `now`; ``None`` if none is."""
        if self.deadline > now:
            return None
        _, _, key = heappop(self._heap)
        del self._due[key]
        return key

    def _drop_stale(self) -> None:
        heap, due = self._heap, self._due
        while heap and due.get(heap[0][2]) != heap[0][:2]:
            heappop(heap)
