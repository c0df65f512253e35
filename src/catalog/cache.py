"""A subscriber's copy of a service or a prefix: always some state that the catalog had.

A copy is fed with updates, each a whole view or the changes from one index to another.
It moves forward only, and never over a gap: an update that leaves one is refused, and the copy
stays as it is.
So every state that a reader sees was the catalog's at the index it carries, and later reads never
show an earlier one.

It also says how old it is.
An empty delta is a sign of life: it moves the time of last contact, hence the age, and nothing
else.
"""

from __future__ import annotations

from math import inf
from typing import assert_never

from catalog.errors import OutOfStep
from catalog.kv import KeyChange, KeyDelta, KeyValue
from catalog.model import ChangeKind, Delta, Instance, Update, View

__all__ = ["Cache", "KeyCache"]

VIEWS_MAX = 64
"""Different lookups whose answers are kept until the next update: by health and by tag."""


class Cache:
    """The instances of one service, as of `index`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.index = 0
        """Ask for the updates after this one; 0: nothing is known yet."""
        self.contact = -inf
        """When the last update came, in seconds."""
        self._instances: dict[tuple[str, str], Instance] = {}
        self._views: dict[tuple[bool, str | None], View] = {}
        """What was looked up since the last update."""

    def apply(self, update: Update, *, now: float) -> bool:
        """Take an update; return whether instances may have changed.

        What is known already is skipped, so an update may come twice.

        Raises:
            OutOfStep: the update is of another service, starts later than the copy ends, or is a
                view older than the copy; the copy is unchanged.

        """
        if update.name != self.name:
            raise OutOfStep(f"an update of {update.name!r} for the copy of {self.name!r}; ignored")
        self._views.clear()
        match update:
            case Delta():
                changed = self._advance(update)
            case View():
                changed = self._replace(update)
            case _:
                assert_never(update)
        self.contact = now
        return changed

    def lookup(self, *, healthy: bool = True, tag: str | None = None) -> View:
        """Return the instances, as `Registry.lookup` would have at this index."""
        view = self._views.get((healthy, tag))
        if view is None:
            instances = tuple(self._instances[key] for key in sorted(self._instances))
            view = View(self.index, self.name, instances).select(healthy=healthy, tag=tag)
            if len(self._views) < VIEWS_MAX:
                self._views[healthy, tag] = view
        return view

    def age(self, *, now: float) -> float:
        """Return how long ago, in seconds, the copy was known to be current; `inf`: never."""
        return now - self.contact

    def reset(self) -> None:
        """Forget everything: for a cluster that was rebuilt, whose indexes start anew."""
        self.index, self.contact = 0, -inf
        self._instances.clear()
        self._views.clear()

    def _advance(self, delta: Delta) -> bool:
        if delta.since > self.index:
            raise OutOfStep(
                f"changes of {self.name!r} from index {delta.since} on, but the copy ends at "
                f"{self.index}; it is unchanged: subscribe again from {self.index}"
            )
        changed = False
        for change in delta.changes:
            if change.index <= self.index:
                continue
            changed = True
            if change.kind is ChangeKind.REMOVED:
                self._instances.pop(change.instance.key, None)
            else:
                self._instances[change.instance.key] = change.instance
        self.index = max(self.index, delta.index)
        return changed

    def _replace(self, view: View) -> bool:
        if view.index < self.index:
            raise OutOfStep(
                f"a view of {self.name!r} as of index {view.index}, but the copy is at "
                f"{self.index}; it is unchanged: ask another server, or call reset() if the "
                f"cluster was rebuilt"
            )
        instances = {instance.key: instance for instance in view.instances}
        changed = instances != self._instances
        self.index, self._instances = view.index, instances
        return changed


class KeyCache:
    """The keys under one prefix, as of `index`."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.index = 0
        """Ask for the updates after this one; 0: nothing is known yet."""
        self.contact = -inf
        """When the last update came, in seconds."""
        self._entries: dict[str, KeyValue] = {}

    def apply(self, update: KeyDelta, *, now: float) -> list[KeyChange]:
        """Take an update; return what changed in the copy, in the order of the indexes.

        What is known already is skipped, so an update may come twice.

        Raises:
            OutOfStep: the update is of another prefix, starts later than the copy ends, or is a
                whole older than the copy; the copy is unchanged.

        """
        if update.prefix != self.prefix:
            raise OutOfStep(f"an update of {update.prefix!r} for {self.prefix!r}; ignored")
        if update.index < self.index or (not update.whole and update.since > self.index):
            raise OutOfStep(
                f"keys under {self.prefix!r} from index {update.since} to {update.index}, but the "
                f"copy ends at {self.index}; it is unchanged: ask again from there, or call "
                f"reset() if the cluster was rebuilt"
            )
        entries = {entry.key: entry for entry in update.changed}
        changes = [
            KeyChange(entry.modify_index, entry.key, entry)
            for entry in update.changed
            if self._entries.get(entry.key) != entry
        ]
        gone = dict(update.deleted)
        if update.whole:
            gone = dict.fromkeys(self._entries.keys() - entries.keys(), update.index)
        changes += [KeyChange(at, key, None) for key, at in gone.items() if key in self._entries]
        for key in gone:
            self._entries.pop(key, None)
        self._entries |= entries
        self.index, self.contact = update.index, now
        return sorted(changes, key=lambda change: (change.index, change.key))

    def items(self) -> tuple[KeyValue, ...]:
        """Return the keys with their values, sorted by key."""
        return tuple(self._entries[key] for key in sorted(self._entries))

    def age(self, *, now: float) -> float:
        """Return how long ago, in seconds, the copy was known to be current; `inf`: never."""
        return now - self.contact

    def reset(self) -> None:
        """Forget everything: for a cluster that was rebuilt, whose indexes start anew."""
        self.index, self.contact = 0, -inf
        self._entries.clear()
