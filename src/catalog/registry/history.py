"""The latest changes of services, so that a subscriber can go on where it stopped.

The ordered, resumable watch of etcd on the index of Consul: a subscriber that has a service as of
some index gets every change after it, in order, once; or is told that the past does not reach back
that far, and starts again from a view.
There is never a silent gap.

The past is bounded by the number of changes in all, whichever services they belong to.
`floor` is the highest index of any change forgotten: after that index, the past is complete.
"""

from __future__ import annotations

from collections import deque

from attrs import Factory, define

from catalog.model import Change

__all__ = ["CHANGES_MAX", "History"]

CHANGES_MAX = 8192
"""Changes kept; some 10 MB at most times, and minutes of a busy cluster."""


@define
class History:
    """Changes by service name, oldest first."""

    floor: int = 0
    changes_max: int = CHANGES_MAX
    _names: deque[str] = Factory(deque)
    """The service of each change kept, in the order of recording."""
    _changes: dict[str, deque[Change]] = Factory(dict)

    def record(self, name: str, change: Change) -> None:
        """Remember a change; forget the oldest if there are too many."""
        self._names.append(name)
        self._changes.setdefault(name, deque()).append(change)
        if len(self._names) > self.changes_max:
            oldest = self._names.popleft()
            forgotten = self._changes[oldest].popleft()
            self.floor = max(self.floor, forgotten.index)
            if not self._changes[oldest]:
                del self._changes[oldest]

    def since(self, name: str, after: int) -> tuple[Change, ...] | None:
        """Return the changes of a service after an index, or `None`: forgotten."""
        if after < self.floor:
            return None
        newest_first = []
        for change in reversed(self._changes.get(name, ())):
            if change.index <= after:
                break
            newest_first.append(change)
        return tuple(reversed(newest_first))
