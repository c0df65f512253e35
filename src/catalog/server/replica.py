"""A server's own answers: what it writes to the log, and what it reads from its replica.

A linearizable read first makes sure that the replica has everything that was acknowledged before
the question (ReadIndex, see `quorum`); a stale one takes what is there.
How old that may be is known without trusting clocks of others: the replica had everything at the
moment at which the last successful barrier was *begun*. One is begun every second for this purpose.

A replica that has just started is still reading its log; it answers nobody, not even a stale
question, until it has caught up once.
"""

from __future__ import annotations

from math import inf
from typing import Any, Final

import trio

from catalog.errors import ProtocolError
from catalog.model import Delta, View
from catalog.requests import (
    Answer,
    AskedNode,
    Consistency,
    Follow,
    Get,
    Keys,
    Lookup,
    News,
    Nodes,
    Request,
    Services,
    Write,
)
from catalog.server.watch import WatchedRegistry
from catalog.wire import encode
from quorum import ProposalError, QuorumError, Server

__all__ = ["Replica"]

CONFIRM_SECONDS: Final = 1.0
"""Between two barriers for the sake of `age`."""


class Replica:
    """One server's copy of the catalog."""

    def __init__(self, server: Server, registry: WatchedRegistry, epoch: str) -> None:
        self.server = server
        self.registry = registry
        self.epoch = epoch
        self._confirmed = -inf
        """At this moment the replica had everything."""

    @property
    def age(self) -> float:
        """Seconds since the replica was known to have everything."""
        return max(0.0, trio.current_time() - self._confirmed)

    async def barrier(self) -> None:
        """Wait until the replica has everything that was acknowledged when this was called."""
        begun = trio.current_time()
        await self.server.read_barrier()
        self._confirmed = max(self._confirmed, begun)

    async def run(self) -> None:
        """Keep `age` small for as long as the server runs."""
        while True:
            try:
                await self.barrier()
            except ProposalError:
                pass  # no leader: so the age grows
            except QuorumError:
                return  # the server has ended; whoever opened it knows why
            await trio.sleep(CONFIRM_SECONDS)

    async def answer(self, request: Request[Any]) -> Any:
        """Answer a request; raise what `quorum` raises."""
        registry = self.registry
        match request:
            case Write(command):
                return await self.server.propose(encode(command))
            case Lookup():
                return await self._lookup(request)
            case Follow():
                return await self._follow(request)
            case Get(key, consistency):
                await self._prepare(consistency)
                return registry.get(key)
            case Keys(prefix, consistency):
                await self._prepare(consistency)
                return registry.keys(prefix)
            case Services(consistency):
                await self._prepare(consistency)
                return registry.services()
            case Nodes(consistency):
                await self._prepare(consistency)
                return registry.nodes()
            case AskedNode(name, consistency):
                await self._prepare(consistency)
                return registry.node(name)
            case _:
                raise ProtocolError(f"{type(request).__name__} is not for servers")

    async def _prepare(self, consistency: Consistency) -> float:
        """Make the replica fit for a read; return how old it may be."""
        if consistency is Consistency.DEFAULT:
            await self.barrier()
            return 0.0
        if self._confirmed == -inf:
            await self.barrier()
        return self.age

    async def _prepare_for_newcomer(self) -> None:
        """A subscriber should begin with what it has written itself, if there is a leader."""
        try:
            await self.barrier()
        except ProposalError:
            if self._confirmed == -inf:
                raise

    async def _lookup(self, request: Lookup) -> Answer:
        age = await self._prepare(request.consistency)
        view = self.registry.lookup(request.name, healthy=False)
        if request.after is not None and view.index <= request.after:
            with trio.move_on_after(request.wait):
                while view.index <= request.after:
                    await self.registry.wait_change(request.name)
                    view = self.registry.lookup(request.name, healthy=False)
            age = self.age
        view = view.select(healthy=request.healthy, tag=request.tag)
        return Answer(view.index, view.name, view.instances, age)

    async def _follow(self, request: Follow) -> News:
        name, after = request.name, request.after
        if after is None:
            await self._prepare_for_newcomer()
            return News(self.registry.lookup(name, healthy=False), self.age, self.epoch)
        await self._prepare(Consistency.STALE)
        update = self.registry.update(name, after)
        if _is_empty(update):
            with trio.move_on_after(request.wait):
                while _is_empty(update):
                    await self.registry.wait_change(name)
                    update = self.registry.update(name, after)
        return News(update, self.age, self.epoch)


def _is_empty(update: View | Delta) -> bool:
    return isinstance(update, Delta) and not update.changes
