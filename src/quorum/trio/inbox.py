"""What has happened since the core was last stepped: many put, one takes, and takes all.

Batching is not a setting here but a consequence: while the loop is busy, or while it yields once
before it takes, everybody else adds to the same batch. There is no limit of its own: readers bring
one chunk per turn of trio's scheduler, and the loop takes one batch per turn.

A cancel scope for every wait would be a sixth of what a lone proposal costs, so there is one
alarm, in a task of its own. Deadlines mostly move away: then it rings for nothing now and then.
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
        self._deadline = inf
        self._alarm = trio.CancelScope()

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
        The deadline needs `run`.
        """
        if self._news or deadline <= trio.current_time():
            await trio.lowlevel.checkpoint()
            return
        self._deadline = deadline
        if deadline < self._alarm.deadline:  # noqa: PLR1730 - to set it takes a while
            self._alarm.deadline = deadline
        await self._sleep()

    async def run(self) -> None:
        """Wake the taker when its deadline has come, until cancelled."""
        while True:
            with trio.CancelScope(deadline=self._deadline) as self._alarm:
                await trio.sleep_forever()
            if self._deadline <= trio.current_time():
                self._deadline = inf
                self.wake()

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
