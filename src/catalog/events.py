"""User events: something told to all agents by gossip, each of which remembers the latest.

They are not in the log: an event costs no server anything, reaches everybody within a second or so,
and may be missed by an agent that is down for long. An event may be meant for some agents only:
those whose node, or whose services, match a pattern; the others pass it on and do not keep it.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from attrs import Attribute, field, frozen

from catalog.errors import ProtocolError
from catalog.limits import check_index, check_interval, check_name, check_text, seconds
from catalog.patterns import Pattern
from catalog.requests import WAIT_SECONDS_MAX, Request
from catalog.wire import dumps, loads

__all__ = ["EVENTS_MAX", "Event", "EventList", "Events", "FireEvent"]

EVENTS_MAX: Final = 256
"""Remembered by each agent: Consul's number."""


def _check_pattern(self: object, attribute: Attribute[Any], value: str) -> None:
    check_text(self, attribute, value)
    Pattern(value)


@frozen
class Event:
    """A user event, as an agent got it."""

    id: str
    """The same at every agent."""
    name: str
    payload: bytes
    node: str
    service: str
    tag: str
    clock: int
    """Lamport's: an event that was caused by another one has a later clock."""

    def to_payload(self) -> bytes:
        """Return what gossip carries beside the name and the clock."""
        return dumps([self.id, self.payload, self.node, self.service, self.tag])

    @classmethod
    def from_payload(cls, name: str, payload: bytes, clock: int) -> Event:
        """Read what `to_payload` wrote.

        Raises:
            ProtocolError: it is something else.

        """
        event_id, content, node, service, tag = loads(payload, tuple[str, bytes, str, str, str])
        try:
            FireEvent(name, content, node, service, tag)
        except (TypeError, ValueError) as error:
            raise ProtocolError(f"event {name!r:.80} makes no sense: {error}") from error
        return cls(event_id, name, content, node, service, tag, clock)


@frozen
class FireEvent(Request[Event]):
    """Tell all agents something, or those that the patterns are meant for.

    Name, payload and patterns have about 500 bytes together.
    """

    RESULT: ClassVar[Any] = Event
    REPEATABLE: ClassVar[bool] = False
    LOCAL: ClassVar[bool] = True

    name: str = field(validator=check_name)
    payload: bytes = b""
    node: str = field(default="", validator=_check_pattern)
    """A regular expression that is found in the names of the nodes it is meant for."""
    service: str = field(default="", validator=_check_pattern)
    """Likewise for services: it is meant for nodes that run such a one,"""
    tag: str = field(default="", validator=_check_pattern)
    """with such a tag."""

    def __attrs_post_init__(self) -> None:
        if self.tag and not self.service:
            raise ValueError("FireEvent: tag narrows service; give a service, too")


@frozen
class EventList:
    """The events that an agent remembers, oldest first."""

    events: tuple[Event, ...]
    index: int
    """Counts the events that this agent has got since it started."""


@frozen
class Events(Request[EventList]):
    """The latest events that were meant for the agent asked."""

    RESULT: ClassVar[Any] = EventList
    LOCAL: ClassVar[bool] = True

    name: str = field(default="", validator=check_text)
    """Only those of this name."""
    after: int | None = field(default=None, validator=check_index)
    """Wait until the index is another one; `None`: do not wait."""
    wait: float = field(default=WAIT_SECONDS_MAX, converter=seconds, validator=check_interval)
    """But no longer than so many seconds; then the answer is what there is."""

    @property
    def patience(self) -> float:
        """See `Request.patience`."""
        return 0.0 if self.after is None else self.wait
