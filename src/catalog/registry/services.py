"""The table of nodes, and of the services and checks on them.

A node owns its instances; an instance is kept joined (node, service, checks in one frozen value),
because it is read far more often than it changes.
So a write rebuilds the few instances that it concerns, and a lookup hands out what is there.

Three rules, Consul's:

* what changes carries the index of the entry that changed it, and everything joined with it does;
* a write that says what is there already changes no index, so that reconciliation may say things
  again without waking anybody;
* a service that has instances has an index of its own, so that a reader of one service is not
  woken by another.

Readers see whole entries: `commit` ends an entry, and turns all that it did to one instance into
one change; `rollback` takes back what it did.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import Factory, define, evolve

from catalog.answers import Reason
from catalog.commands import (
    DeregisterCheck,
    DeregisterNode,
    DeregisterService,
    RegisterCheck,
    RegisterNode,
    RegisterService,
)
from catalog.model import (
    GOSSIP_CHECK,
    Change,
    ChangeKind,
    CheckState,
    Instance,
    Node,
    NodeCheck,
    NodeView,
    Service,
    Status,
    View,
)
from catalog.registry.image import ServicesImage
from catalog.registry.records import NodeRecord, Records
from catalog.registry.refusals import (
    check_taken,
    conflict,
    unknown_check,
    unknown_node,
    unknown_service,
)
from catalog.registry.rows import Indexes

__all__ = ["Committed", "ServiceTable"]


@define
class Committed:
    """What an entry did."""

    changes: list[tuple[str, Change]] = Factory(list)
    """With the names of the services."""
    nodes: dict[str, None] = Factory(dict)
    """Nodes on which anything changed."""
    described: bool = False
    """Whether any node or its checks changed."""
    registered: bool = False
    """Whether any service came, went or was described otherwise."""
    statuses: dict[Status, None] = Factory(dict)
    """States that a check came into, was in or left."""


@define
class ServiceTable:
    """Nodes with their services; instances once more by service name."""

    nodes_index: int = 0
    """Of the last change to any node or its checks."""
    services_index: int = 0
    """Of the last time that a service came, went or was described otherwise."""
    index: int = 0
    """Of the last change to anything here."""
    records: Records = Factory(Records)
    _by_name: dict[str, dict[tuple[str, str], Instance]] = Factory(dict)
    _indexes: Indexes = Factory(Indexes)
    """By service name."""
    _node_extinction: int = 0
    """When a node was last deregistered."""
    _status_indexes: dict[Status, int] = Factory(lambda: dict.fromkeys(Status, 0))
    _views: dict[str, View] = Factory(dict)
    """Built on first lookup after a change."""
    _tags: dict[str, tuple[str, ...]] = Factory(dict)
    """The same, for `tags`."""

    # Writes: each returns None, or why not.

    def register_node(self, command: RegisterNode, index: int) -> Reason | None:
        """Enter or redescribe a node."""
        node = command.node
        record = self.records.get(node.name)
        if command.cas is not None:
            found = 0 if record is None else record.view.modify_index
            if found != command.cas:
                return conflict(f"node {node.name!r}", command.cas, found)
        if record is None:
            self.records.set_node(NodeView(node, None, index, index))
        elif command.update and record.view.node != node:
            self.records.set_node(evolve(record.view, node=node, modify_index=index))
        return None

    def deregister_node(self, command: DeregisterNode) -> Reason | None:
        """Remove a node and all that it owns."""
        record = self.records.get(command.node)
        if record is None:
            return None
        if command.cas not in (None, record.view.modify_index):
            return conflict(f"node {command.node!r}", command.cas, record.view.modify_index)
        for service_id in sorted(record.instances):
            self.records.remove(record, service_id)
        self.records.remove_node(record)
        return None

    def register_service(self, command: RegisterService, index: int) -> Reason | None:
        """Enter or replace a service; checks that it had already keep their state."""
        name, service = command.node, command.service
        record = self.records.get(name)
        if record is None:
            return unknown_node(name)
        old = record.instances.get(service.id)
        found = 0 if old is None else old.modify_index
        if command.cas not in (None, found):
            return conflict(f"service {service.id!r} on node {name!r}", command.cas, found)
        for check_id in service.named_checks():
            owner = record.owners.get(check_id, service.id)
            if owner != service.id:
                return check_taken(check_id, name, owner)
        checks = _checks_of(service, old, index)
        if old is not None and old.service == service and old.checks == checks:
            return None
        view = record.view
        created = index if old is None else old.create_index
        self.records.put(
            record,
            Instance(view.node, service, view.health, checks, created, index, view.checks),
        )
        return None

    def deregister_service(self, command: DeregisterService) -> Reason | None:
        """Remove a service."""
        record = self.records.get(command.node)
        instance = None if record is None else record.instances.get(command.service_id)
        if record is None or instance is None:
            return None
        if command.cas not in (None, instance.modify_index):
            what = f"service {command.service_id!r} on node {command.node!r}"
            return conflict(what, command.cas, instance.modify_index)
        self.records.remove(record, command.service_id)
        return None

    def register_check(self, command: RegisterCheck, index: int) -> Reason | None:
        """Enter or replace a check of a service or a node."""
        name, check, owner = command.node, command.check, command.service_id
        record = self.records.get(name)
        if record is None:
            return unknown_node(name)
        if owner and owner not in record.instances:
            return unknown_service(owner, name)
        if record.owners.get(check.id, owner) != owner:
            return check_taken(check.id, name, record.owners[check.id])
        old = record.state(check.id)
        found = 0 if old is None else old.modify_index
        if command.cas not in (None, found):
            return conflict(f"check {check.id!r} on node {name!r}", command.cas, found)
        if old != check:
            created = index if old is None else old.create_index
            self.records.set_check(
                record, owner, evolve(check, create_index=created, modify_index=index), index
            )
        return None

    def deregister_check(self, command: DeregisterCheck, index: int) -> Reason | None:
        """Remove a check."""
        record = self.records.get(command.node)
        old = None if record is None else record.state(command.check_id)
        if record is None or old is None:
            return None
        if command.cas not in (None, old.modify_index):
            what = f"check {command.check_id!r} on node {command.node!r}"
            return conflict(what, command.cas, old.modify_index)
        self.records.remove_check(record, command.check_id, index)
        return None

    def set_check(
        self, name: str, check_id: str, status: Status, output: str, index: int
    ) -> Reason | None:
        """Record what a known check said."""
        record = self.records.get(name)
        if record is None:
            return unknown_node(name)
        owner = record.owners.get(check_id)
        old = record.state(check_id)
        if owner is None or old is None:
            return unknown_check(check_id, name)
        if old.status is not status or old.output != output:
            state = evolve(old, status=status, output=output, modify_index=index)
            self.records.set_check(record, owner, state, index)
        return None

    def set_node_health(self, name: str, status: Status, output: str, index: int) -> Reason | None:
        """Record what gossip says of a node."""
        return self.register_check(
            RegisterCheck(name, CheckState(GOSSIP_CHECK, status, output)), index
        )

    # Ends of entries.

    def commit(self, index: int) -> Committed | None:
        """End an entry: return what it did, or `None` for nothing."""
        records = self.records
        if not (records.before or records.nodes_before):
            return None
        done = Committed(
            nodes=dict.fromkeys(records.nodes_before),
            described=bool(records.nodes_before),
            statuses=records.statuses,
        )
        for key, before in records.before.items():
            after = self.instance(*key)
            if (before and before.service) is not (after and after.service):
                done.registered = True
            done.changes += _compare(before, after, index)
            done.nodes[key[0]] = None
        records.clear()
        for name, change in done.changes:
            self._index_by_name(name, change)
        for node in done.nodes:
            record = records.get(node)
            if record is None:
                self._node_extinction = index
            else:
                record.index = index
        self._status_indexes.update(dict.fromkeys(done.statuses, index))
        self.index = index
        if done.described:
            self.nodes_index = index
        if done.registered:
            self.services_index = index
        return done

    def rollback(self) -> None:
        """Take back what the current entry did."""
        self.records.rollback()

    # Reads.

    def view(self, name: str) -> View:
        """Return all instances of a service."""
        view = self._views.get(name)
        if view is None:
            instances = self._by_name.get(name, {})
            index = self.service_index(name)
            view = View(index, name, tuple(instances[key] for key in sorted(instances)))
            if instances:  # names that nobody has must not fill the memory
                self._views[name] = view
        return view

    def service_index(self, name: str) -> int:
        """Return the index of a service: its last change, or the last extinction of any."""
        return self._indexes.of(name)

    def tags(self, node_meta: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
        """Return all services, sorted, each with the tags that any of its instances has."""
        if not node_meta:
            return {name: self._tags_of(name) for name in sorted(self._by_name)}
        found = {}
        for name, instances in sorted(self._by_name.items()):
            here = [one for one in instances.values() if has_meta(one.node, node_meta)]
            if here:
                found[name] = tuple(sorted({tag for one in here for tag in one.service.tags}))
        return found

    def node(self, name: str) -> NodeView | None:
        """Return a node with its instances."""
        record = self.records.get(name)
        return None if record is None else record.joined()

    def bare_node(self, name: str) -> NodeView | None:
        """Return a node without its instances."""
        record = self.records.get(name)
        return None if record is None else record.view

    def node_index(self, name: str) -> int:
        """Return the index of a node: of its last change, or when one was last deregistered."""
        record = self.records.get(name)
        return self._node_extinction if record is None else record.index

    def instance(self, node: str, service_id: str) -> Instance | None:
        """Return one instance."""
        record = self.records.get(node)
        return None if record is None else record.instances.get(service_id)

    def check(self, node: str, check_id: str) -> NodeCheck | None:
        """Return one check."""
        record = self.records.get(node)
        state = None if record is None else record.state(check_id)
        if record is None or state is None:
            return None
        owner = record.instances.get(record.owners[check_id])
        return NodeCheck(record.view.node, None if owner is None else owner.service, state)

    def node_names(self) -> list[str]:
        """Return the names of all nodes, sorted."""
        return sorted(self.records.by_name)

    def checks(self, status: Status | None) -> list[NodeCheck]:
        """Return all checks in a state, by node and id."""
        found = []
        for name in sorted(self.records.by_name):
            record = self.records.by_name[name]
            for check_id in sorted(record.owners):
                state = record.state(check_id)
                if state is not None and status in (None, state.status):
                    owner = record.instances.get(record.owners[check_id])
                    service = None if owner is None else owner.service
                    found.append(NodeCheck(record.view.node, service, state))
        return found

    def checks_index(self, status: Status | None) -> int:
        """Return the index of the last time that a check came into, changed in or left a state."""
        if status is not None:
            return self._status_indexes[status]
        return max(self._status_indexes.values())

    # Snapshots.

    def image(self) -> ServicesImage:
        """Return all that this table is, in canonical order."""
        return ServicesImage(
            nodes=tuple(self.records.by_name[name].row() for name in sorted(self.records.by_name)),
            indexes=self._indexes.image(),
            index=self.index,
            nodes_index=self.nodes_index,
            services_index=self.services_index,
            extinction_index=self._indexes.extinction,
            node_extinction_index=self._node_extinction,
            status_indexes=tuple(self._status_indexes[status] for status in Status),
        )

    @classmethod
    def from_image(cls, image: ServicesImage) -> ServiceTable:
        """Return the table that made this image."""
        table = cls(
            image.nodes_index,
            image.services_index,
            image.index,
            indexes=Indexes(image.extinction_index, dict(image.indexes)),
            node_extinction=image.node_extinction_index,
            status_indexes=dict(zip(Status, image.status_indexes, strict=True)),
        )
        for row in image.nodes:
            view = NodeView(
                row.node, row.health, row.create_index, row.modify_index, checks=row.checks
            )
            record = table.records.by_name[row.node.name] = NodeRecord(view, row.index)
            for instance in row.joined():
                record.instances[instance.service.id] = instance
                table._by_name.setdefault(instance.service.name, {})[instance.key] = instance
            record.claim()
        return table

    def _tags_of(self, name: str) -> tuple[str, ...]:
        tags = self._tags.get(name)
        if tags is None:
            instances = self._by_name[name].values()
            tags = self._tags[name] = tuple(
                sorted({tag for one in instances for tag in one.service.tags})
            )
        return tags

    def _index_by_name(self, name: str, change: Change) -> None:
        self._views.pop(name, None)
        self._tags.pop(name, None)
        instances = self._by_name.setdefault(name, {})
        if change.kind is not ChangeKind.REMOVED:
            instances[change.instance.key] = change.instance
            self._indexes.move(name, change.index)
            return
        del instances[change.instance.key]
        if instances:
            self._indexes.move(name, change.index)
        else:
            del self._by_name[name]
            self._indexes.end(name, change.index)


def has_meta(node: Node, wanted: Mapping[str, str]) -> bool:
    """Whether a node has all of this metadata."""
    return all(node.meta.get(key) == value for key, value in wanted.items())


def _checks_of(service: Service, old: Instance | None, index: int) -> tuple[CheckState, ...]:
    """Return the checks of a service that is registered, in place of `old`."""
    states = {} if old is None else {state.id: state for state in old.checks}
    defined = service.named_checks()
    checks = []
    for check_id, check in defined.items():
        fresh = CheckState.begin(check_id, check, service.name)
        known = states.pop(check_id, None)
        if known is None:
            checks.append(evolve(fresh, create_index=index, modify_index=index))
        elif (known.name, known.notes, known.kind) == (fresh.name, fresh.notes, fresh.kind):
            checks.append(known)
        else:
            checks.append(
                evolve(
                    known, name=fresh.name, notes=fresh.notes, kind=fresh.kind, modify_index=index
                )
            )
    before = {} if old is None else old.service.named_checks()
    # Checks that somebody outside registered are not the service's to remove.
    outside = sorted(states.keys() - before.keys())
    return (*checks, *(states[check_id] for check_id in outside))


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
