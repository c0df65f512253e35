"""How a request reaches a server that can answer it, whatever happens to servers meanwhile.

A server answers by itself, and passes writes on to the leader. Anybody else passes everything on to
some server, always the same one while it answers.

Elections take a moment, so a request is held: it is tried again until it succeeds, or until the
time is up (Consul's `rpc_hold_timeout`). It is never tried again after its fate became unknown,
unless it does no harm twice: then the caller is told, see `Indeterminate`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Final, Protocol

import trio

import quorum
from catalog.config import Address
from catalog.errors import Busy, CatalogError, Indeterminate, NoLeader, NoServers
from catalog.operations import LeaderRequest
from catalog.requests import RenewSession, Request, Write
from catalog.rpc import Connections
from catalog.rpc.faults import ConnectionLost, NotLeading, Unreachable
from catalog.server.duties import Duties

__all__ = ["Local", "Remote", "Route"]

PATIENCE_SECONDS: Final = 5.0
"""How much longer than the other end holds a request its answer may take."""
PAUSE_SECONDS: Final = (0.02, 0.25)
"""First and longest pause between two attempts; a random part of it is left out."""


FOR_LEADERS: Final = (Write, RenewSession, LeaderRequest)
"""What a server that does not lead passes on."""


class Route(Protocol):
    """A way to have requests answered."""

    async def ask(self, request: Request[Any], *, direct: bool = False) -> Any:
        """Have a request answered; `direct`: here, or not at all."""


class Attempts:
    """The rhythm of attempts at one request."""

    def __init__(self, hold: float, random: Random) -> None:
        self._deadline = trio.current_time() + hold
        self._pause, self._longest = PAUSE_SECONDS
        self._random = random

    @property
    def remaining(self) -> float:
        """Seconds for which the request is still held."""
        return max(0.0, self._deadline - trio.current_time())

    async def pause(self, error: CatalogError) -> None:
        """Wait before the next attempt, or raise this error if there is no time for one."""
        if self.remaining == 0:
            raise error
        seconds = self._pause * self._random.uniform(0.5, 1.0)
        self._pause = min(2 * self._pause, self._longest)
        await trio.sleep(min(seconds, self.remaining))


class Local:
    """The route of a server: its own replica, and the leader for writes."""

    def __init__(
        self,
        connections: Connections,
        servers: Callable[[], Mapping[str, Address]],
        *,
        hold: float,
        random: Random,
    ) -> None:
        self.duties: Duties | None = None
        """`None` until the cluster is founded."""
        self.problem = "the servers have not found each other yet"
        """Why there are none."""
        self._connections = connections
        self._servers = servers
        self._hold = hold
        self._random = random

    async def ask(self, request: Request[Any], *, direct: bool = False) -> Any:
        """See `Route.ask`."""
        attempts = Attempts(self._hold, self._random)
        while True:
            error: CatalogError
            leader: str | None = None
            try:
                return await self._answer(request)
            except quorum.NotLeader as refusal:
                leader = refusal.leader
                error = NoLeader(
                    f"the servers have no leader, for {self._hold:g} s now; nothing was written: "
                    f"see that a majority of them is running"
                )
            except quorum.Overloaded as refusal:
                error = Busy(str(refusal))
            except quorum.Superseded as refusal:
                error = NoLeader(str(refusal))
            except quorum.Indeterminate as refusal:
                raise Indeterminate(str(refusal)) from refusal
            except quorum.Stopped as refusal:
                raise NoServers(str(refusal)) from refusal
            except quorum.QuorumError as failure:  # the server is about to stop for good
                changes = isinstance(request, Write | LeaderRequest)
                raise (Indeterminate if changes else NoServers)(str(failure)) from failure
            except NoLeader as refusal:
                error = refusal
            if direct:
                raise NotLeading(str(error))
            address = self._servers().get(leader or "")
            if isinstance(request, FOR_LEADERS) and address is not None:
                try:
                    return await self._ask_leader(request, address)
                except (NotLeading, Unreachable):
                    pass  # deposed, or gone: there will be another
            await attempts.pause(error)

    async def _answer(self, request: Request[Any]) -> Any:
        if self.duties is None:
            raise NoLeader(f"{self.problem}; nothing was written")
        patience = self._hold + request.patience
        with trio.move_on_after(patience):
            return await self.duties.answer(request)
        if isinstance(request, Write | LeaderRequest):
            raise Indeterminate(
                f"the write was not acknowledged by a majority within {patience:g} s; it may be "
                f"yet: read the state before a retry"
            )
        raise NoLeader(f"no majority of the servers answered within {patience:g} s")

    async def _ask_leader(self, request: Request[Any], address: Address) -> Any:
        return await self._connections.call(
            address, request, direct=True, patience=self._hold + PATIENCE_SECONDS
        )


class Remote:
    """The route of everybody else: some agent that answers."""

    def __init__(
        self,
        connections: Connections,
        candidates: Callable[[], Sequence[Address]],
        *,
        hold: float,
        random: Random,
        first: Address | None = None,
    ) -> None:
        self._connections = connections
        self._candidates = candidates
        self._hold = hold
        self._random = random
        self._current = first

    async def ask(self, request: Request[Any], *, direct: bool = False) -> Any:
        """See `Route.ask`."""
        if direct:
            raise NotLeading("this agent is no server")
        attempts = Attempts(self._hold, self._random)
        patience = self._hold + request.patience + PATIENCE_SECONDS
        while True:
            error = NoServers("no server is known: see that this agent has joined a cluster")
            for address in self._in_order():
                try:
                    answer = await self._connections.call(address, request, patience=patience)
                except Unreachable as unreachable:
                    error = unreachable
                except ConnectionLost as lost:
                    if not request.REPEATABLE:
                        raise
                    error = NoServers(str(lost))
                else:
                    self._current = address
                    return answer
                if self._current == address:
                    self._current = None
            await attempts.pause(error)

    def _in_order(self) -> list[Address]:
        """Return whom to ask: the one that answered last, then the others, by chance."""
        others = list(self._candidates())
        self._random.shuffle(others)
        if self._current in others:
            others.remove(self._current)
            others.insert(0, self._current)
        return others
