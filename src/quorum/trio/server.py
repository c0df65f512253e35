"""Open a server, propose, read, watch: what an application calls.

async with open_server("n1", machine, storage=storage, links=links) as server:
    await server.propose(b"...")
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import attrs
import trio

from quorum.config import Config
from quorum.core.raft import Raft, Statistics
from quorum.effects import Announce, Role
from quorum.errors import CommandFailed
from quorum.machine import Failed, StateMachine, go_by, machine_version
from quorum.messages import VERSION_MAX, Index, Members, NodeId, Term
from quorum.storage import Storage
from quorum.trio.counters import Counters
from quorum.trio.link import Link
from quorum.trio.loop import Loop
from quorum.trio.waiting import stopped


class Server:
    """A running server. Made by `open_server`; every method may be called from any task.

    Every request settles: with its result, or with one of the errors drawn in `quorum.errors`.
    There are no timeouts here: use trio's (`with trio.fail_after(1): await server.propose(...)`).
    A request that is cancelled leaves nothing behind, but may still take effect.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._pending = loop.pending
        self._inbox = loop.inbox

    # Ask.

    async def propose(self, command: bytes) -> Any:
        """Replicate a command, and return what the machine here answered when it was applied.

        Raise `NotLeader`, `Overloaded`, `Superseded`, `Indeterminate`, `CommandFailed` or
        `Stopped`; `ValueError` for a command above `Config.command_bytes_max`.
        """
        waiter = self._pending.propose(command)
        self._inbox.wake()
        result = await waiter.wait()
        if isinstance(result, Failed):
            raise CommandFailed(result.reason)
        return result

    async def propose_many(self, commands: Sequence[bytes]) -> list[Any]:
        """Replicate commands next to each other, in one round, and return all the results.

        All of them are taken up or none. Unlike `propose` this leaves a `Failed` in the list
        instead of raising it. `Indeterminate` says so if only the first of them happened.
        """
        if not commands:
            await trio.lowlevel.checkpoint()
            return []
        waiter = self._pending.propose_many(commands)
        self._inbox.wake()
        results: list[Any] = await waiter.wait()
        return results

    async def read_barrier(self, *, lease: bool = False, max_age: float = 0.0) -> Index:
        """Wait until the machine here has applied all that was committed when this was called.

        What is read from the machine then is linearizable. Any server can be asked. Nothing is
        written, so every error is safe to retry. With `lease` the leader answers without a round
        of messages while its lease lasts (see `Config.lease_drift`); with `max_age` the state may
        be as of so many seconds ago: a barrier that a reader here passed since then will do.
        """
        if not max_age >= 0.0:
            raise ValueError(f"max_age is {max_age} s, must not be negative")
        waiter = self._pending.read(lease=lease, max_age=max_age)
        self._inbox.wake()
        index: Index = await waiter.wait()
        return index

    async def change_members(self, members: Members, *, expected: Index | None = None) -> Index:
        """Change who the cluster consists of; return the index of the new configuration.

        Only the leader can. `expected` is the index of the configuration that the caller has in
        mind (`statistics().members_index`): with another one in force the change is refused.
        """
        waiter = self._pending.change(members, expected)
        self._inbox.wake()
        index: Index = await waiter.wait()
        return index

    async def replace_member(self, old: NodeId, new: NodeId, address: str | None = None) -> Index:
        """Let a new server take the place of an old one, in one change; return its index.

        `old` counts no more when this returns. `new` has begun to receive the log then, and becomes
        a voter (if `old` was one) by itself once it has caught up. It must never have been a server
        of this cluster. `ValueError` if `old` is no member, or `new` is; else as `change_members`.
        """
        statistics = self.statistics()
        members = statistics.members
        if old not in members.everyone or new in members.everyone:
            raise ValueError(f"{old} must be a member and {new} must not: nothing was changed")
        voters, learners = set(members.voters) - {old}, (set(members.learners) - {old}) | {new}
        joining = set(members.joining) | ({new} if old in members.voters else set())
        addresses = dict(members.addresses)
        if address is not None:
            addresses[new] = address
        wanted = Members(voters, (), learners, addresses.items(), joining & learners)
        return await self.change_members(wanted, expected=statistics.members_index)

    async def upgrade(self, version: int) -> None:
        """Let commands mean, from now on, what this version of the machine says (`Versioned`).

        Only the leader can, and only if the machines of all members and learners understand the
        version; else `ChangeRefused`. It is in force when this returns, and there is no way back.
        Asking for the version that is in force does no harm.
        """
        if not 1 <= version <= VERSION_MAX:
            raise ValueError(f"version is {version}, must be 1 to {VERSION_MAX}")
        waiter = self._pending.upgrade(version)
        self._inbox.wake()
        await waiter.wait()

    async def transfer_leadership(self, to: NodeId) -> None:
        """Hand leadership to a voter, once it has all of our log (thesis 3.10)."""
        waiter = self._pending.transfer(to)
        self._inbox.wake()
        await waiter.wait()

    # Watch.

    @property
    def id(self) -> NodeId:
        """This server's name."""
        return self._loop.id

    @property
    def role(self) -> Role:
        """Follower, candidate or leader."""
        return self._loop.announced.role

    @property
    def is_leader(self) -> bool:
        """Whether this server leads, as far as it knows; only `read_barrier` makes sure."""
        return self._loop.announced.role is Role.LEADER

    @property
    def leader(self) -> NodeId | None:
        """Who leads, as far as this server knows."""
        return self._loop.announced.leader

    @property
    def term(self) -> Term:
        """The newest term that this server has announced."""
        return self._loop.announced.term

    @property
    def applied_index(self) -> Index:
        """Index of the last entry that the state machine here has applied."""
        return self._loop.applier.index

    def statistics(self) -> Statistics:
        """The core's state at a glance, for people and for tests."""
        return self._loop.core.statistics()

    def counters(self) -> Counters:
        """What the driver has done since it started, as of now."""
        return attrs.evolve(self._loop.counters)

    async def wait_applied(self, index: Index) -> None:
        """Wait until the machine here has applied the entry at `index` (read your writes)."""
        self._pending.raise_if_closed()
        await self._loop.applier.wait(index)

    async def wait_leader(self) -> NodeId:
        """Wait until a leader is known, and return its name."""
        seen = await self.wait_role_change()
        while seen.leader is None:
            seen = await self.wait_role_change(seen)
        return seen.leader

    async def wait_role_change(self, after: Announce | None = None) -> Announce:
        """Return the newest announcement (role, term, leader) as soon as it is not `after`.

        Announcements in quick succession may be seen as one; the last is never missed.
        """
        await trio.lowlevel.checkpoint()
        self._pending.raise_if_closed()
        while self._loop.announced is after:
            await self._loop.announcement.wait()
            self._pending.raise_if_closed()
        return self._loop.announced


@asynccontextmanager
async def open_server(
    id: NodeId,
    machine: StateMachine,
    *,
    storage: Storage,
    links: Link,
    config: Config = Config(),  # noqa: B008 - a frozen value
    random: Random | None = None,
) -> AsyncIterator[Server]:
    """Run a server for as long as the `async with` block; leaving it stops the server.

    `machine` is fresh: snapshot and log bring it up to date. The storage is closed at the end.
    When the storage, the machine or the link fails, the block is cancelled and the error raised.
    `random` spreads the election timeouts and must differ between servers; by default it does.
    """
    loop: Loop | None = None
    problem: Exception | None = None
    try:
        recovered = await storage.load()
        go_by(machine, recovered.mark.version, recovered.mark.index)
        core = Raft(
            id,
            recovered,
            config,
            now=trio.current_time(),
            random=random or Random(),
            machine_version=machine_version(machine),
        )
        loop = Loop(core, machine, storage=storage, links=links, config=config)
        async with trio.open_nursery() as nursery:
            try:
                with trio.CancelScope() as block:
                    await loop.start(nursery, stop=block.cancel)
                    yield Server(loop)
            except Exception as error:  # noqa: BLE001 - raised below, without the nursery's group
                problem = error
            finally:
                loop.close(stopped)
                nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await storage.close()
        if loop is not None and loop.failure is not None:
            raise loop.failure from problem  # even if the caller was cancelled meanwhile
    if problem is not None:
        raise problem
