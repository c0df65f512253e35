"""Processes in virtual time: each is a trio loop of its own, with a clock of its own.

trio's `MockClock` would do for one process. Here are several, and each must be able to stand still
while the others go on, to wake up late to the mail that came meanwhile, and to have a clock that
runs fast, or has jumped. So each process is its own run of trio, and the world (`world`) hands them
time: `resume` lets one run until all its tasks wait, and says when the first of them wants to be
woken.

Two things make a run the same whenever it is repeated. The order of tasks that may run is drawn
from a generator that the world seeds; and what would go to a thread is done on the spot.

trio has no public way to do this. What is used of its inner life is in this file, and no more than
pytest-trio and trio's own guest mode use.
"""

from __future__ import annotations

import contextvars
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from math import inf
from typing import Any

import trio
from attrs import define
from outcome import Error
from trio._core import _instrumentation, _ki, _run

__all__ = ["Clock", "Process", "deterministic"]

ROUNDS_MAX = 10_000
"""Rounds of a loop in which no time passes before the process is said to spin."""


@define
class Clock(trio.abc.Clock):
    """A process' monotonic clock: it begins anywhere, runs a little fast or slow, and may jump."""

    true: Callable[[], float]
    """The world's time, in seconds."""
    offset: float = 0.0
    rate: float = 1.0

    def start_clock(self) -> None:
        """See `trio.abc.Clock`."""

    def current_time(self) -> float:
        """See `trio.abc.Clock`."""
        return self.offset + self.rate * self.true()

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """See `trio.abc.Clock`; in seconds of this clock."""
        return deadline - self.current_time()


class Process:
    """One process: a main task, mail from outside, and a clock."""

    def __init__(self, main: Callable[[Process], Awaitable[None]], clock: Clock) -> None:
        self.clock = clock
        self.failure: BaseException | None = None
        """What the main task raised."""
        self._main = main
        self._mail: deque[Callable[[], object]] = deque()
        self._bell: trio.Event | None = None
        self._scope = trio.CancelScope()
        self._nursery: trio.Nursery | None = None
        self._runner = _run.Runner(
            clock=clock,
            instruments=_instrumentation.Instruments(()),
            io_manager=getattr(_run, "TheIOManager")(),  # noqa: B009 - of this platform
            system_context=contextvars.copy_context(),
            ki_manager=_ki.KIManager(),
            strict_exception_groups=True,
        )
        self._runner.asyncgens.prev_hooks = sys.get_asyncgen_hooks()
        self._loop: Generator[float, Any, None] | None = _run.unrolled_run(
            self._runner, self._run, (), host_uses_signal_set_wakeup_fd=True
        )
        self._first = True

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._loop is not None

    @property
    def nursery(self) -> trio.Nursery:
        """Where what arrives may start tasks; they end with the process."""
        assert self._nursery is not None, "the process runs"
        return self._nursery

    def post(self, act: Callable[[], object]) -> None:
        """Have something done in this process when it next runs."""
        self._mail.append(act)

    def resume(self) -> float:
        """Run until all tasks wait; return for how many seconds of its clock they may sleep."""
        if self._loop is None:
            return inf
        context = _run.GLOBAL_RUN_CONTEXT
        context.runner = self._runner
        try:
            if self._first:
                self._first = False
                next(self._loop)
            if self._mail and self._bell is not None:
                self._bell.set()
            events: Any = []
            for _ in range(ROUNDS_MAX):
                seconds = self._loop.send(events)
                events = self._runner.io_manager.get_events(0)  # trio wakes itself by a socket
                if seconds > 0 and not events:
                    return seconds
            raise AssertionError("the process works on and on, and no time passes")
        except StopIteration:
            self._loop = None
            outcome = self._runner.main_task_outcome
            self.failure = outcome.error if isinstance(outcome, Error) else None
            return inf
        finally:
            context.__dict__.clear()

    def kill(self) -> None:
        """End it; nothing that it does from now on may have an effect outside."""
        self._mail.clear()
        self.post(self._scope.cancel)
        while self.running:
            seconds = self.resume()
            self.clock.offset += 0.0 if seconds == inf else seconds  # whatever is shielded ends

    async def _run(self) -> None:
        with self._scope:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._read_mail)
                await self._main(self)
                nursery.cancel_scope.cancel()

    async def _read_mail(self) -> None:
        while True:
            self._bell = trio.Event()
            while self._mail:
                self._mail.popleft()()
            await self._bell.wait()


def _in_place(call: Callable[..., Any], *arguments: Any, **_options: Any) -> Any:
    """Do what would be done in a thread."""

    async def do() -> Any:
        await trio.lowlevel.checkpoint()
        return call(*arguments)

    return do()


def _at_once(call: Callable[..., Any], *arguments: Any, **_options: Any) -> Any:
    """Do for a thread what it asks of the loop; it must not wait."""
    try:
        call(*arguments).send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError(f"{call} waited, in a simulation in which nothing may")


@contextmanager
def deterministic(seed: int) -> Iterator[None]:
    """Have loops do the same in each run with this seed, for as long as the block lasts."""
    state, sorts = _run._r.getstate(), _run._ALLOW_DETERMINISTIC_SCHEDULING  # noqa: SLF001
    to_thread, from_thread = trio.to_thread.run_sync, trio.from_thread.run
    threads: list[tuple[Any, str, Any]] = [
        (trio.to_thread, "run_sync", _in_place),
        (trio.from_thread, "run", _at_once),
        (_run, "_ALLOW_DETERMINISTIC_SCHEDULING", True),
    ]
    for module, name, ours in threads:
        setattr(module, name, ours)
    _run._r.seed(seed)  # noqa: SLF001
    try:
        yield
    finally:
        trio.to_thread.run_sync, trio.from_thread.run = to_thread, from_thread
        setattr(_run, "_ALLOW_DETERMINISTIC_SCHEDULING", sorts)  # noqa: B010 - it is final
        _run._r.setstate(state)  # noqa: SLF001
