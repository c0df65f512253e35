"""What is registered on this node, kept true in the catalog.

The record here (`catalog.node.local`) is the truth; the catalog is made to say the same: at
once after a change, and in full once in a while (`catalog.node.pace`), which repairs what others
did to it and what failed. On the agent's disk (`catalog.node.record`) it is kept true before that.
Changes that come while a write is under way share the next one.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from random import Random
from typing import Any, Final, TypeAlias, assert_never

import trio

from catalog.answers import Applied
from catalog.commands import Batch, Command, Operation, batches
from catalog.errors import CatalogError, NotRegistered, ProtocolError, Refused
from catalog.model import Check, Node, NodeView, Service, Status, TtlCheck
from catalog.node.difference import difference
from catalog.node.local import Local
from catalog.node.pace import Pace
from catalog.node.record import Record
from catalog.node.roster import Roster
from catalog.requests import (
    AskedNode,
    Deregister,
    DeregisterLocalCheck,
    Drain,
    Heartbeat,
    LocalCheck,
    LocalChecks,
    LocalService,
    LocalServices,
    Maintain,
    Register,
    RegisterLocalCheck,
    Reply,
    Report,
    Request,
    Write,
)
from catalog.wire import encode

__all__ = ["Keeper", "LocalRequest"]

log = logging.getLogger("catalog")

LocalRequest: TypeAlias = (
    Register
    | Deregister
    | Drain
    | RegisterLocalCheck
    | DeregisterLocalCheck
    | Maintain
    | LocalService
    | LocalServices
    | LocalChecks
    | Report
    | Heartbeat
)
"""The requests that a keeper answers."""

ATTEMPTS_MAX: Final = 2
"""A write is refused if somebody removes the node meanwhile; looking again repairs that."""


class Keeper:
    """The services and checks of this node, and the task that carries them into the catalog."""

    def __init__(
        self,
        node: Node,
        ask: Callable[[Request[Any]], Awaitable[Any]],
        *,
        interval: float,
        random: Random,
        record: Record | None = None,
        agents: Callable[[], int] = lambda: 1,
    ) -> None:
        self.local = Local(node)
        self._ask = ask
        self._pace = Pace(interval, random)
        self._record = record
        self._agents = agents
        """How many there are in the cluster."""
        self._full = trio.current_time()
        """When to compare everything,"""
        self._outputs = self._full
        """and when with the outputs of checks."""
        self._version = 1
        """Counts the changes of the record."""
        self._written = 0
        """The version that the catalog has."""
        self._index = 0
        """The index at which it has it."""
        self._recorded = 0
        """The version that the disk has."""
        self._turn = trio.Lock()
        self._disk = trio.Lock()
        self._bell = trio.Event()
        self._services_bell = trio.Event()
        if record is not None:
            self.local.restore(record.kept, now=self._full)

    async def answer(self, request: LocalRequest) -> Any:
        """Do what a request asks; its own methods say what they raise."""
        match request:
            case Register(service, keep=keep):
                return await self.register(service, keep=keep)
            case Deregister(service_id):
                return await self.deregister(service_id)
            case Drain(service_id, terminating):
                return await self.drain(service_id, terminating=terminating)
            case RegisterLocalCheck(check, service_id):
                return await self.register_check(check, service_id)
            case DeregisterLocalCheck(check_id):
                return await self.deregister_check(check_id)
            case Maintain(service_id, enable, reason):
                return await self.maintain(service_id, reason if enable else None)
            case LocalService():
                return await self.service(request)
            case LocalServices():
                return tuple(one for _, one in sorted(self.local.services.items()))
            case LocalChecks():
                return self.checks()
            case Report():
                return self.hear(request)
            case Heartbeat():
                return self.heartbeat(request)
            case _:
                assert_never(request)

    # What users do.

    async def register(self, service: Service, *, keep: bool = True) -> int:
        """Record a service, and return once the catalog has it."""
        self.local.register(service, now=trio.current_time(), keep=keep)
        return await self._carry()

    async def deregister(self, service_id: str) -> int:
        """Forget a service, and return once the catalog has as well."""
        self.local.deregister(service_id)
        return await self._carry()

    async def drain(self, service_id: str, *, terminating: bool) -> int:
        """Have a service take nobody new, or end that; return once the catalog has it."""
        self.local.drain(service_id, terminating=terminating)
        return await self._carry()

    async def register_check(self, check: Check, service_id: str) -> int:
        """Record a check by itself, and return once the catalog has it."""
        self.local.register_check(check, service_id, now=trio.current_time())
        return await self._carry()

    async def deregister_check(self, check_id: str) -> int:
        """Forget a check, and return once the catalog has as well."""
        self.local.deregister_check(check_id)
        return await self._carry()

    async def maintain(self, service_id: str, reason: str | None) -> int:
        """Begin maintenance, or with `None` end it; return once the catalog has it."""
        self.local.maintain(service_id, reason)
        return await self._carry()

    async def service(self, asked: LocalService) -> Service | None:
        """Return a service, as soon as it is another than the one that the asker has."""
        known = asked.unlike
        with trio.move_on_after(asked.wait):
            while known is not None and known == self.local.services.get(asked.service_id):
                await self.wait_services()
        return self.local.services.get(asked.service_id)

    def checks(self) -> tuple[LocalCheck, ...]:
        """Return all checks as they are, by id."""
        return self.local.entries()

    def hear(self, said: Report) -> None:
        """Take a report for one TTL check.

        Raises:
            NotRegistered: there is no such check, or it is no TTL check.

        """
        now = trio.current_time()
        if self.local.feed(said.check_id, said.status, said.output, now=now):
            self._changed()
        self._bell.set()  # a deadline may have moved

    async def clear(self) -> None:
        """Take everything out of the catalog; what survives an agent stays on its disk."""
        self._record = None
        for service_id in self.local.services:
            self.local.deregister(service_id)
        await self._carry()

    def heartbeat(self, beat: Heartbeat) -> None:
        """Take a report for all TTL checks of a service."""
        service = self.local.services.get(beat.service_id)
        if service is None:
            raise NotRegistered(
                f"no service {beat.service_id!r} is registered here; nothing changed: register it "
                f"first, with this agent"
            )
        checks = service.named_checks().items()
        feeds = [check_id for check_id, check in checks if isinstance(check, TtlCheck)]
        if not feeds:
            raise NotRegistered(
                f"service {beat.service_id!r} has no TTL check that could take a heartbeat; "
                f"nothing changed"
            )
        for check_id in feeds:
            self.report(check_id, beat.status, beat.output)

    def report(self, check_id: str, status: Status, output: str) -> None:
        """Take the result of a check."""
        if self.local.report(check_id, status, output, now=trio.current_time()):
            self._changed()
        self._bell.set()  # a deadline may have moved

    async def look(self, node: str, *, after: int | None, wait: float) -> Reply[NodeView | None]:
        """Return how the catalog has a node, empty: this one, once its index is above `after`."""
        name = node or self.local.node.name
        reply: Reply[NodeView | None] = await self._ask(AskedNode(name, after=after, wait=wait))
        return reply

    async def wait_services(self) -> None:
        """Wait until the services change from now on."""
        await self._services_bell.wait()

    # What keeps the catalog true.

    async def run(self) -> None:
        """Carry changes into the catalog, for ever."""
        while True:
            await self._remove_condemned()
            now = trio.current_time()
            if self.local.expire(now=now):
                self._changed()
            try:
                if now >= self._full:
                    await self._compare_all(now)
                elif self._version > self._written:
                    await self.settle()
            except CatalogError as error:
                log.info("the catalog could not be brought up to date: %s", error)
                # A write of unknown fate may yet undo a later one: so look at everything again.
                self._full = trio.current_time() + self._pace.next_attempt(self._agents())
            with trio.move_on_at(min(self.local.deadline, self._full)):
                await self._bell.wait()
            self._bell = trio.Event()

    async def follow(self, roster: Roster) -> None:
        """Compare everything soon after a server has come: it may lack what others had."""
        while True:
            known = roster.servers.keys()
            await roster.wait_change()
            if roster.servers.keys() - known:
                soon = trio.current_time() + self._pace.after_server(self._agents())
                self._full = min(self._full, soon)
                self._bell.set()

    async def _compare_all(self, now: float) -> None:
        outputs = now >= self._outputs
        await self.compare(outputs=outputs)
        if outputs:
            self._outputs = now + self._pace.next_outputs()
        self._full = now + self._pace.next_full(self._agents())

    async def _remove_condemned(self) -> None:
        condemned = self.local.condemned(now=trio.current_time())
        for service_id in condemned:
            log.warning("service %r was critical for too long; it is removed", service_id)
            self.local.deregister(service_id)
        if condemned:
            self._changed()
            self._services_changed()
            try:
                await self._save()
            except CatalogError as error:
                log.error("%s", error)  # noqa: TRY400 - it is all there is to say

    async def _carry(self) -> int:
        """Carry a change of the record to the disk and into the catalog; return the index."""
        self._changed()
        self._services_changed()
        await self._save()
        return await self.settle()

    async def _save(self) -> None:
        """Return once what survives the agent is on its disk as it is recorded now.

        Raises:
            CatalogError: it cannot be written; the record stays, and is written with the next
                change.

        """
        wanted = self._version
        async with self._disk:
            record = self._record
            if record is None or self._recorded >= wanted:
                return
            version, kept = self._version, self.local.kept()
            try:
                await trio.to_thread.run_sync(record.save, kept)
            except (OSError, ProtocolError) as error:
                raise CatalogError(
                    f"{record.path} cannot be written: {error}. Until this agent stops all is as "
                    f"it was asked for, but after its next start as before; mend that, and ask "
                    f"again"
                ) from error
            self._recorded = version

    async def settle(self) -> int:
        """Return the index at which the catalog has all that is recorded now; write if needed.

        Raises what asking raises, or `Refused`; the record stays, and is written later.
        """
        wanted = self._version
        async with self._turn:
            if self._written < wanted:
                await self._compare(outputs=False)
            return self._index

    async def compare(self, *, outputs: bool) -> None:
        """Compare everything with the catalog, and write what differs."""
        async with self._turn:
            await self._compare(outputs=outputs)

    async def _compare(self, *, outputs: bool) -> None:
        refused: Applied | None = None
        for _ in range(ATTEMPTS_MAX):
            reply = await self._ask(AskedNode(self.local.node.name))
            version = self._version
            refused = None
            self._index = reply.index  # what was written by a write of unknown fate is there by now
            for command in _fitting(difference(self.local, reply.value, outputs=outputs)):
                applied: Applied = await self._ask(Write(command))
                self._index = applied.index
                if not applied.ok:
                    refused = applied
            if refused is None:
                self._written = version
                return
        assert refused is not None
        raise Refused(refused)

    def _changed(self) -> None:
        self._version += 1
        self._bell.set()

    def _services_changed(self) -> None:
        self._services_bell.set()
        self._services_bell = trio.Event()


def _fitting(operations: tuple[Operation, ...]) -> Iterator[Command]:
    """Pack operations into commands, none of them too big for an entry."""
    for command in batches(operations):
        try:
            encode(command)
        except ProtocolError:
            if not isinstance(command, Batch):
                raise
            middle = len(command.commands) // 2
            yield from _fitting(command.commands[:middle])
            yield from _fitting(command.commands[middle:])
        else:
            yield command
