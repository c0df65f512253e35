"""The table of keys and values.

Every key carries the index of the entry that last changed it.
A reader that waits on a key, or on all keys under a prefix, waits for an index to grow; so the
index of what is *not there* must grow too when something is deleted, or a deletion would go
unseen.
Therefore a deleted key leaves a tombstone: its name, and the index of its deletion.

Consul sweeps tombstones by age, and the index of a list can then go back.
Here the oldest go when there are too many, and the highest index of any that went (`reaped_index`)
is a lower bound of every index from then on: an index never goes back, at the price of one
needless wake-up.
Consul also answers for an absent key with the index of the whole table, so that every write to
any key wakes whoever waits for one to appear; here an absent key has the index of its tombstone.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator

from attrs import Factory, define, evolve

from catalog.commands import DeleteKey, PutKey, Reason, Refusal
from catalog.model import KeyValue
from catalog.registry.image import KeysImage

__all__ = ["TOMBSTONES_MAX", "KeyTable"]

TOMBSTONES_MAX = 4096
"""Deleted keys that are remembered; more make fewer needless wake-ups, and slower lists."""


@define
class KeyTable:
    """Keys by name, their order, and the tombstones of those deleted."""

    reaped_index: int = 0
    _entries: dict[str, KeyValue] = Factory(dict)
    _order: list[str] = Factory(list)
    """The keys, sorted: a prefix is a slice."""
    _tombstones: dict[str, int] = Factory(dict)
    """Oldest first."""

    def put(self, command: PutKey, index: int) -> Reason | dict[str, int]:
        """Write a key; return what changed, or why not."""
        key, old = command.key, self._entries.get(command.key)
        if command.cas is not None and command.cas != (old.modify_index if old else 0):
            return _conflict(command.cas, key, old)
        if old is None:
            self._tombstones.pop(key, None)
            insort(self._order, key)
            self._entries[key] = KeyValue(key, command.value, command.flags, index, index)
        elif (old.value, old.flags) == (command.value, command.flags):
            return {}
        else:
            self._entries[key] = evolve(
                old, value=command.value, flags=command.flags, modify_index=index
            )
        return {key: index}

    def delete(self, command: DeleteKey, index: int) -> Reason | dict[str, int]:
        """Delete a key, or all keys under a prefix; return what changed, or why not."""
        if command.recurse:
            low, high = self._range(command.key)
            gone = self._order[low:high]
        else:
            old = self._entries.get(command.key)
            if old is None:
                return {}
            if command.cas is not None and command.cas != old.modify_index:
                return _conflict(command.cas, command.key, old)
            low = bisect_left(self._order, command.key)
            high = low + 1
            gone = [command.key]
        del self._order[low:high]
        for key in gone:
            del self._entries[key]
            self._tombstones[key] = index
        while len(self._tombstones) > TOMBSTONES_MAX:
            oldest = next(iter(self._tombstones))
            self.reaped_index = self._tombstones.pop(oldest)
        return dict.fromkeys(gone, index)

    def get(self, key: str) -> KeyValue | None:
        """Return a key with its value."""
        return self._entries.get(key)

    def index(self, key: str) -> int:
        """Return the index of the key's last change, deletion included."""
        entry = self._entries.get(key)
        if entry is not None:
            return entry.modify_index
        return self._tombstones.get(key, self.reaped_index)

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

    def image(self) -> KeysImage:
        """Return all that this table is, in canonical order."""
        return KeysImage(self.items(""), tuple(self._tombstones.items()), self.reaped_index)

    @classmethod
    def from_image(cls, image: KeysImage) -> KeyTable:
        """Return the table that made this image."""
        entries = {entry.key: entry for entry in image.entries}
        return cls(image.reaped_index, entries, sorted(entries), dict(image.tombstones))

    def _range(self, prefix: str) -> tuple[int, int]:
        """Return where the keys under a prefix begin and end in the order."""
        low = bisect_left(self._order, prefix)
        # Cut to the length of the prefix, sorted strings stay sorted.
        high = bisect_left(self._order, True, lo=low, key=lambda key: key[: len(prefix)] != prefix)
        return low, high

    def _indexes(self, prefix: str) -> Iterator[int]:
        yield self.reaped_index
        yield from (entry.modify_index for entry in self.items(prefix))
        yield from (index for key, index in self._tombstones.items() if key.startswith(prefix))


def _conflict(cas: int, key: str, old: KeyValue | None) -> Reason:
    found = f"is at index {old.modify_index}" if old else "does not exist"
    return Refusal.CONFLICT, (
        f"key {key!r} {found}, the caller compared with {cas}; it is unchanged: read it again and "
        f"decide anew"
    )
