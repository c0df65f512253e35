"""The inbox: what happened since the core was last called, and a bell."""

from __future__ import annotations

import trio
from attrs import define, field

from rumor.events import Event


@define
class Inbox:
    """Events for the core. Whoever takes, takes all; one task waits.

    It needs no limit of its own: each event in it stands for an exchange under way, and those
    are limited.
    """

    _events: list[Event] = field(factory=list)
    _bell: trio.Event = field(factory=trio.Event)

    def put(self, event: Event) -> None:
        """Add an event and ring."""
        self._events.append(event)
        self.ring()

    def ring(self) -> None:
        """Wake the waiting task: there is an event, or a datagram, or an earlier deadline."""
        self._bell.set()

    async def wait(self) -> None:
        """Wait until somebody has rung since the last wait."""
        await self._bell.wait()
        self._bell = trio.Event()

    def take(self) -> list[Event]:
        """Take all events, the oldest first."""
        events, self._events = self._events, []
        return events
