"""The loop: take what has happened, step the core, do what it orders.

All waiting is done elsewhere, so a turn is short and never blocks; the one exception is a storage
that says it is faster than two task switches (see `disk`). What an order brings about at once, the
core hears of at once, in a second step of the same turn.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import assert_never

import trio

from quorum.config import Config
from quorum.core.raft import Raft
from quorum.effects import (
    Admit,
    Announce,
    Answer,
    Apply,
    Effect,
    Persist,
    Refuse,
    Restore,
    Role,
    Send,
    SendSnapshot,
    Snapshot,
    Trim,
)
from quorum.errors import QuorumError, Stopped
from quorum.events import Event, Received, SnapshotArrived, SnapshotSent
from quorum.machine import StateMachine
from quorum.messages import Entries, InstallSnapshot, Kind, Members, NodeId, SnapshotMark
from quorum.storage import IncomingSnapshot, Storage
from quorum.trio.applier import Applier
from quorum.trio.counters import Counters
from quorum.trio.disk import Disk
from quorum.trio.inbox import Inbox
from quorum.trio.link import Link
from quorum.trio.pending import Pending
from quorum.trio.waiting import MakeError

log = logging.getLogger("quorum")


class Loop:
    """One core and everything that it is connected to; the `Receiver` of its link."""

    def __init__(
        self,
        core: Raft,
        machine: StateMachine,
        *,
        storage: Storage,
        links: Link,
        config: Config,
    ) -> None:
        statistics = core.statistics()
        self.id: NodeId = statistics.id
        self.core = core
        self.counters = Counters()
        self.inbox = Inbox()
        self.pending = Pending(config)
        self.applier = Applier(machine, storage, self.pending, self.inbox, self.counters)
        self.announced = Announce(Role.FOLLOWER, statistics.term, None)
        """The newest word on role, term and leader."""
        self.announcement = trio.Event()
        """Set, and replaced by a new one, when there is a newer word."""
        self.failure: Exception | None = None
        """Why the server had to stop, if it had to."""
        self._last_leader: NodeId | None = None
        self._disk = Disk(storage, self.inbox)
        self._storage = storage
        self._links = links
        self._nursery: trio.Nursery | None = None
        self._stop: Callable[[], None] | None = None

    # Life.

    async def start(self, nursery: trio.Nursery, *, stop: Callable[[], None]) -> None:
        """Start all parts; call `stop` when one of them fails."""
        self._nursery, self._stop = nursery, stop
        self._learn(self.core.statistics().members)
        await nursery.start(self._run_links)
        for part in (self.inbox.run, self._disk.run, self.applier.run, self._run):
            nursery.start_soon(self._watch_over, part)

    def close(self, error: MakeError) -> None:
        """Answer all who wait, and all who ask from now on."""
        self.pending.close(error)
        self.applier.close(error)
        self.announcement.set()

    async def _run_links(self, *, task_status: trio.TaskStatus[None]) -> None:
        await self._watch_over(lambda: self._links.run(self, task_status=task_status))

    async def _watch_over(self, part: Callable[[], Awaitable[None]]) -> None:
        """Run a part; when it fails, the server stops."""
        try:
            await part()
        except Exception as error:  # noqa: BLE001 - raised again by open_server
            if self.failure is None:
                self.failure = failure = _sole(error)
                log.error("%s stops: %s", self.id, failure)  # noqa: TRY400 - it is raised, too
                self.close(lambda: _retold(failure))
            assert self._stop is not None
            self._stop()

    # Turning.

    async def _run(self) -> None:
        inbox, pending, core = self.inbox, self.pending, self.core
        counters = self.counters
        events: list[Event] = []
        while True:
            effects = core.step(events, now=trio.current_time())
            counters.turns += 1
            events = await self._perform(effects)
            if events:
                continue
            await inbox.wait(min(core.deadline, pending.deadline))
            if pending.deadline <= trio.current_time():
                pending.expire(trio.current_time())
            events = inbox.take()
            events += pending.gather()

    async def _perform(self, effects: Sequence[Effect]) -> list[Event]:
        """Do what the core orders; return what has happened by that already."""
        sends: list[Send] = []
        orders: list[Apply | Restore | Snapshot] = []
        persist: Persist | None = None
        for effect in effects:
            match effect:
                case Send():
                    sends.append(effect)
                case Persist():
                    persist = effect
                case Apply() | Restore() | Snapshot():
                    orders.append(effect)
                case Admit():
                    self.pending.admit(effect.tag, effect.first, effect.term)
                case Answer():
                    self.pending.answer(effect.tag, effect.index)
                case Refuse():
                    self.pending.refuse(effect)
                case Announce():
                    self._announce(effect)
                case SendSnapshot():
                    assert self._nursery is not None
                    self._nursery.start_soon(self._send_snapshot, effect)
                case Trim():
                    self._disk.trim(effect)
                case _ as never:
                    assert_never(never)
        events: list[Event] = []
        if sends:  # first, so that the others' disks work while ours does (thesis 10.2.1)
            self.counters.messages_sent += len(sends)
            self._links.send(sends)
        if persist is not None:
            self.counters.writes += 1
            if persist.entries is not None:
                self.counters.entries_written += len(persist.entries)
                self._learn_addresses(persist.entries)
            events += await self._disk.persist(persist)
        for order in orders:
            if isinstance(order, Apply):
                self.counters.entries_applied += len(order.entries)
            events += self.applier.perform(order)
        return events

    def _announce(self, news: Announce) -> None:
        old = self.announced
        if old.leader is not None and (old.leader, old.term) != (news.leader, news.term):
            self.pending.doubt(trio.current_time())  # whoever put them into its log lost the lead
        if news.leader not in (None, self._last_leader):
            self._last_leader = news.leader
            self.counters.leader_changes += 1
        self.announced = news
        self.announcement.set()
        self.announcement = trio.Event()
        log.info(
            "%s is %s in term %d, leader %s%s",
            self.id,
            news.role.value,
            news.term,
            news.leader or "unknown",
            f" ({news.because})" if news.because else "",
        )

    def _learn_addresses(self, entries: Entries) -> None:
        """A configuration is in force as soon as it is in the log, and so are its addresses."""
        if Kind.MEMBERS in entries.kinds:
            for entry in entries:
                if entry.kind is Kind.MEMBERS:
                    self._learn(Members.from_bytes(entry.payload))

    def _learn(self, members: Members) -> None:
        for peer, address in members.addresses:
            if peer != self.id:
                self._links.learn(peer, address)

    # What the link brings, and what it carries besides messages.

    def received(self, events: Sequence[Received]) -> None:
        """See `Receiver.received`."""
        self.counters.messages_received += len(events)
        self.inbox.extend(events)

    async def receive_snapshot(self, mark: SnapshotMark) -> IncomingSnapshot:
        """See `Receiver.receive_snapshot`."""
        return await self._storage.receive_snapshot(mark)

    async def snapshot_received(
        self, sender: NodeId, message: InstallSnapshot, snapshot: IncomingSnapshot
    ) -> None:
        """See `Receiver.snapshot_received`."""
        await snapshot.save()
        self.counters.snapshots_received += 1
        self._learn(message.mark.members)
        self.inbox.put(SnapshotArrived(sender, message.term, message.round, message.mark))

    async def _send_snapshot(self, order: SendSnapshot) -> None:
        message = InstallSnapshot(order.term, order.round, order.mark)
        ok = False
        try:
            snapshot = await self._storage.open_snapshot(order.mark)
            try:
                await self._links.send_snapshot(order.to, message, snapshot)
            finally:
                snapshot.close()
            ok = True
        except (OSError, QuorumError) as error:
            log.warning(
                "%s could not give the snapshot at index %d to %s, it will be tried again: %s",
                self.id,
                order.mark.index,
                order.to,
                error,
            )
        self.counters.snapshots_sent += ok
        self.counters.snapshots_failed += not ok
        self.inbox.put(SnapshotSent(order.to, order.mark, ok))


def _sole(error: Exception) -> Exception:
    """The error inside groups of one: how many nurseries it went through is nobody's business."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _retold(failure: Exception) -> QuorumError:
    """The server's failure, as a fresh error for each caller."""
    if isinstance(failure, QuorumError):
        return type(failure)(*failure.args)
    return Stopped(f"this server has failed: {failure!r}")
