"""The replicated state machine of the catalog: all it knows, as a function of the log.

One file keeps one thing: `records` and `services` the nodes and what runs on them, `keys` the keys,
`sessions` the sessions, `locks` the rules that join those two, `queries` and `coordinates` what
their names say, `history` the latest changes of services. `tables` has them all, and what follows
in one from what happens in another; `transactions` does several things or none; `reading` answers
questions; `image` is the snapshot's format. Here is the door.

Replicas that apply the same entries are equal, byte for byte in their snapshots, however the
entries were cut into batches and wherever a replica was restored from a snapshot in between.
For that, nothing here looks at a clock, a random number or the order of a set, and a command that
cannot be done gets a value for an answer, never an exception. What must expire does so by the
stamps that the leader gave to the entries (`Entries.stamps`, in ms).

Every change has an index, that of its log entry.
A reader keeps the index of what it read; to wait for news, it waits until `drain` names what it
read, reads again, and compares the index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from attrs import Factory, define, evolve

from catalog.answers import Applied, Reason, Refusal
from catalog.commands import Acquire, Batch, Command, Operation, Release, Transaction
from catalog.errors import ProtocolError
from catalog.model import Change, Delta, KeyDelta, KeyValue, NodeView, Session, Update, View
from catalog.registry.history import CHANGES_MAX, History
from catalog.registry.image import Image
from catalog.registry.reading import Found, Topic, find
from catalog.registry.tables import Tables
from catalog.registry.transactions import outcome, transact
from catalog.requests import Read
from catalog.wire import decode

if TYPE_CHECKING:
    from quorum.messages import Entries

__all__ = ["Registry", "Topic", "Touched"]


@define
class Touched:
    """What changed since the last `Registry.drain`: whom to wake."""

    topics: dict[Topic, None] = Factory(dict)
    """Of keys only the keys themselves: who waits for a prefix of one is concerned as well."""
    everything: bool = False
    """A snapshot was restored: wake all waiters."""

    def __bool__(self) -> bool:
        return bool(self.topics or self.everything)


class Registry:
    """All that the catalog knows; a `quorum.machine.StateMachine`.

    What the reads return is immutable and stays as it was; all of them are plain calls that see
    the registry between two entries.
    """

    def __init__(self, *, changes_max: int = CHANGES_MAX) -> None:
        self.applied = 0
        """Index of the last entry applied."""
        self.clock = 0
        """Its stamp: the time of the cluster in ms, as far as the log has come."""
        self._tables = Tables()
        self._history = History(changes_max=changes_max)
        self._touched = Touched()

    # The state machine.

    def apply(self, entries: Entries) -> Sequence[Applied]:
        """Apply a run of commands and return one answer for each; never raise."""
        rows = zip(entries.stamps, entries.payloads, strict=True)
        return [
            self._apply(index, stamp, payload)
            for index, (stamp, payload) in enumerate(rows, entries.first)
        ]

    def snapshot(self) -> Iterator[bytes]:
        """Return all that the registry is, in chunks that are made as they are asked for.

        Equal registries give equal bytes. Only the references are collected here and now; what
        they refer to never changes.
        """
        return self._tables.image(self.applied, self.clock).chunks()

    def to_bytes(self) -> bytes:
        """Return the snapshot in one piece."""
        return b"".join(self.snapshot())

    def restore(self, snapshot: bytes) -> None:
        """Become the registry that made this snapshot; subscribers start again.

        Raises:
            ProtocolError: the snapshot is damaged or not one of ours; nothing was restored.

        """
        self.restore_chunks(iter((snapshot,)))()

    def restore_chunks(self, chunks: Iterator[bytes]) -> Callable[[], None]:
        """Read a snapshot, in any thread; return what makes the registry the one that made it.

        Raises:
            ProtocolError: as `restore`.

        """
        image = Image.from_chunks(chunks)
        tables = Tables.from_image(image)
        applied, clock = image.applied, image.clock

        def put_in_place() -> None:
            self._put_in_place(tables, applied, clock)

        return put_in_place

    def _clear(self) -> None:
        """Let go of everything; only right before something else is put in place."""
        self._tables = Tables()
        self._history = History(changes_max=self._history.changes_max)

    def _put_in_place(self, tables: Tables, applied: int, clock: int) -> None:
        self._tables = tables
        self._history = History(floor=applied, changes_max=self._history.changes_max)
        self._touched = Touched(everything=True)
        self.applied, self.clock = applied, clock

    def drain(self) -> Touched:
        """Return what changed since the last call: whom to wake."""
        touched, self._touched = self._touched, Touched()
        return touched

    # Reads.

    def find(self, read: Read[Any]) -> Found:
        """Answer a question: the value, its index, and the topics that its news will touch."""
        return find(self._tables, read)

    def transact(self, transaction: Transaction) -> Applied:
        """Answer a transaction that only reads."""
        assert transaction.reads_only, "what changes something takes a log entry"
        return transact(self._tables, transaction, self.applied, self.clock)

    def lookup(self, name: str, *, healthy: bool = True, tag: str | None = None) -> View:
        """Return the instances of a service.

        Args:
            name: the service's name; an unknown one has no instances.
            healthy: only those to send anybody to: the node and every check passes.
            tag: only those with this tag.

        """
        return self._tables.services.view(name).select(healthy=healthy, tag=tag)

    def node(self, name: str) -> NodeView | None:
        """Return a node with its instances, or `None` if it is not in the catalog."""
        return self._tables.services.node(name)

    def nodes(self) -> tuple[NodeView, ...]:
        """Return all nodes, sorted by name."""
        views = map(self._tables.services.node, self._tables.services.node_names())
        return tuple(view for view in views if view is not None)

    def get(self, key: str) -> KeyValue | None:
        """Return a key with its value, or `None` if there is no such key."""
        return self._tables.keys.get(key)

    def sessions(self) -> tuple[Session, ...]:
        """Return all sessions, sorted by id."""
        return self._tables.sessions.sessions()

    def session(self, session_id: str) -> Session | None:
        """Return a session, or `None` if there is none of this id."""
        return self._tables.sessions.get(session_id)

    # Subscriptions.

    def changes(self, name: str, after: int) -> tuple[Change, ...] | None:
        """Return every change of a service after an index, in order.

        Applied in order to `lookup(name, healthy=False)` as of `after`, they give that of now.
        `None`: they are forgotten; send a view instead (`update` does).
        """
        if after >= self._tables.services.service_index(name):
            return ()  # a quiet service's past needs no history
        return self._history.since(name, after)

    def update(self, name: str, after: int) -> Update:
        """Return what a subscriber that has `name` as of `after` needs: a delta, or a view."""
        changes = self.changes(name, after)
        if changes is None:
            return self._tables.services.view(name)
        index = self._tables.services.service_index(name)
        return Delta(after, max(after, index), name, changes)

    def key_update(self, prefix: str, after: int | None) -> KeyDelta:
        """Return what a subscriber that has a prefix as of `after` needs."""
        return self._tables.keys.update(prefix, after, self.applied)

    # One entry.

    def _apply(self, index: int, stamp: int, payload: bytes) -> Applied:
        self.applied = index
        stamp = self.clock = max(self.clock, stamp)
        try:
            command = decode(payload)
        except ProtocolError:
            # The decoder's words are for people and may differ between builds of a library; an
            # answer may not.
            applied = Applied(
                index,
                Refusal.MALFORMED,
                f"entry {index} is no command of this version; it was skipped, nothing changed: "
                f"bring all servers to the version that wrote it",
            )
        else:
            applied = self._perform(command, index, stamp)
        self._commit(index, stamp)
        return applied

    def _perform(self, command: Command, index: int, stamp: int) -> Applied:
        if isinstance(command, Transaction):
            return transact(self._tables, command, index, stamp)
        if not isinstance(command, Batch):
            return self._operate(command, index, stamp)
        parts = tuple(self._operate(operation, index, stamp) for operation in command.commands)
        for number, part in enumerate(parts, 1):
            if not part.ok:
                detail = f"command {number} of {len(parts)}: {part.detail}"
                return evolve(part, detail=detail, parts=parts)
        return Applied(index, parts=parts)

    def _operate(self, operation: Operation, index: int, stamp: int) -> Applied:
        refused: Reason | None = self._tables.operate(operation, index, stamp)
        if refused is not None:
            return Applied(index, *refused)
        if isinstance(operation, Acquire | Release):
            return Applied(index, values=outcome(self._tables, operation))
        return Applied(index)

    def _commit(self, index: int, stamp: int) -> None:
        tables, topics = self._tables, self._touched.topics
        for key in tables.keys.commit(index, stamp):
            topics["key", key] = None
        tables.locks.commit(stamp)
        done = tables.services.commit(index)
        if done is not None:
            for name, change in done.changes:
                self._history.record(name, change)
                topics["service", name] = None
            topics["everything", ""] = None
            for node in done.nodes:
                topics["node", node] = None
            if done.described:
                topics["nodes", ""] = None
            if done.registered:
                topics["services", ""] = None
            if done.statuses:
                topics["checks", ""] = None
            for status in done.statuses:
                topics["checks", status.value] = None
        for session in tables.sessions.commit(index):
            topics["session", session.id] = None
            topics["sessions", session.node] = None
            topics["sessions", ""] = None
        if tables.queries.commit(index):
            topics["queries", ""] = None
        if tables.coordinates.commit(index):
            topics["coordinates", ""] = None
