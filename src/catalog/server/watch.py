"""The registry with a bell for each topic: whoever waits for news of one is woken by its own.

A waiter costs a bell for each topic it waits for, and nothing more until one is touched. A key that
changed rings for itself and for each prefix of it that somebody waits for; of the lengths that such
prefixes have there are few, so this takes a few look-ups whatever the number of waiters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import trio

from catalog.answers import Applied
from catalog.registry import Registry, Topic
from catalog.registry.tables import Tables
from quorum.messages import Entries

__all__ = ["WatchedRegistry"]


class WatchedRegistry(Registry):
    """A registry that wakes who waits; readers and the machine run in one trio loop."""

    def __init__(self) -> None:
        super().__init__()
        self.restored = 0
        """Counts the snapshots restored: after one, an index may be lower than before."""
        self._bells: dict[Topic, dict[trio.Event, None]] = {}
        self._prefix_lengths: Counter[int] = Counter()

    def apply(self, entries: Entries) -> Sequence[Applied]:
        """See `Registry.apply`."""
        answers = super().apply(entries)
        self._ring()
        return answers

    def _put_in_place(self, tables: Tables, applied: int, clock: int) -> None:
        super()._put_in_place(tables, applied, clock)
        self.restored += 1
        self._ring()

    async def wait_change(self, *topics: Topic) -> None:
        """Wait until anything about one of these topics changes from now on."""
        bell = trio.Event()
        for topic in topics:
            self._hang(topic, bell)
        try:
            await bell.wait()
        finally:
            for topic in topics:
                self._take_down(topic, bell)

    def _hang(self, topic: Topic, bell: trio.Event) -> None:
        if topic not in self._bells:
            self._bells[topic] = {}
            if topic[0] == "prefix":
                self._prefix_lengths[len(topic[1])] += 1
        self._bells[topic][bell] = None

    def _take_down(self, topic: Topic, bell: trio.Event) -> None:
        bells = self._bells[topic]
        del bells[bell]
        if not bells:
            del self._bells[topic]
            if topic[0] == "prefix":
                length = len(topic[1])
                self._prefix_lengths[length] -= 1
                if not self._prefix_lengths[length]:
                    del self._prefix_lengths[length]

    def _ring(self) -> None:
        touched = self.drain()
        if not self._bells:
            return
        for topic in list(self._bells) if touched.everything else touched.topics:
            self._ring_for(topic)
            if topic[0] == "key":
                for length in self._prefix_lengths:
                    if length <= len(topic[1]):
                        self._ring_for(("prefix", topic[1][:length]))

    def _ring_for(self, topic: Topic) -> None:
        for bell in self._bells.get(topic, ()):
            bell.set()
