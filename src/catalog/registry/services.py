"""The table of nodes, and of the services and checks on them.

A node owns its instances; an instance is kept joined (node, service, checks in one frozen value),
because it is read far more often than it changes.
So a write rebuilds the few instances that it concerns, and a lookup hands out what is there.

Three rules, Consul's:

* what changes carries the index of the entry that changed it, and everything joined with it does;
* a write that says what is there already changes no index, so that reconciliation may say things
  again without waking anybody;
* a service that has instances has an index of its own, so that a reader of one service is not
  woken by another. A service without instances answers with the index at which the last service
  of any name lost its last instance: it is no older than the end of this one, and costs one int
  where an index per name ever used would cost memory without bound.

Readers see whole entries: `commit` ends an entry, and turns all that it did to one instance into
one change.
"""

from __future__ import annotations

from attrs import Factory, define, evolve

from catalog.commands import Reason, Refusal
from catalog.model import Change, ChangeKind, CheckState, Instance, Node, NodeView, Service, View
from catalog.registry.image import InstanceRow, NodeRow, ServicesImage

__all__ = ["ServiceTable"]


@define
class NodeRecord:
    """A node and all that it owns."""

    node: Node
    create_index: int
    modify_index: int
    health: CheckState | None = None
    instances: dict[str, Instance] = Factory(dict)
    """By service id."""
    check_owners: dict[str, str] = Factory(dict)
    """Check id to service id: a check is addressed by node and check id alone."""


@define
class ServiceTable:
    """Nodes with their services; instances once more by service name."""

    nodes_index: int = 0
    """Of the last change to any node or its health."""
    services_index: int = 0
    """Of the last change to any instance."""
    extinction_index: int = 0
    """Of the last time that any service lost its last instance."""
    _records: dict[str, NodeRecord] = Factory(dict)
    _by_name: dict[str, dict[tuple[str, str], Instance]] = Factory(dict)
    _indexes: dict[str, int] = Factory(dict)
    _views: dict[str, View] = Factory(dict)
    """Built on first lookup after a change."""
    _before: dict[tuple[str, str], Instance | None] = Factory(dict)
    """Instances that the current entry changed, as they were before it."""
    _nodes_changed: dict[str, None] = Factory(dict)
    """Nodes that the current entry changed, in order."""

    # Writes: each returns None, or why not.

    def register_node(self, node: Node, index: int) -> None:
        """Enter or redescribe a node."""
        record = self._records.get(node.name)
        if record is None:
            self._records[node.name] = NodeRecord(node, index, index)
        elif record.node == node:
            return
        else:
            record.node = node
            self._rejoin(record, index)
        self._node_changed(node.name, index)

    def deregister_node(self, name: str, index: int) -> None:
        """Remove a node and all that it owns."""
        record = self._records.get(name)
        if record is None:
            return
        for service_id in sorted(record.instances):
            self._remove(record, service_id)
        del self._records[name]
        self._node_changed(name, index)

    def set_node_health(self, name: str, state: CheckState, index: int) -> Reason | None:
        """Record what gossip says of a node."""
        record = self._records.get(name)
        if record is None:
            return _unknown_node(name)
        if record.health != state:
            record.health = state
            self._rejoin(record, index)
            self._node_changed(name, index)
        return None

    def register_service(self, name: str, service: Service, index: int) -> Reason | None:
        """Enter or replace a service; checks that it had already keep their state."""
        record = self._records.get(name)
        if record is None:
            return _unknown_node(name)
        checks = service.named_checks()
        for check_id in checks:
            owner = record.check_owners.get(check_id, service.id)
            if owner != service.id:
                return Refusal.CHECK_TAKEN, (
                    f"check {check_id!r} on node {name!r} belongs to service {owner!r}; nothing "
                    f"was registered: choose another check id"
                )
        old = record.instances.get(service.id)
        if old is not None and old.service == service:
            return None
        states = {} if old is None else {state.id: state for state in old.checks}
        self._put(
            record,
            Instance(
                node=record.node,
                service=service,
                node_health=record.health,
                checks=tuple(
                    states.get(check_id) or CheckState(check_id, check.status)
                    for check_id, check in checks.items()
                ),
                create_index=index if old is None else old.create_index,
                modify_index=index,
            ),
        )
        return None

    def deregister_service(self, name: str, service_id: str) -> None:
        """Remove a service."""
        record = self._records.get(name)
        if record is not None and service_id in record.instances:
            self._remove(record, service_id)

    def set_check(self, name: str, state: CheckState, index: int) -> Reason | None:
        """Record what a check said."""
        record = self._records.get(name)
        if record is None:
            return _unknown_node(name)
        owner = record.check_owners.get(state.id)
        if owner is None:
            return Refusal.UNKNOWN_CHECK, (
                f"no service on node {name!r} has a check {state.id!r}; nothing was recorded: "
                f"register the service with its checks first"
            )
        old = record.instances[owner]
        if state not in old.checks:
            checks = tuple(state if known.id == state.id else known for known in old.checks)
            self._put(record, evolve(old, checks=checks, modify_index=index))
        return None

    def commit(self, index: int) -> tuple[list[tuple[str, Change]], list[str]]:
        """End an entry: return its changes with the service names, and the nodes it touched."""
        changes: list[tuple[str, Change]] = []
        for key, before in self._before.items():
            node_name, service_id = key
            record = self._records.get(node_name)
            after = None if record is None else record.instances.get(service_id)
            changes += _compare(before, after, index)
            self._nodes_changed[node_name] = None
        for name, change in changes:
            self._index_by_name(name, change)
        nodes = list(self._nodes_changed)
        self._before.clear()
        self._nodes_changed.clear()
        return changes, nodes

    # Reads.

    def view(self, name: str) -> View:
        """Return all instances of a service."""
        view = self._views.get(name)
        if view is None:
            instances = self._by_name.get(name, {})
            view = View(self.index(name), name, tuple(instances[key] for key in sorted(instances)))
            if instances:  # names that nobody has must not fill the memory
                self._views[name] = view
        return view

    def index(self, name: str) -> int:
        """Return the index of a service: its last change, or the last extinction of any."""
        return self._indexes.get(name, self.extinction_index)

    def tags(self) -> dict[str, tuple[str, ...]]:
        """Return all services, sorted, each with the tags that any of its instances has."""
        return {
            name: tuple(sorted({tag for one in instances.values() for tag in one.service.tags}))
            for name, instances in sorted(self._by_name.items())
        }

    def node(self, name: str) -> NodeView | None:
        """Return a node with its instances."""
        record = self._records.get(name)
        if record is None:
            return None
        return NodeView(
            node=record.node,
            health=record.health,
            create_index=record.create_index,
            modify_index=record.modify_index,
            instances=tuple(record.instances[key] for key in sorted(record.instances)),
        )

    def node_names(self) -> list[str]:
        """Return the names of all nodes, sorted."""
        return sorted(self._records)

    # Snapshots.

    def image(self) -> ServicesImage:
        """Return all that this table is, in canonical order."""
        return ServicesImage(
            nodes=tuple(_row(self._records[name]) for name in sorted(self._records)),
            indexes=tuple(sorted(self._indexes.items())),
            nodes_index=self.nodes_index,
            services_index=self.services_index,
            extinction_index=self.extinction_index,
        )

    @classmethod
    def from_image(cls, image: ServicesImage) -> ServiceTable:
        """Return the table that made this image."""
        table = cls(image.nodes_index, image.services_index, image.extinction_index)
        table._indexes = dict(image.indexes)
        for row in image.nodes:
            record = NodeRecord(row.node, row.create_index, row.modify_index, row.health)
            table._records[row.node.name] = record
            for instance in row.joined():
                record.instances[instance.service.id] = instance
                for state in instance.checks:
                    record.check_owners[state.id] = instance.service.id
                table._by_name.setdefault(instance.service.name, {})[instance.key] = instance
        return table

    # The few ways in which a record changes.

    def _put(self, record: NodeRecord, instance: Instance) -> None:
        old = record.instances.get(instance.service.id)
        self._before.setdefault(instance.key, old)
        if old is not None:
            for state in old.checks:
                del record.check_owners[state.id]
        for state in instance.checks:
            record.check_owners[state.id] = instance.service.id
        record.instances[instance.service.id] = instance

    def _remove(self, record: NodeRecord, service_id: str) -> None:
        old = record.instances.pop(service_id)
        self._before.setdefault(old.key, old)
        for state in old.checks:
            del record.check_owners[state.id]

    def _rejoin(self, record: NodeRecord, index: int) -> None:
        """Carry what is new about a node into its instances."""
        for service_id in sorted(record.instances):
            old = record.instances[service_id]
            self._put(
                record,
                evolve(old, node=record.node, node_health=record.health, modify_index=index),
            )

    def _node_changed(self, name: str, index: int) -> None:
        self.nodes_index = index
        self._nodes_changed[name] = None
        if name in self._records:
            self._records[name].modify_index = index

    def _index_by_name(self, name: str, change: Change) -> None:
        self._views.pop(name, None)
        self.services_index = change.index
        instances = self._by_name.setdefault(name, {})
        if change.kind is not ChangeKind.REMOVED:
            instances[change.instance.key] = change.instance
            self._indexes[name] = change.index
            return
        del instances[change.instance.key]
        if instances:
            self._indexes[name] = change.index
        else:
            del self._by_name[name], self._indexes[name]
            self.extinction_index = change.index


def _compare(
    before: Instance | None, after: Instance | None, index: int
) -> list[tuple[str, Change]]:
    """Return what became of an instance in one entry, under the names of the services."""
    if before is not None and after is not None and before.service.name == after.service.name:
        return [(after.service.name, Change(index, ChangeKind.UPDATED, after))]
    changes = []
    if before is not None:  # gone, or under another name from now on
        changes.append((before.service.name, Change(index, ChangeKind.REMOVED, before)))
    if after is not None:
        changes.append((after.service.name, Change(index, ChangeKind.ADDED, after)))
    return changes


def _row(record: NodeRecord) -> NodeRow:
    rows = []
    for service_id in sorted(record.instances):
        one = record.instances[service_id]
        rows.append(InstanceRow(one.service, one.checks, one.create_index, one.modify_index))
    return NodeRow(
        record.node, record.health, record.create_index, record.modify_index, tuple(rows)
    )


def _unknown_node(name: str) -> Reason:
    """Say that there is no such node."""
    return Refusal.UNKNOWN_NODE, (
        f"node {name!r} is not in the catalog; nothing was recorded: register the node first, or "
        f"wait until the leader has learned of it by gossip"
    )
