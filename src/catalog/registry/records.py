"""The nodes themselves: records, and the few ways in which they change.

Everything that happens to nodes, instances and checks comes down to these: enter or change a node,
put an instance, and the opposites. Each keeps what was there before the entry under way, says which
states checks came into and left, and which checks are lost to the sessions that stand on them.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import Factory, define, evolve

from catalog.model import GOSSIP_CHECK, CheckState, Instance, NodeView, Status
from catalog.registry.image import InstanceRow, NodeRow

__all__ = ["NODE", "NodeRecord", "Records"]

NODE = ""
"""Stands for the node itself, where a check's owner is named."""


@define
class NodeRecord:
    """A node and all that it owns."""

    view: NodeView
    """Without its instances."""
    index: int
    """Of the last change to it or to anything on it."""
    instances: dict[str, Instance] = Factory(dict)
    """By service id."""
    owners: dict[str, str] = Factory(dict)
    """Check id to service id, or `NODE`: a check is addressed by node and check id alone."""

    def joined(self) -> NodeView:
        """Return the node with its instances."""
        instances = tuple(self.instances[key] for key in sorted(self.instances))
        return evolve(self.view, instances=instances)

    def row(self) -> NodeRow:
        """Return the node at rest."""
        view = self.view
        rows = []
        for service_id in sorted(self.instances):
            one = self.instances[service_id]
            rows.append(InstanceRow(one.service, one.checks, one.create_index, one.modify_index))
        return NodeRow(
            node=view.node,
            health=view.health,
            checks=view.checks,
            create_index=view.create_index,
            modify_index=view.modify_index,
            index=self.index,
            instances=tuple(rows),
        )

    def state(self, check_id: str) -> CheckState | None:
        """Return a check of the node or of one of its services."""
        owner = self.owners.get(check_id)
        if owner is None:
            return None
        states = self.instances[owner].checks if owner else _node_checks(self.view)
        return next(state for state in states if state.id == check_id)

    def claim(self) -> None:
        """Work out anew whose each check is."""
        self.owners = {state.id: NODE for state in _node_checks(self.view)}
        for service_id, instance in self.instances.items():
            self.owners.update(dict.fromkeys((state.id for state in instance.checks), service_id))


@define
class Records:
    """Nodes by name, and what the entry under way did to them."""

    by_name: dict[str, NodeRecord] = Factory(dict)
    lost_checks: list[tuple[str, str]] = Factory(list)
    """Checks, by node and id, that turned critical or went since this was last cleared."""
    statuses: dict[Status, None] = Factory(dict)
    """States that a check came into, changed in or left in the current entry."""
    before: dict[tuple[str, str], Instance | None] = Factory(dict)
    """Instances that the current entry changed, as they were before it."""
    nodes_before: dict[str, NodeRecord | None] = Factory(dict)
    """The same, for nodes; without what they own."""

    def get(self, name: str) -> NodeRecord | None:
        """Return a node's record, or `None`."""
        return self.by_name.get(name)

    def set_check(self, record: NodeRecord, owner: str, state: CheckState, index: int) -> None:
        """Enter or replace a check of a service or of the node."""
        if owner != NODE:
            old = record.instances[owner]
            checks = _replaced(old.checks, state)
            self.put(record, evolve(old, checks=checks, modify_index=index))
        elif state.id == GOSSIP_CHECK:
            self.set_node(evolve(record.view, health=state, modify_index=index))
        else:
            checks = tuple(sorted(_replaced(record.view.checks, state), key=lambda one: one.id))
            self.set_node(evolve(record.view, checks=checks, modify_index=index))

    def remove_check(self, record: NodeRecord, check_id: str, index: int) -> None:
        """Remove a check that is there."""
        owner = record.owners[check_id]
        if owner != NODE:
            old = record.instances[owner]
            checks = tuple(state for state in old.checks if state.id != check_id)
            self.put(record, evolve(old, checks=checks, modify_index=index))
        elif check_id == GOSSIP_CHECK:
            self.set_node(evolve(record.view, health=None, modify_index=index))
        else:
            checks = tuple(state for state in record.view.checks if state.id != check_id)
            self.set_node(evolve(record.view, checks=checks, modify_index=index))

    def set_node(self, view: NodeView) -> None:
        """Enter a node or its new description, and carry that into its instances."""
        name, index = view.node.name, view.modify_index
        record = self.by_name.get(name)
        self._remember(name, record)
        if record is None:
            self.by_name[name] = NodeRecord(view, index)
            return
        old, record.view = record.view, view
        if old.node is not view.node:
            self._touch(_node_checks(view))
        self._compare_checks(record, _node_checks(old), _node_checks(view), NODE)
        for service_id in sorted(record.instances):
            instance = record.instances[service_id]
            self.put(
                record,
                evolve(
                    instance,
                    node=view.node,
                    node_health=view.health,
                    node_checks=view.checks,
                    modify_index=index,
                ),
            )

    def remove_node(self, record: NodeRecord) -> None:
        """Remove a node that owns no instance any more."""
        name = record.view.node.name
        self._remember(name, record)
        self._compare_checks(record, _node_checks(record.view), (), NODE)
        del self.by_name[name]

    def put(self, record: NodeRecord, instance: Instance) -> None:
        """Enter or replace an instance."""
        service_id = instance.service.id
        old = record.instances.get(service_id)
        self.before.setdefault(instance.key, old)
        checks = () if old is None else old.checks
        if old and (old.node is not instance.node or old.service is not instance.service):
            self._touch(instance.checks)
        if checks is not instance.checks:
            self._compare_checks(record, checks, instance.checks, service_id)
        record.instances[service_id] = instance

    def remove(self, record: NodeRecord, service_id: str) -> None:
        """Remove an instance that is there."""
        old = record.instances.pop(service_id)
        self.before.setdefault(old.key, old)
        self._compare_checks(record, old.checks, (), service_id)

    def rollback(self) -> None:
        """Take back what the current entry did."""
        for name, saved in self.nodes_before.items():
            if saved is None:
                self.by_name.pop(name, None)
            else:
                record = self.by_name.setdefault(name, saved)
                record.view, record.index = saved.view, saved.index
        for (name, service_id), instance in self.before.items():
            if name in self.by_name:
                instances = self.by_name[name].instances
                instances.pop(service_id, None)
                if instance is not None:
                    instances[service_id] = instance
        for name in (*self.nodes_before, *(key[0] for key in self.before)):
            if name in self.by_name:
                self.by_name[name].claim()
        self.clear()

    def clear(self) -> None:
        """Begin another entry."""
        self.before.clear()
        self.nodes_before.clear()
        self.statuses = {}
        self.lost_checks.clear()

    def _touch(self, states: Iterable[CheckState]) -> None:
        """Record that checks belong to something that is described otherwise now."""
        self.statuses.update(dict.fromkeys(state.status for state in states))

    def _remember(self, name: str, record: NodeRecord | None) -> None:
        if name not in self.nodes_before:
            saved = None if record is None else NodeRecord(record.view, record.index)
            self.nodes_before[name] = saved

    def _compare_checks(
        self,
        record: NodeRecord,
        before: tuple[CheckState, ...],
        after: tuple[CheckState, ...],
        owner: str,
    ) -> None:
        """Record what became of checks: who owns them, and which are lost to sessions."""
        node = record.view.node.name
        gone = {state.id: state for state in before}
        for state in after:
            old = gone.pop(state.id, None)
            if old is state:
                continue
            self.statuses[state.status] = None
            if old is None:
                record.owners[state.id] = owner
            else:
                self.statuses[old.status] = None
            if state.status is Status.CRITICAL and (old is None or old.status is not state.status):
                self.lost_checks.append((node, state.id))
        for check_id, state in gone.items():
            del record.owners[check_id]
            self.statuses[state.status] = None
            self.lost_checks.append((node, check_id))


def _node_checks(view: NodeView) -> tuple[CheckState, ...]:
    return view.checks if view.health is None else (view.health, *view.checks)


def _replaced(states: tuple[CheckState, ...], state: CheckState) -> tuple[CheckState, ...]:
    """Return the states with this one in place of the one of its id, or after them all."""
    if all(known.id != state.id for known in states):
        return (*states, state)
    return tuple(state if known.id == state.id else known for known in states)
