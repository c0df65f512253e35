"""The registry with a bell for each service: whoever waits for news of one is woken by its own."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from catalog.commands import Applied
from catalog.registry import Registry
from quorum.messages import Entries

__all__ = ["WatchedRegistry"]


class WatchedRegistry(Registry):
    """A registry that wakes who waits; readers and the machine run in one trio loop."""

    def __init__(self) -> None:
        super().__init__()
        self._bells: dict[str, trio.Event] = {}

    def apply(self, entries: Entries) -> Sequence[Applied]:
        """See `Registry.apply`."""
        answers = super().apply(entries)
        self._ring()
        return answers

    def restore(self, snapshot: bytes) -> None:
        """See `Registry.restore`."""
        super().restore(snapshot)
        self._ring()

    async def wait_change(self, name: str) -> None:
        """Wait until anything about a service changes from now on."""
        bell = self._bells.setdefault(name, trio.Event())
        try:
            await bell.wait()
        finally:
            # The last one who leaves an unrung bell takes it down: names must not pile up.
            if self._bells.get(name) is bell and bell.statistics().tasks_waiting == 0:
                del self._bells[name]

    def _ring(self) -> None:
        touched = self.drain()
        for name in list(self._bells) if touched.everything else touched.services:
            bell = self._bells.pop(name, None)
            if bell is not None:
                bell.set()
