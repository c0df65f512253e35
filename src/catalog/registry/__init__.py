"""The replicated state machine of the catalog: all it knows, as a function of the log.

One file keeps one thing: `services` the nodes and what runs on them, `keys` the keys, `history`
the latest changes, `image` the snapshot's format; here is the door.

Replicas that apply the same entries are equal, byte for byte in their snapshots, however the
entries were cut into batches and wherever a replica was restored from a snapshot in between.
For that, nothing here looks at a clock, a random number or the order of a set, and a command that
cannot be done gets a value for an answer, never an exception.

Every change has an index, that of its log entry.
A reader keeps the index of what it read; to wait for news, it waits until `drain` names what it
read, reads again, and compares the index.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, assert_never

from attrs import Factory, define, evolve

from catalog.commands import (
    Applied,
    Batch,
    Command,
    DeleteKey,
    DeregisterNode,
    DeregisterService,
    Operation,
    PutKey,
    Reason,
    Refusal,
    RegisterNode,
    RegisterService,
    SetCheck,
    SetNodeHealth,
)
from catalog.errors import ProtocolError
from catalog.model import GOSSIP_CHECK, Change, CheckState, Delta, KeyValue, NodeView, Update, View
from catalog.registry.history import CHANGES_MAX, History
from catalog.registry.image import Image
from catalog.registry.keys import KeyTable
from catalog.registry.services import ServiceTable
from catalog.wire import decode

if TYPE_CHECKING:
    from quorum.messages import Entries

__all__ = ["Registry", "Touched"]


@define
class Touched:
    """What changed since the last `Registry.drain`, each with the index of its last change."""

    services: dict[str, int] = Factory(dict)
    """Names of services of which an instance came, changed or went."""
    nodes: dict[str, int] = Factory(dict)
    """Names of nodes that did, or on which an instance did."""
    keys: dict[str, int] = Factory(dict)
    everything: bool = False
    """A snapshot was restored: wake all waiters."""

    def __bool__(self) -> bool:
        return bool(self.services or self.nodes or self.keys or self.everything)


class Registry:
    """All that the catalog knows; a `quorum.machine.StateMachine`.

    What the reads return is immutable and stays as it was; all of them are plain calls that see
    the registry between two entries.
    """

    def __init__(self, *, changes_max: int = CHANGES_MAX) -> None:
        self.applied = 0
        """Index of the last entry applied."""
        self._services = ServiceTable()
        self._keys = KeyTable()
        self._history = History(changes_max=changes_max)
        self._touched = Touched()

    # The state machine.

    def apply(self, entries: Entries) -> Sequence[Applied]:
        """Apply a run of commands and return one answer for each; never raise."""
        return [
            self._apply(index, payload)
            for index, payload in enumerate(entries.payloads, entries.first)
        ]

    def snapshot(self) -> bytes:
        """Return all that the registry is; equal registries give equal bytes."""
        return Image(self.applied, self._services.image(), self._keys.image()).to_bytes()

    def restore(self, snapshot: bytes) -> None:
        """Become the registry that made this snapshot; subscribers start again.

        Raises:
            ProtocolError: the snapshot is damaged or not one of ours; nothing was restored.

        """
        image = Image.from_bytes(snapshot)
        self._services = ServiceTable.from_image(image.services)
        self._keys = KeyTable.from_image(image.keys)
        self._history = History(floor=image.applied, changes_max=self._history.changes_max)
        self._touched = Touched(everything=True)
        self.applied = image.applied

    def drain(self) -> Touched:
        """Return what changed since the last call: whom to wake."""
        touched, self._touched = self._touched, Touched()
        return touched

    # Reads: services and nodes.

    def lookup(self, name: str, *, healthy: bool = True, tag: str | None = None) -> View:
        """Return the instances of a service.

        Args:
            name: the service's name; an unknown one has no instances.
            healthy: only those that pass: the node and every check.
            tag: only those with this tag.

        """
        return self._services.view(name).select(healthy=healthy, tag=tag)

    def services(self) -> dict[str, tuple[str, ...]]:
        """Return all services, sorted, with the tags that any of their instances has, sorted."""
        return self._services.tags()

    def services_index(self) -> int:
        """Return the index of the last change to any instance of any service."""
        return self._services.services_index

    def node(self, name: str) -> NodeView | None:
        """Return a node with its instances, or `None` if it is not in the catalog."""
        return self._services.node(name)

    def nodes(self) -> tuple[NodeView, ...]:
        """Return all nodes, sorted by name."""
        views = map(self._services.node, self._services.node_names())
        return tuple(view for view in views if view is not None)

    def nodes_index(self) -> int:
        """Return the index of the last change to any node or its health."""
        return self._services.nodes_index

    # Reads: keys.

    def get(self, key: str) -> KeyValue | None:
        """Return a key with its value, or `None` if there is no such key."""
        return self._keys.get(key)

    def key_index(self, key: str) -> int:
        """Return the index of a key's last change, deletion included."""
        return self._keys.index(key)

    def keys(self, prefix: str = "") -> tuple[str, ...]:
        """Return the keys that start with `prefix`, sorted."""
        return self._keys.keys(prefix)

    def items(self, prefix: str = "") -> tuple[KeyValue, ...]:
        """Return the keys that start with `prefix`, with their values, sorted by key."""
        return self._keys.items(prefix)

    def prefix_index(self, prefix: str = "") -> int:
        """Return the index of the last change to any key under `prefix`, deletions included."""
        return self._keys.prefix_index(prefix)

    # Subscriptions.

    def changes(self, name: str, after: int) -> tuple[Change, ...] | None:
        """Return every change of a service after an index, in order.

        Applied in order to `lookup(name, healthy=False)` as of `after`, they give that of now.
        `None`: they are forgotten; send a view instead (`update` does).
        """
        if after >= self._services.index(name):
            return ()  # a quiet service's past needs no history
        return self._history.since(name, after)

    def update(self, name: str, after: int) -> Update:
        """Return what a subscriber that has `name` as of `after` needs: a delta, or a view."""
        changes = self.changes(name, after)
        if changes is None:
            return self._services.view(name)
        return Delta(after, max(after, self._services.index(name)), name, changes)

    # One entry.

    def _apply(self, index: int, payload: bytes) -> Applied:
        self.applied = index
        try:
            command = decode(payload)
        except ProtocolError:
            # The decoder's words are for people and may differ between builds of a library; an
            # answer may not.
            return Applied(
                index,
                Refusal.MALFORMED,
                f"entry {index} is no command of this version; it was skipped, nothing changed: "
                f"bring all servers to the version that wrote it",
            )
        applied = self._perform(command, index)
        self._commit(index)
        return applied

    def _perform(self, command: Command, index: int) -> Applied:
        if not isinstance(command, Batch):
            return self._answer(self._operate(command, index), index)
        parts = tuple(
            self._answer(self._operate(operation, index), index) for operation in command.commands
        )
        for number, part in enumerate(parts, 1):
            if not part.ok:
                detail = f"command {number} of {len(parts)}: {part.detail}"
                return evolve(part, detail=detail, parts=parts)
        return Applied(index, parts=parts)

    def _answer(self, refused: Reason | None, index: int) -> Applied:
        return Applied(index) if refused is None else Applied(index, *refused)

    def _operate(self, operation: Operation, index: int) -> Reason | None:
        services = self._services
        match operation:
            case SetCheck(node, check_id, status, output):
                return services.set_check(node, CheckState(check_id, status, output), index)
            case PutKey():
                return self._touch_keys(self._keys.put(operation, index))
            case RegisterService(node, service):
                return services.register_service(node, service, index)
            case SetNodeHealth(node, status, output):
                return services.set_node_health(
                    node, CheckState(GOSSIP_CHECK, status, output), index
                )
            case DeregisterService(node, service_id):
                services.deregister_service(node, service_id)
            case DeleteKey():
                return self._touch_keys(self._keys.delete(operation, index))
            case RegisterNode(node):
                services.register_node(node, index)
            case DeregisterNode(node):
                services.deregister_node(node, index)
            case _:
                assert_never(operation)
        return None

    def _touch_keys(self, outcome: Reason | dict[str, int]) -> Reason | None:
        if isinstance(outcome, tuple):
            return outcome
        self._touched.keys.update(outcome)
        return None

    def _commit(self, index: int) -> None:
        changes, nodes = self._services.commit(index)
        for name, change in changes:
            self._history.record(name, change)
            self._touched.services[name] = index
        self._touched.nodes.update(dict.fromkeys(nodes, index))
