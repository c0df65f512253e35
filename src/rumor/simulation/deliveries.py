"""Who heard which user event, and when; and that nobody hears one twice.

``Once``  no member delivers an event twice in one life, or one that nobody has said.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import define, field

from rumor.messages import EventKey, Name, Query, UserEvent
from rumor.simulation.invariants import Violation


@define
class Deliveries:
    """All that the members of one world delivered to their users."""

    times: dict[EventKey, list[float]] = field(factory=dict)
    """By event: when each delivery was; the first is the sender's own."""
    _heard: dict[Name, set[EventKey]] = field(factory=dict)  # asked for membership, never iterated

    def started(self, name: Name) -> None:
        """A member begins a life, having heard nothing."""
        self._heard[name] = set()

    def delivered(self, now: float, name: Name, told: UserEvent | Query) -> None:
        """A member gives something to its user."""
        key = told.key
        if key in self._heard[name]:
            raise Violation("Once", f"{name} delivers {key} again")
        if key not in self.times and told.origin != name:
            raise Violation("Once", f"{name} delivers {key}, which nobody said")
        self._heard[name].add(key)
        self.times.setdefault(key, []).append(now)

    def lacking(self, names: Iterable[Name], key: EventKey) -> Name | None:
        """The first of these members that has not heard it."""
        return next((name for name in names if key not in self._heard[name]), None)
