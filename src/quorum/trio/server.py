"""Open a server, propose, read: what an application calls.

(Being written: the signatures below are settled, the bodies follow within the hour.)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from quorum.config import Config
from quorum.effects import Announce, Role
from quorum.machine import StateMachine
from quorum.messages import Index, Members, NodeId, Term
from quorum.storage import Storage
from quorum.trio.link import Link


class Server:
    """A running server. Made by `open_server`; every method may be called from any task.

    Every request settles: with its result, or with one of the errors drawn in `quorum.errors`.
    There are no timeouts here: use trio's (`with trio.fail_after(1): await server.propose(...)`).
    A request that is cancelled leaves nothing behind, but may still take effect.
    """

    id: NodeId

    @property
    def is_leader(self) -> bool:
        """Whether this server leads, as far as it knows; only `read_barrier` makes sure."""
        raise NotImplementedError

    @property
    def role(self) -> Role:
        """Follower, candidate or leader."""
        raise NotImplementedError

    @property
    def leader(self) -> NodeId | None:
        """Who leads, as far as this server knows."""
        raise NotImplementedError

    @property
    def term(self) -> Term:
        """The newest term that this server knows of."""
        raise NotImplementedError

    @property
    def applied_index(self) -> Index:
        """Index of the last entry that the state machine here has applied."""
        raise NotImplementedError

    async def propose(self, command: bytes) -> Any:
        """Replicate a command, and return what the machine here answered when it was applied.

        Raise `NotLeader`, `Overloaded`, `Superseded`, `Indeterminate`, `CommandFailed` or
        `Stopped`; `ValueError` for a command above `Config.command_bytes_max`.
        """
        raise NotImplementedError

    async def propose_many(self, commands: Sequence[bytes]) -> list[Any]:
        """Replicate commands next to each other, in one round, and return all the results.

        Unlike `propose` this leaves a `Failed` in the list instead of raising it.
        """
        raise NotImplementedError

    async def read_barrier(self) -> Index:
        """Wait until the machine here has applied all that was committed when this was called.

        What is read from the machine then is linearizable. Any server can be asked.
        """
        raise NotImplementedError

    async def wait_applied(self, index: Index) -> None:
        """Wait until the machine here has applied the entry at `index` (read your writes)."""
        raise NotImplementedError

    async def wait_leader(self) -> NodeId:
        """Wait until a leader is known, and return its name."""
        raise NotImplementedError

    async def wait_role_change(self, after: Announce | None = None) -> Announce:
        """Return the newest announcement (role, term, leader) as soon as it is not `after`.

        Announcements in quick succession may be seen as one; the last is never missed.
        """
        raise NotImplementedError

    async def change_members(self, members: Members, *, expected: Index | None = None) -> Index:
        """Change who the cluster consists of; return the index of the new configuration.

        Only the leader can. `expected` is the index of the configuration that the caller has in
        mind: with another one in force the change is refused.
        """
        raise NotImplementedError

    async def transfer_leadership(self, to: NodeId) -> None:
        """Hand leadership to a voter that is up to date (thesis 3.10)."""
        raise NotImplementedError


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
    """Run a server for as long as the `async with` block; leaving it stops the server."""
    raise NotImplementedError
    yield Server()
