"""The catalog's values as JSON: the shapes that scripts may rely on."""

from __future__ import annotations

from typing import Any

from catalog.events import Event
from catalog.kv import KeyChange
from catalog.model import Change, CheckState, Instance, KeyValue, NodeCheck, NodeView, Session
from catalog.requests import Member

__all__ = [
    "change",
    "event",
    "instance",
    "key_change",
    "key_value",
    "member",
    "node",
    "node_check",
    "session",
]


def member(value: Member) -> dict[str, Any]:
    """Return an agent, as gossip knows it."""
    return {
        "name": value.name,
        "address": value.address,
        "role": value.role.value,
        "datacenter": value.datacenter,
        "health": value.health.value,
        "meta": dict(value.meta),
    }


def instance(value: Instance) -> dict[str, Any]:
    """Return an instance with its status and checks."""
    return {
        "id": value.service.id,
        "name": value.service.name,
        "node": value.node.name,
        "address": value.address,
        "port": value.service.port,
        "tags": list(value.service.tags),
        "meta": dict(value.service.meta),
        "status": value.status.value,
        "checks": [_check(state) for state in value.checks],
        "node_health": None if value.node_health is None else _check(value.node_health),
        "create_index": value.create_index,
        "modify_index": value.modify_index,
    }


def change(value: Change) -> dict[str, Any]:
    """Return a change."""
    return {
        "kind": value.kind.value,
        "index": value.index,
        "instance": instance(value.instance),
    }


def node(value: NodeView) -> dict[str, Any]:
    """Return a node with all that runs on it."""
    return {
        "name": value.node.name,
        "address": value.node.address,
        "role": value.node.role.value,
        "datacenter": value.node.datacenter,
        "health": None if value.health is None else _check(value.health),
        "instances": [instance(one) for one in value.instances],
    }


def key_value(value: KeyValue) -> dict[str, Any]:
    """Return a key with its value: as text where it is UTF-8, else in hexadecimal."""
    try:
        content = {"value": value.value.decode()}
    except UnicodeDecodeError:
        content = {"value_hex": value.value.hex()}
    return {
        "key": value.key,
        **content,
        "flags": value.flags,
        "create_index": value.create_index,
        "modify_index": value.modify_index,
        "lock_index": value.lock_index,
        "session": value.session,
    }


def key_change(value: KeyChange) -> dict[str, Any]:
    """Return a change of a key; one that is gone has no entry."""
    entry = None if value.entry is None else key_value(value.entry)
    kind = "removed" if entry is None else "changed"
    return {"kind": kind, "index": value.index, "key": value.key, "entry": entry}


def session(value: Session) -> dict[str, Any]:
    """Return a session; durations in seconds."""
    return {
        "id": value.id,
        "node": value.node,
        "name": value.name,
        "ttl": value.ttl,
        "behaviour": value.behaviour.value,
        "lock_delay": value.lock_delay,
        "checks": list(value.checks),
        "create_index": value.create_index,
    }


def node_check(value: NodeCheck) -> dict[str, Any]:
    """Return a check with where it belongs."""
    service = None if value.service is None else value.service.id
    return {"node": value.node.name, "service": service, **_check(value.state)}


def event(value: Event) -> dict[str, Any]:
    """Return a user event."""
    return {
        "id": value.id,
        "name": value.name,
        "payload": value.payload.decode(errors="replace"),
        "clock": value.clock,
    }


def _check(state: CheckState) -> dict[str, str]:
    return {"id": state.id, "status": state.status.value, "output": state.output}
