"""User events at one agent: fired into gossip, and those remembered that it was meant for."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from uuid import UUID

import trio

import rumor
from catalog.errors import Busy, ProtocolError
from catalog.events import EVENTS_MAX, Event, EventList, Events, FireEvent
from catalog.model import Service
from catalog.patterns import Pattern
from rumor.messages import UserEvent

__all__ = ["Happenings"]

log = logging.getLogger("catalog")


class Happenings:
    """The latest events; it follows gossip."""

    def __init__(
        self,
        gossip: rumor.Agent,
        services: Callable[[], Mapping[str, Service]],
        draw_id: Callable[[], UUID],
    ) -> None:
        self._gossip = gossip
        self._services = services
        self._draw_id = draw_id
        self._events: deque[Event] = deque(maxlen=EVENTS_MAX)
        self._index = 0
        self._bell = trio.Event()

    async def fire(self, request: FireEvent) -> Event:
        """Tell all agents.

        Raises:
            ValueError: it is too big; nobody was told.
            Busy: too many events wait to be passed on; nobody was told.

        """
        event = Event(
            str(self._draw_id()),
            request.name,
            request.payload,
            request.node,
            request.service,
            request.tag,
            0,
        )
        try:
            await self._gossip.broadcast(event.name, event.to_payload())
        except rumor.EventTooLarge as error:
            raise ValueError(f"the event is too big: {error}") from error
        except rumor.Overloaded as error:
            raise Busy(str(error)) from error
        return event

    async def list(self, request: Events) -> EventList:
        """Return the events of a name, or of all, once the index is another than `after`."""
        if request.after is not None:
            with trio.move_on_after(request.wait):
                while self._index == request.after:
                    await self._bell.wait()
        found = (event for event in self._events if request.name in ("", event.name))
        return EventList(tuple(found), self._index)

    async def run(self) -> None:
        """Follow gossip, for ever."""
        async with self._gossip.subscribe() as news:
            async for one in news:
                if isinstance(one, UserEvent):
                    self._take(one)

    def _take(self, told: UserEvent) -> None:
        try:
            event = Event.from_payload(told.name, told.payload, told.clock)
        except ProtocolError as error:
            log.warning("a user event of %r is left out: %s", told.origin, error)
            return
        if self._is_meant(event):
            self._events.append(event)
            self._index += 1
            self._bell.set()
            self._bell = trio.Event()

    def _is_meant(self, event: Event) -> bool:
        if event.node and not Pattern(event.node).found_in(self._gossip.name):
            return False
        if not event.service:
            return True
        service, tag = Pattern(event.service), Pattern(event.tag)
        return any(
            service.found_in(one.name) and (not event.tag or any(map(tag.found_in, one.tags)))
            for one in self._services().values()
        )
