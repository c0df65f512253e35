"""What has happened since the core was last stepped: many put, one takes, and takes all.

Batching is not a setting here but a consequence: while the loop is busy, or while it yields once
before it takes, everybody else adds to the same batch. There is no limit of its own: readers bring
one chunk per turn of trio's scheduler, and the loop takes one batch per turn.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

import trio

from quorum.events import Event


class Inbox:
    """Events for one core, in order of arrival."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._news = False
        self._taker: trio.lowlevel.Task | None = None

    def put(self, event: Event) -> None:
        """Add an event and wake the taker."""
        self._events.append(event)
        self.wake()

    def extend(self, events: Iterable[Event]) -> None:
        """Add events, in order, and wake the taker."""
        self._events.extend(events)
        self.wake()

    def wake(self) -> None:
        """Say that there is something to do, in here or elsewhere."""
        self._news = True
        if self._taker is not None:
            trio.lowlevel.reschedule(self._taker)
            self._taker = None

    async def wait(self, deadline: float) -> None:
        """Sleep until there is news or the deadline (by trio's clock) has come.

        With news already there it yields once, so that others can add theirs to the same batch.
        """
        if self._news or deadline <= trio.current_time():
            await trio.lowlevel.checkpoint()
        elif deadline == inf:
            await self._sleep()
        else:
            with trio.CancelScope(deadline=deadline):
                await self._sleep()

    def take(self) -> list[Event]:
        """Take everything; never waits."""
        events, self._events = self._events, []
        self._news = False
        return events

    async def _sleep(self) -> None:
        def abort(_: object) -> trio.lowlevel.Abort:
            self._taker = None
            return trio.lowlevel.Abort.SUCCEEDED

        self._taker = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(abort)
