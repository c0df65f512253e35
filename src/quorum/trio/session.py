"""The client's side of a session: ask until there is an answer, and have it happen once.

async with open_session(propose) as session:
    await session.propose(b"...")

A command gets a number when it is first tried and keeps it through all tries; the machine
(`quorum.sessions`) applies each number once. So it is safe to try again whatever the error said,
and a caller is told only of errors that no other try can mend.

A word from time to time keeps an idle session alive. It is due when a third of the time to live has
passed since the last word that is known to have arrived, which leaves time for some tries to fail.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from math import inf
from random import Random
from typing import Any, Final, TypeAlias

import trio

from quorum.envelope import (
    UINT_MAX,
    close_request,
    command_request,
    keep_alive_request,
    open_request,
)
from quorum.errors import (
    CommandFailed,
    ConfigError,
    Indeterminate,
    NotLeader,
    Overloaded,
    SessionExpired,
    Stopped,
    Superseded,
)
from quorum.machine import Failed
from quorum.sessions import EXPIRED

log = logging.getLogger("quorum")

Propose: TypeAlias = Callable[[bytes], Awaitable[Any]]
"""One try to have a command applied, at whatever server is believed to lead."""

BACKOFF_MIN: Final = 0.01
"""Seconds before the second try; doubled for each that follows."""

BACKOFF_MAX: Final = 1.0
"""Seconds between tries, at most."""

CLOSE_SECONDS: Final = 1.0
"""How long leaving the block may take for the sake of telling the machine."""


class Session:
    """An open session. Made by `open_session`; may be used from any task of the block.

    Commands of different tasks are under way together, and happen in any order; those of one task
    that awaits each happen in its order.
    """

    def __init__(
        self, propose: Propose, opened: tuple[int, int, int], heard: float, random: Random
    ) -> None:
        self.id, ttl_ms, self._window = opened
        self.ttl = ttl_ms / 1000
        """Seconds without a word after which the session ends."""
        self.expired = False
        """Whether the machine has said that the session has ended."""
        self._propose = propose
        self._heard = heard
        self._random = random
        self._next = 1
        self._under_way: dict[int, None] = {}
        """Sequence numbers whose callers wait for a result, lowest first."""
        self._room = trio.lowlevel.ParkingLot()

    async def propose(self, command: bytes) -> Any:
        """Have a command applied once; return its result.

        `NotLeader`, `Overloaded`, `Superseded`, `Indeterminate` and `Stopped` lead to another try,
        after a pause, for as long as the caller's cancel scope allows. A caller that is cancelled,
        or gets an error that is not of this list, gives the command up: it has happened once, or
        may yet, or never will, but not twice.

        Raises:
            CommandFailed: it was applied, and the machine answered with an error.
            SessionExpired: the session has ended; its text says what became of the command.

        """
        while self._next - self._below >= self._window:
            await self._room.park()
        sequence = self._next
        self._next += 1
        self._under_way[sequence] = None
        try:
            return await self._insist(sequence, command)
        finally:
            del self._under_way[sequence]
            free = self._window - (self._next - self._below)
            self._room.unpark(count=max(0, free))

    @property
    def _below(self) -> int:
        """All numbers before this are settled, or given up: nobody waits for their results."""
        return next(iter(self._under_way), self._next)

    async def _insist(self, sequence: int, command: bytes) -> Any:
        in_doubt = False
        for pause in _pauses(self._random):
            if self.expired:
                raise _ended(self.id, in_doubt=in_doubt)
            try:
                return await self._ask(command_request(self.id, sequence, self._below, command))
            except (Indeterminate, Stopped):
                in_doubt = True
            except (NotLeader, Overloaded, Superseded):
                pass
            except SessionExpired:
                raise _ended(self.id, in_doubt=in_doubt) from None
            await trio.sleep(pause)
        raise AssertionError("pauses do not end")

    async def _ask(self, request: bytes) -> Any:
        """One try. What was answered is known to have been heard after the request was made."""
        asked = trio.current_time()
        try:
            result = await _settled(self._propose, request)
        except CommandFailed as error:
            if EXPIRED.reason in str(error):
                self.expired = True
                raise _ended(self.id, in_doubt=False) from None
            self._heard = max(self._heard, asked)
            raise
        self._heard = max(self._heard, asked)
        return result

    async def stay(self) -> None:
        """Keep the session alive until it has ended; never raise."""
        pauses = _pauses(self._random)
        while not self.expired:
            due = self._heard + self.ttl / 3
            if trio.current_time() < due:
                await trio.sleep_until(due)
                continue
            try:
                with trio.move_on_after(self.ttl / 3):
                    await self._ask(keep_alive_request(self.id, self._below))
                    pauses = _pauses(self._random)
            except Exception as error:  # noqa: BLE001 - if it stays like that, the session ends
                log.debug("session %d could not be kept alive just now: %s", self.id, error)
            await trio.sleep(min(next(pauses), self.ttl / 3))

    async def close(self) -> None:
        """Tell the machine, if it can be reached at once; otherwise the session will expire."""
        if self.expired:
            return
        self.expired = True
        with trio.move_on_after(CLOSE_SECONDS, shield=True):
            try:
                await self._propose(close_request(self.id))
            except Exception as error:  # noqa: BLE001 - its time to live ends it
                log.debug("session %d could not be closed, it will expire: %s", self.id, error)


@asynccontextmanager
async def open_session(
    propose: Propose, *, ttl: float | None = None, random: Random | None = None
) -> AsyncIterator[Session]:
    """Open a session for as long as the `async with` block.

    Args:
        propose: makes one try at a server that runs `quorum.Sessions`, and returns the result or
            raises this library's errors, as `Server.propose` does. It may go on to another server
            only after an error that says that nothing was written. It is called from several tasks.
        ttl: seconds of cluster time without a word after which the session ends; None: as long as
            the machine allows. Longer than any time for which the cluster may be out of reach.
        random: spreads the pauses between tries.

    Raises:
        ConfigError: the time to live makes no sense, or the machine has no sessions.
        CommandFailed: the machine, not one with sessions, refused.

    """
    if ttl is not None and not 0.001 <= ttl < inf:
        raise ConfigError(f"ttl is {ttl} s, must be at least 0.001; no session was opened")
    random = random or Random()
    ttl_ms = 0 if ttl is None else min(round(ttl * 1000), UINT_MAX)
    session = await _open(propose, ttl_ms, random)
    problem: Exception | None = None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.stay)
            try:
                yield session
            except Exception as error:  # noqa: BLE001 - raised below, without the nursery's group
                problem = error
            finally:
                nursery.cancel_scope.cancel()
    finally:
        await session.close()
    if problem is not None:
        raise problem


async def _open(propose: Propose, ttl_ms: int, random: Random) -> Session:
    """Try until a session is open. Another one, of a try in doubt, will expire."""
    for pause in _pauses(random):
        asked = trio.current_time()
        try:
            opened = await _settled(propose, open_request(ttl_ms))
        except (NotLeader, Overloaded, Superseded, Indeterminate, Stopped):
            await trio.sleep(pause)
            continue
        match opened:
            case [int(id), int(ttl_ms), int(window)] if min(id, ttl_ms, window) > 0:
                return Session(propose, (id, ttl_ms, window), asked, random)
            case _:
                raise ConfigError(
                    f"the servers answered {opened!r:.100}, which is not a session: their machine "
                    f"must be wrapped in quorum.Sessions"
                )
    raise AssertionError("pauses do not end")


async def _settled(propose: Propose, request: bytes) -> Any:
    """One try; a `Failed` is an error, whether `propose` raises it or returns it."""
    result = await propose(request)
    if isinstance(result, Failed):
        raise CommandFailed(result.reason)
    return result


def _pauses(random: Random) -> Iterator[float]:
    """Seconds to wait between tries, without end: doubling, and spread so that clients differ."""
    pause = BACKOFF_MIN
    while True:
        yield pause * random.uniform(0.5, 1.0)
        pause = min(2 * pause, BACKOFF_MAX)


def _ended(session: int, *, in_doubt: bool) -> SessionExpired:
    if in_doubt:
        fate = "it may have happened before that, and will not any more: read the state"
    else:
        fate = "it never happened, and will not"
    return SessionExpired(
        f"session {session} has ended before the command had an answer; {fate}; open another "
        f"session to go on",
        never_happened=not in_doubt,
    )
