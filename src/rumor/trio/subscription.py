"""Subscriptions: events for one reader, bounded, and honest about what was lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Self

import trio

from rumor.trio.view import AgentEvent, EventsLost


class Subscription:
    """An asynchronous iterator over events; it ends when the agent closes.

    It begins with the members as they stand, and the user events that are remembered. A reader
    that falls behind by more than `events_max` events first gets those that were kept, then one
    :class:`~rumor.trio.view.EventsLost`, then what happens from there on.
    """

    def __init__(self, first: Iterable[AgentEvent], events_max: int) -> None:
        self._events: deque[AgentEvent] = deque(first)
        self._events_max = len(self._events) + events_max
        self._lost = 0
        self._closed = False
        self._bell = trio.Event()

    def put_nowait(self, event: AgentEvent) -> None:
        """Add an event, or count it as lost."""
        if self._lost or len(self._events) >= self._events_max:
            self._lost += 1
        else:
            self._events.append(event)
        self._bell.set()

    def close(self) -> None:
        """Let the reader end after what it has not read yet."""
        self._closed = True
        self._bell.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AgentEvent:
        """Wait for the next event."""
        await trio.lowlevel.checkpoint()
        while True:
            if self._events:
                return self._events.popleft()
            if self._lost:
                lost, self._lost = self._lost, 0
                return EventsLost(lost)
            if self._closed:
                raise StopAsyncIteration
            self._bell = trio.Event()
            await self._bell.wait()
