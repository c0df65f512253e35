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

from catalog.answers import Applied
from catalog.commands import Command, Transaction
from catalog.errors import ProtocolError
from catalog.model import Delta, KeyDelta, Update, View
from catalog.registry.reading import Found
from catalog.requests import (
    Consistency,
    Follow,
    FollowKeys,
    KeyNews,
    News,
    Read,
    Reply,
    Request,
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
        match request:
            case Write(command):
                return await self._write(command)
            case Read():
                return await self._read(request)
            case Follow():
                return await self._follow(request)
            case FollowKeys():
                return await self._follow_keys(request)
            case _:
                raise ProtocolError(f"{type(request).__name__} is not for servers")

    async def _write(self, command: Command) -> Applied:
        if isinstance(command, Transaction) and command.reads_only:
            await self.barrier()
            return self.registry.transact(command)
        applied: Applied = await self.server.propose(encode(command))
        return applied

    async def _prepare(self, consistency: Consistency, max_stale: float | None = None) -> float:
        """Make the replica fit for a read; return how old it may be."""
        if consistency is Consistency.DEFAULT:
            await self.barrier()
            return 0.0
        if self._confirmed == -inf or (max_stale is not None and self.age > max_stale):
            await self.barrier()
        else:
            await trio.lowlevel.checkpoint()  # else a reader in a loop would stop the server
        return self.age

    async def _prepare_for_newcomer(self) -> None:
        """A subscriber should begin with what it has written itself, if there is a leader."""
        try:
            await self.barrier()
        except ProposalError:
            if self._confirmed == -inf:
                raise

    async def _read(self, read: Read[Any]) -> Reply[Any]:
        age = await self._prepare(read.consistency, read.max_stale)
        found = self.registry.find(read)
        if read.after is not None and found[1] <= read.after:
            with trio.move_on_after(read.wait):
                found = await self._wait_above(read, read.after, found)
            age = self.age
        value, index, _ = found
        leader = self.server.statistics().leader is not None
        return Reply(value, index, age, known_leader=leader)

    async def _wait_above(self, read: Read[Any], after: int, found: Found) -> Found:
        """Return what a read finds once its index is above `after`, or may have gone back."""
        restored = self.registry.restored
        while found[1] <= after and self.registry.restored == restored:
            await self.registry.wait_change(*found[2])
            found = self.registry.find(read)
        return found

    async def _follow(self, request: Follow) -> News:
        name, after, begun = request.name, request.after, trio.current_time()
        if after is None:
            await self._prepare_for_newcomer()
            update: Update = self.registry.lookup(name, healthy=False)
            return News(update, self.age, self.epoch, trio.current_time() - begun)
        await self._prepare(Consistency.STALE)
        update = self.registry.update(name, after)
        if _is_empty(update):
            with trio.move_on_after(request.wait):
                while _is_empty(update):
                    await self.registry.wait_change(("service", name))
                    update = self.registry.update(name, after)
        return News(update, self.age, self.epoch, trio.current_time() - begun)

    async def _follow_keys(self, request: FollowKeys) -> KeyNews:
        prefix, after, begun = request.prefix, request.after, trio.current_time()
        if after is None:
            await self._prepare_for_newcomer()
            whole = self.registry.key_update(prefix, None)
            return KeyNews(whole, self.age, self.epoch, trio.current_time() - begun)
        await self._prepare(Consistency.STALE)
        update = self.registry.key_update(prefix, after)
        if _is_empty(update):
            with trio.move_on_after(request.wait):
                await self.registry.wait_change(("prefix", prefix))
            update = self.registry.key_update(prefix, after)
        return KeyNews(update, self.age, self.epoch, trio.current_time() - begun)


def _is_empty(update: View | Delta | KeyDelta) -> bool:
    match update:
        case Delta():
            return not update.changes
        case KeyDelta():
            return not (update.whole or update.changed or update.deleted)
    return False
