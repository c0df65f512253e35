"""One standing thread for blocking calls of a trio task.

`trio.to_thread.run_sync` costs some 75 µs a call beyond what the call takes; a thread that stands
ready costs 30 to 45 µs, which shows when a sync takes 50.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import TypeAlias, TypeVar

import outcome
import trio

T = TypeVar("T")

_Job: TypeAlias = Callable[[], None]


class Worker:
    """Runs jobs one after the other. The thread starts with the first job."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: Thread | None = None

    async def run(self, call: Callable[[], T]) -> T:
        """Call this in the thread; return or raise what it does.

        A call cannot be taken back: cancellation is noticed only after it has returned, by the
        caller's next checkpoint.
        """
        if self._thread is None:
            self._thread = Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        task = trio.lowlevel.current_task()
        token = trio.lowlevel.current_trio_token()

        def job() -> None:
            result = outcome.capture(call)
            with suppress(trio.RunFinishedError):  # the loop is gone, and with it whoever waited
                token.run_sync_soon(trio.lowlevel.reschedule, task, result)

        self._jobs.put(job)
        result: T = await trio.lowlevel.wait_task_rescheduled(_cannot_cancel)
        return result

    def close(self) -> None:
        """Let the thread end after the jobs that it has."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread = None

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


def _cannot_cancel(_: object) -> trio.lowlevel.Abort:
    return trio.lowlevel.Abort.FAILED
