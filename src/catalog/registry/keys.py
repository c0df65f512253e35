"""The table of keys and values.

Every key carries the index of the entry that last changed it.
A reader that waits on a key, or on all keys under a prefix, waits for an index to grow; so the
index of what is *not there* must grow too when something is deleted, or a deletion would go
unseen.
Therefore a deleted key leaves a tombstone: its name, and the index of its deletion.

Tombstones are swept when they are old (by the clock of the log) or too many, the oldest first.
In Consul the index of a list can then go back. Here the highest index of any that went
(`swept_index`) is a lower bound of every index from then on: an index never goes back, at the price
of one needless answer to who had waited for long.
Consul also answers for an absent key with the index of the whole table, so that every write to
any key wakes whoever waits for one to appear; here an absent key has the index of its tombstone.

A tombstone keeps the key's lock index as well, and the sweep the highest of them: so a key that is
deleted and made anew goes on counting, and a fencing token never comes twice.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator

from attrs import Factory, define

from catalog.answers import Reason
from catalog.commands import DeleteKey, PutKey
from catalog.model import KeyDelta, KeyValue
from catalog.registry.image import KeysImage, Tombstone
from catalog.registry.refusals import conflict

__all__ = ["TOMBSTONES_MAX", "TOMBSTONE_MS", "KeyTable"]

TOMBSTONES_MAX = 4096
"""Deleted keys that are remembered; more make fewer needless answers, and slower lists."""
TOMBSTONE_MS = 15 * 60 * 1000
"""How long, by the clock of the log; Consul's."""
MANY = 64


@define
class KeyTable:
    """Keys by name, their order, who holds which, and the tombstones of those deleted."""

    swept_index: int = 0
    swept_lock: int = 0
    _entries: dict[str, KeyValue] = Factory(dict)
    _order: list[str] = Factory(list)
    """The keys, sorted: a prefix is a slice."""
    _held: dict[str, dict[str, None]] = Factory(dict)
    """Keys by the session that holds them."""
    _tombstones: dict[str, Tombstone] = Factory(dict)
    """Oldest first."""
    _before: dict[str, KeyValue | None] = Factory(dict)
    """Keys that the current entry touched, as they were before it."""
    _gone: dict[str, int] = Factory(dict)
    """Keys that the current entry deleted, with their lock indexes."""

    # Writes: each returns None, or why not.

    def put(self, command: PutKey, index: int) -> Reason | None:
        """Write a key."""
        key, old = command.key, self._entries.get(command.key)
        found = 0 if old is None else old.modify_index
        if command.cas not in (None, found):
            return conflict(f"key {key!r}", command.cas, found)
        self.write(key, command.value, command.flags, index)
        return None

    def write(
        self,
        key: str,
        value: bytes,
        flags: int,
        index: int,
        *,
        session: str | None = None,
        lock_index: int | None = None,
    ) -> None:
        """Write a key; `None`: who holds it, and how often it was acquired, stays."""
        old = self._entries.get(key)
        created = index
        if old is not None:
            created = old.create_index
            session = old.session if session is None else session
            lock_index = old.lock_index if lock_index is None else lock_index
            if (value, flags, session) == (old.value, old.flags, old.session):
                return
        elif lock_index is None:
            lock_index = self._past_lock(key)
        self._set(KeyValue(key, value, flags, created, index, lock_index or 0, session or ""))

    def next_lock(self, key: str) -> int:
        """Return the lock index of the next holder: higher than any that the key ever had."""
        old = self._entries.get(key)
        last = self._past_lock(key) if old is None else old.lock_index
        return (last or self.swept_lock) + 1

    def delete(self, command: DeleteKey) -> Reason | None:
        """Delete a key, or all keys under a prefix."""
        if command.recurse:
            low, high = self._range(command.key)
            gone = self._order[low:high]
            del self._order[low:high]
            for key in gone:
                self._forget(key)
            return None
        old = self._entries.get(command.key)
        if old is None:
            return None
        if command.cas not in (None, old.modify_index):
            return conflict(f"key {command.key!r}", command.cas, old.modify_index)
        self.remove(command.key)
        return None

    def remove(self, key: str) -> None:
        """Delete a key that is there."""
        del self._order[bisect_left(self._order, key)]
        self._forget(key)

    # Ends of entries.

    def commit(self, index: int, stamp: int) -> dict[str, KeyValue | None]:
        """End an entry: return the keys that it touched, as they were before it."""
        before = self._before
        if before:
            self._before = {}
            for key, old in before.items():
                self._tombstones.pop(key, None)
                lock = self._gone.get(key, 0)
                if key not in self._entries and (old is not None or lock):
                    self._tombstones[key] = Tombstone(index, stamp, lock)
            self._gone.clear()
        self._sweep(stamp)
        return before

    def rollback(self) -> None:
        """Put back what the current entry touched."""
        before, self._before = self._before, {}
        many = len(before) > MANY
        for key, old in before.items():
            if key in self._entries:
                self._forget(key)
                if not many:
                    del self._order[bisect_left(self._order, key)]
            if old is not None:
                self._enter(old)
                if not many:
                    insort(self._order, key)
        if many:
            self._order = sorted(self._entries)
        self._before.clear()
        self._gone.clear()

    # Reads.

    def get(self, key: str) -> KeyValue | None:
        """Return a key with its value."""
        return self._entries.get(key)

    def index(self, key: str) -> int:
        """Return the index of the key's last change, deletion included."""
        entry = self._entries.get(key)
        if entry is not None:
            return entry.modify_index
        tombstone = self._tombstones.get(key)
        return self.swept_index if tombstone is None else tombstone.index

    def keys(self, prefix: str) -> tuple[str, ...]:
        """Return the keys under a prefix, sorted."""
        low, high = self._range(prefix)
        return tuple(self._order[low:high])

    def items(self, prefix: str) -> tuple[KeyValue, ...]:
        """Return the keys under a prefix with their values, sorted."""
        return tuple(map(self._entries.__getitem__, self.keys(prefix)))

    def prefix_index(self, prefix: str) -> int:
        """Return the index of the last change under a prefix, deletions included."""
        return max(self._indexes(prefix))

    def held(self, session: str) -> tuple[str, ...]:
        """Return the keys that a session holds, sorted."""
        return tuple(sorted(self._held.get(session, ())))

    def update(self, prefix: str, after: int | None, index: int) -> KeyDelta:
        """Return what changed under a prefix after an index; all there is if that is forgotten.

        Args:
            prefix: which keys.
            after: what the asker has; `None`: nothing.
            index: of the last entry applied, and so of the answer.

        """
        items = self.items(prefix)
        if after is None or after < self.swept_index:
            return KeyDelta(after or 0, index, prefix, items, whole=True)
        changed = [entry for entry in items if entry.modify_index > after]
        deleted = [
            (key, tombstone.index)
            for key, tombstone in self._tombstones.items()
            if tombstone.index > after and key.startswith(prefix)
        ]
        changed.sort(key=lambda entry: entry.modify_index)
        return KeyDelta(after, max(after, index), prefix, tuple(changed), tuple(deleted))

    # Snapshots.

    def image(self) -> KeysImage:
        """Return all that this table is, in canonical order."""
        tombstones = tuple(self._tombstones.items())
        return KeysImage(self.items(""), tombstones, self.swept_index, self.swept_lock)

    @classmethod
    def from_image(cls, image: KeysImage) -> KeyTable:
        """Return the table that made this image."""
        table = cls(image.swept_index, image.swept_lock, tombstones=dict(image.tombstones))
        for entry in image.entries:
            table._enter(entry)
        table._order = sorted(table._entries)
        return table

    # The few ways in which the table changes.

    def _set(self, entry: KeyValue) -> None:
        old = self._entries.get(entry.key)
        self._before.setdefault(entry.key, old)
        if old is None:
            insort(self._order, entry.key)
        elif old.session and old.session != entry.session:
            self._let_go(old)
        self._enter(entry)

    def _enter(self, entry: KeyValue) -> None:
        self._entries[entry.key] = entry
        if entry.session:
            self._held.setdefault(entry.session, {})[entry.key] = None

    def _forget(self, key: str) -> None:
        old = self._entries.pop(key)
        self._before.setdefault(key, old)
        self._gone[key] = old.lock_index
        if old.session:
            self._let_go(old)

    def _let_go(self, old: KeyValue) -> None:
        held = self._held[old.session]
        del held[old.key]
        if not held:
            del self._held[old.session]

    def _past_lock(self, key: str) -> int:
        """Return the lock index that an absent key had, as far as it is remembered."""
        tombstone = self._tombstones.get(key)
        return self._gone.get(key, 0 if tombstone is None else tombstone.lock_index)

    def _sweep(self, stamp: int) -> None:
        while self._tombstones:
            oldest = next(iter(self._tombstones))
            tombstone = self._tombstones[oldest]
            if len(self._tombstones) <= TOMBSTONES_MAX and stamp - tombstone.stamp < TOMBSTONE_MS:
                return
            del self._tombstones[oldest]
            self.swept_index = tombstone.index
            self.swept_lock = max(self.swept_lock, tombstone.lock_index)

    def _range(self, prefix: str) -> tuple[int, int]:
        """Return where the keys under a prefix begin and end in the order."""
        low = bisect_left(self._order, prefix)
        # Cut to the length of the prefix, sorted strings stay sorted.
        high = bisect_left(self._order, True, lo=low, key=lambda key: key[: len(prefix)] != prefix)
        return low, high

    def _indexes(self, prefix: str) -> Iterator[int]:
        yield self.swept_index
        yield from (entry.modify_index for entry in self.items(prefix))
        yield from (
            tombstone.index for key, tombstone in self._tombstones.items() if key.startswith(prefix)
        )
