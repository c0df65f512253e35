"""What users do with a catalog, the same whether an agent runs in their process or elsewhere.

    async with open_catalog(config) as catalog: ...     # an agent in this process
    async with connect("127.0.0.1:8300") as catalog: ...  # an agent in another

From code that does not use trio: `catalog.blocking`.

Every method asks one request (see `catalog.requests`); how it reaches a server is the business of
`ask`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import uuid4

import attrs

from catalog.answers import Applied
from catalog.blocks import Blocks
from catalog.commands import (
    Acquire,
    Command,
    CreateSession,
    DeleteKey,
    DestroySession,
    Operation,
    PutKey,
    Release,
    Step,
    Transaction,
)
from catalog.definitions import GOSSIP_CHECK
from catalog.errors import Refused
from catalog.events import Event, EventList, Events, FireEvent
from catalog.model import (
    Behaviour,
    Check,
    FencingToken,
    KeyValue,
    NodeView,
    Service,
    Session,
    Status,
)
from catalog.requests import (
    WAIT_SECONDS_MAX,
    AgentInfo,
    Answer,
    Consistency,
    Deregister,
    DeregisterLocalCheck,
    Drain,
    Get,
    Heartbeat,
    Info,
    Items,
    Keys,
    Lookup,
    Maintain,
    Member,
    Members,
    Nodes,
    Register,
    RegisterLocalCheck,
    RenewSession,
    Services,
    Sessions,
    Write,
)

__all__ = ["Catalog"]


class Catalog(Blocks):
    """A service registry and key-value store.

    Methods raise `NoLeader`, `NoServers` or `Busy` when nothing was done and a retry is safe, and
    `Indeterminate` when a write may or may not have happened; see `catalog.errors`. Indexes are log
    indexes; what an earlier write did is seen by every later question that is not `STALE`.

    What lasts for a block (a registration, a lock, leadership) is in `catalog.blocks`.
    """

    # Services.

    async def register(self, service: Service, *, keep: bool | None = None) -> int:
        """Register a service on the agent's node; return the index at which the catalog has it.

        The agent remembers the service before it writes, and repairs the catalog from then on: so
        when this raises `Unavailable` or `Indeterminate`, the service is registered with the agent
        all the same and appears in the catalog as soon as that can be written. Call `deregister`
        if you do not want that.

        Args:
            service: what runs here.
            keep: whether it is registered again when the agent starts again, if the agent has a
                `data_dir`. `None`: if the agent is another process than this.

        """
        return await self.ask(Register(service, keep=self.OUTLIVED if keep is None else keep))

    async def deregister(self, service_id: str) -> int:
        """Remove a service; like `register` it happens later if it cannot happen now.

        Raises:
            NotRegistered: the agent has no such service.

        """
        return await self.ask(Deregister(service_id))

    async def drain(self, service_id: str, *, terminating: bool = True) -> int:
        """Have a service serve whom it has, and be given nobody new; or, with `False`, end that.

        Consumers see `Service.terminating`; it is healthy for none of them.

        Raises:
            NotRegistered: the agent has no such service.

        """
        return await self.ask(Drain(service_id, terminating))

    async def maintain(self, service_id: str = "", *, enable: bool = True, reason: str = "") -> int:
        """Take a service out of use for a while, or without an id the whole node; or put it back.

        Consumers see a critical check with the reason for its notes.

        Raises:
            NotRegistered: the agent has no such service.

        """
        return await self.ask(Maintain(service_id, enable, reason))

    async def register_check(self, check: Check, service_id: str = "") -> int:
        """Register a check by itself: of a service of the agent, or without one of its node.

        Raises:
            NotRegistered: the agent has no such service.

        """
        return await self.ask(RegisterLocalCheck(check, service_id))

    async def deregister_check(self, check_id: str) -> int:
        """Remove a check.

        Raises:
            NotRegistered: the agent has no such check.

        """
        return await self.ask(DeregisterLocalCheck(check_id))

    async def heartbeat(
        self, service_id: str, status: Status = Status.PASSING, output: str = ""
    ) -> None:
        """Report to all TTL checks of a service that it lives, and how it fares.

        Raises:
            NotRegistered: the agent has no such service, or it has no TTL check.

        """
        await self.ask(Heartbeat(service_id, status, output))

    async def lookup(
        self,
        name: str,
        *,
        healthy: bool = True,
        tag: str | None = None,
        consistency: Consistency = Consistency.DEFAULT,
        max_age: float | None = None,
    ) -> Answer:
        """Return the instances of a service; an unknown service has none.

        Args:
            name: the service's.
            healthy: only those to send anybody to.
            tag: only those that have it.
            consistency: how current the answer must be.
            max_age: let the agent answer from its own copy if that was current so many seconds
                ago, and, while no server answers, however old it is: see `Answer.age`.

        """
        reply = await self.ask(Lookup(name, healthy, tag, consistency=consistency, max_age=max_age))
        return Answer(reply.index, name, reply.value.instances, reply.age, reply.cached)

    async def wait_change(
        self,
        name: str,
        after: int,
        timeout: float = 300.0,  # noqa: ASYNC109 - the server's, as Consul's `wait`
        *,
        healthy: bool = True,
        tag: str | None = None,
    ) -> Answer:
        """Return the instances as soon as the service's index is above `after`.

        When nothing changes for `timeout` seconds the answer is what there is. A change may
        concern instances that `healthy` or `tag` leave out: compare before you act.
        """
        wait = min(timeout, WAIT_SECONDS_MAX)
        reply = await self.ask(
            Lookup(name, healthy, tag, consistency=Consistency.STALE, after=after, wait=wait)
        )
        return Answer(reply.index, name, reply.value.instances, reply.age)

    async def services(
        self, *, consistency: Consistency = Consistency.DEFAULT
    ) -> dict[str, tuple[str, ...]]:
        """Return the names of all services, each with the tags of its instances."""
        return (await self.ask(Services(consistency=consistency))).value

    async def nodes(
        self, *, consistency: Consistency = Consistency.DEFAULT
    ) -> tuple[NodeView, ...]:
        """Return all nodes with their health and their instances, sorted by name."""
        return (await self.ask(Nodes(consistency=consistency))).value

    # Keys.

    async def get(
        self, key: str, *, consistency: Consistency = Consistency.DEFAULT
    ) -> KeyValue | None:
        """Return a key with its value, or `None` if there is no such key."""
        return (await self.ask(Get(key, consistency=consistency))).value

    async def keys(
        self, prefix: str = "", *, consistency: Consistency = Consistency.DEFAULT
    ) -> tuple[str, ...]:
        """Return the keys that start with `prefix`, sorted."""
        return (await self.ask(Keys(prefix, consistency=consistency))).value

    async def put(self, key: str, value: bytes, *, flags: int = 0, cas: int | None = None) -> int:
        """Write a key; return the index of the entry.

        Args:
            key: its name.
            value: at most 512 KiB.
            flags: a number for the application's own use.
            cas: write only if the key's `modify_index` is this; 0: only if there is no such key.

        Raises:
            Refused: the comparison failed; the key is unchanged.

        """
        return await self._write(PutKey(key, value, flags=flags, cas=cas))

    async def delete(self, key: str, *, cas: int | None = None, recurse: bool = False) -> int:
        """Delete a key, or with `recurse` all keys that start with it; return the entry's index.

        Raises:
            Refused: the comparison with `cas` failed; nothing was deleted.

        """
        return await self._write(DeleteKey(key, cas=cas, recurse=recurse))

    async def items(
        self, prefix: str = "", *, consistency: Consistency = Consistency.DEFAULT
    ) -> tuple[KeyValue, ...]:
        """Return the keys that start with `prefix`, with their values, sorted by key."""
        return (await self.ask(Items(prefix, consistency=consistency))).value

    async def transact(self, steps: Iterable[Step]) -> Applied:
        """Do all of these steps, in order, or none of them.

        The answer has a part for each step, with the values that it found or made. One that only
        reads costs no log entry.

        Raises:
            Refused: a step could not be done, or found what it did not expect; nothing was done.
                `applied.parts` says which steps, and why.

        """
        return await self._apply(Transaction(tuple(steps)))

    # Sessions and locks.

    async def create_session(
        self,
        node: str,
        *,
        name: str = "",
        ttl: float | None = None,
        behaviour: Behaviour = Behaviour.RELEASE,
        lock_delay: float = 15.0,
        checks: Iterable[str] = (GOSSIP_CHECK,),
    ) -> str:
        """Begin a session on a node; return its id.

        Args:
            node: it ends with this node.
            name: for people.
            ttl: seconds in which it must be renewed; `None`: it needs no renewal.
            behaviour: what becomes of the keys that it holds when it ends.
            lock_delay: seconds for which nobody acquires those keys then.
            checks: of the node or its services, by id; it ends when one of them is critical.

        Raises:
            Refused: the node or a check is unknown, or a check is critical.

        """
        session = Session(
            str(uuid4()),
            node,
            name=name,
            ttl=ttl,
            behaviour=behaviour,
            lock_delay=lock_delay,
            node_checks=tuple(checks),
        )
        await self._write(CreateSession(session))
        return session.id

    async def renew_session(self, session: str) -> bool:
        """Keep a session alive for another TTL; `False`: it has ended, and so have its locks."""
        return await self.ask(RenewSession(session)) is not None

    async def destroy_session(self, session: str) -> int:
        """End a session and free what it holds; of one that has ended: nothing."""
        return await self._write(DestroySession(session))

    async def sessions(
        self, node: str = "", *, consistency: Consistency = Consistency.DEFAULT
    ) -> tuple[Session, ...]:
        """Return all sessions, or those of a node, sorted by id."""
        return (await self.ask(Sessions(node, consistency=consistency))).value

    async def acquire(
        self, key: str, session: str, value: bytes = b"", *, flags: int = 0
    ) -> FencingToken:
        """Write a key and hold it; return the token that proves it.

        Show the token to whatever the lock protects: it must refuse a lower `lock_index` than the
        highest that it has seen. A lock alone does not stop a holder that was paused.

        Raises:
            Refused: another session holds it (`LOCKED`), one that held it ended a moment ago
                (`LOCK_DELAYED`), or this session has ended (`UNKNOWN_SESSION`).

        """
        applied = await self._apply(Acquire(key, value, session, flags=flags))
        (entry,) = applied.values
        assert isinstance(entry, KeyValue), "acquiring makes a key"
        return entry.token

    async def release(self, key: str, session: str, value: bytes = b"", *, flags: int = 0) -> int:
        """Write a key that the session holds, and let go of it; return the entry's index.

        Raises:
            Refused: it does not hold it.

        """
        return await self._write(Release(key, value, session, flags=flags))

    # Agents.

    async def members(self) -> tuple[Member, ...]:
        """Return the agents that this one knows by gossip, itself included, sorted by name."""
        return await self.ask(Members())

    async def info(self) -> dict[str, Any]:
        """Return the agent at a glance: the fields of `AgentInfo`, fit for JSON."""
        info: AgentInfo = await self.ask(Info())
        fields = attrs.asdict(info, recurse=False)
        return {**fields, "agent": info.agent.value, "peers": dict(info.peers)}

    # Events.

    async def fire_event(
        self, name: str, payload: bytes = b"", *, node: str = "", service: str = "", tag: str = ""
    ) -> Event:
        """Tell all agents something by gossip, or those that the patterns are meant for.

        Args:
            name: of the event.
            payload: with name and patterns some 500 bytes at most.
            node: a regular expression; only agents in whose name it is found keep the event.
            service: only agents with a service in whose name it is found, ...
            tag: ... and with a tag in which this one is.

        """
        return await self.ask(FireEvent(name, payload, node, service, tag))

    async def events(self, name: str = "") -> tuple[Event, ...]:
        """Return the latest events that were meant for the agent asked, oldest first."""
        found: EventList = await self.ask(Events(name))
        return found.events

    async def _write(self, command: Operation) -> int:
        return (await self._apply(command)).index

    async def _apply(self, command: Command) -> Applied:
        applied: Applied = await self.ask(Write(command))
        if not applied.ok:
            raise Refused(applied)
        return applied
