"""Our values as Consul's JSON objects: the same keys, in the same order, whatever they hold.

What we have no notion of (proxies, sockets, localities) is there and empty, as Consul sends it for
a service that does not use it.
"""

from __future__ import annotations

import base64
from typing import Any, Final

from catalog.http.durations import format_duration, nanoseconds
from catalog.model import (
    CheckState,
    Coordinate,
    Instance,
    KeyValue,
    Node,
    NodeCheck,
    NodeView,
    Service,
    Session,
)
from catalog.queries import PreparedQuery

__all__ = [
    "catalog_service",
    "check_of",
    "checks_of",
    "coordinate",
    "health_check",
    "health_entry",
    "key_value",
    "local_service",
    "node",
    "node_checks",
    "node_service",
    "node_with_services",
    "prepared_query",
    "session",
]

Json = dict[str, Any]

NO_PROXY: Final = {"Mode": "", "MeshGateway": {}, "Expose": {}}


def key_value(item: KeyValue, *, value: bool = True) -> Json:
    """Return a key; `value` says whether with its value."""
    data = base64.b64encode(item.value).decode() if value and item.value else None
    holder = {"Session": item.session} if item.session else {}
    return {
        "LockIndex": item.lock_index,
        "Key": item.key,
        "Flags": item.flags,
        "Value": data,
        **holder,
        "CreateIndex": item.create_index,
        "ModifyIndex": item.modify_index,
    }


def session(one: Session) -> Json:
    """Return a session."""
    return {
        "ID": one.id,
        "Name": one.name,
        "Node": one.node,
        "LockDelay": nanoseconds(one.lock_delay),
        "Behavior": one.behaviour.value,
        "TTL": "" if one.ttl is None else _ttl(one.ttl),
        "NodeChecks": list(one.node_checks),
        "ServiceChecks": [{"ID": check, "Namespace": ""} for check in one.service_checks] or None,
        "CreateIndex": one.create_index,
        "ModifyIndex": one.modify_index,
    }


def _ttl(seconds: float) -> str:
    """Return a TTL as clients write it: `90s`, and not `1m30s`."""
    return f"{round(seconds)}s" if seconds == round(seconds) else format_duration(seconds)


def node(one: Node, *, create_index: int, modify_index: int) -> Json:
    """Return a node."""
    return {
        "ID": one.id,
        "Node": one.name,
        "Address": one.address,
        "Datacenter": one.datacenter,
        "TaggedAddresses": dict(one.tagged_addresses),
        "Meta": dict(one.meta),
        "CreateIndex": create_index,
        "ModifyIndex": modify_index,
    }


def node_with_services(view: NodeView) -> tuple[Json, list[Json]]:
    """Return a node, and its services."""
    return (
        node(view.node, create_index=view.create_index, modify_index=view.modify_index),
        [node_service(one) for one in view.instances],
    )


def _weights(service: Service) -> Json:
    return {"Passing": service.weights.passing, "Warning": service.weights.warning}


def _tagged(service: Service) -> Json:
    return {
        tag: {"Address": one.address, "Port": one.port}
        for tag, one in service.tagged_addresses.items()
    }


def node_service(one: Instance) -> Json:
    """Return an instance as it stands beside its node."""
    service = one.service
    kind = {"Kind": service.kind} if service.kind else {}
    tagged = {"TaggedAddresses": _tagged(service)} if service.tagged_addresses else {}
    return {
        **kind,
        "ID": service.id,
        "Service": service.name,
        "Tags": list(service.tags),
        "Address": service.address,
        **tagged,
        "Meta": dict(service.meta),
        "Port": service.port,
        "Weights": _weights(service),
        "EnableTagOverride": service.enable_tag_override,
        "Proxy": NO_PROXY,
        "Connect": {},
        "CreateIndex": one.create_index,
        "ModifyIndex": one.modify_index,
    }


def local_service(service: Service, *, datacenter: str) -> Json:
    """Return a service as the agent has it: no indexes, and nothing that is not used."""
    kind = {"Kind": service.kind} if service.kind else {}
    tagged = {"TaggedAddresses": _tagged(service)} if service.tagged_addresses else {}
    return {
        **kind,
        "ID": service.id,
        "Service": service.name,
        "Tags": list(service.tags),
        "Meta": dict(service.meta),
        "Port": service.port,
        "Address": service.address,
        **tagged,
        "Weights": _weights(service),
        "EnableTagOverride": service.enable_tag_override,
        "Datacenter": datacenter,
    }


def catalog_service(one: Instance) -> Json:
    """Return an instance and its node in one object."""
    service = one.service
    return {
        "ID": one.node.id,
        "Node": one.node.name,
        "Address": one.node.address,
        "Datacenter": one.node.datacenter,
        "TaggedAddresses": dict(one.node.tagged_addresses),
        "NodeMeta": dict(one.node.meta),
        "ServiceKind": service.kind,
        "ServiceID": service.id,
        "ServiceName": service.name,
        "ServiceTags": list(service.tags),
        "ServiceAddress": service.address,
        "ServiceTaggedAddresses": _tagged(service),
        "ServiceWeights": _weights(service),
        "ServiceMeta": dict(service.meta),
        "ServicePort": service.port,
        "ServiceSocketPath": "",
        "ServiceEnableTagOverride": service.enable_tag_override,
        "ServiceProxy": NO_PROXY,
        "ServiceConnect": {},
        "CreateIndex": one.create_index,
        "ModifyIndex": one.modify_index,
    }


def health_check(state: CheckState, on: str, service: Service | None) -> Json:
    """Return a check, `on` a node; `service`: of which instance, `None`: of the node itself."""
    return {
        "Node": on,
        "CheckID": state.id,
        "Name": state.name,
        "Status": state.status.value,
        "Notes": state.notes,
        "Output": state.output,
        "ServiceID": "" if service is None else service.id,
        "ServiceName": "" if service is None else service.name,
        "ServiceTags": [] if service is None else list(service.tags),
        "Type": state.kind,
        "Interval": "",
        "Timeout": "",
        "ExposedPort": 0,
        "Definition": {},
        "CreateIndex": state.create_index,
        "ModifyIndex": state.modify_index,
    }


def check_of(one: NodeCheck) -> Json:
    """Return a check with where it belongs."""
    return health_check(one.state, one.node.name, one.service)


def checks_of(one: Instance) -> list[Json]:
    """Return the checks of an instance, without those of its node."""
    return [health_check(state, one.node.name, one.service) for state in one.checks]


def node_checks(view: NodeView) -> list[Json]:
    """Return every check on a node: its own, gossip first, and those of what runs on it."""
    own = (() if view.health is None else (view.health,)) + view.checks
    found = [health_check(state, view.node.name, None) for state in own]
    for one in view.instances:
        found += checks_of(one)
    return found


def health_entry(one: Instance) -> Json:
    """Return an instance with its node and all checks that concern it."""
    own = (() if one.node_health is None else (one.node_health,)) + one.node_checks
    return {
        "Node": node(one.node, create_index=one.create_index, modify_index=one.modify_index),
        "Service": node_service(one),
        "Checks": [health_check(state, one.node.name, None) for state in own] + checks_of(one),
    }


def coordinate(one: Coordinate) -> Json:
    """Return where a node is."""
    return {
        "Node": one.node,
        "Segment": one.segment,
        "Coord": {
            "Adjustment": one.adjustment,
            "Error": one.error,
            "Height": one.height,
            "Vec": list(one.vector),
        },
    }


def prepared_query(one: PreparedQuery) -> Json:
    """Return the definition of a prepared query."""
    service, template = one.service, one.template
    return {
        "ID": one.id,
        "Name": one.name,
        "Session": one.session,
        "Token": one.token,
        "Template": {
            "Type": "" if template is None else template.type,
            "Regexp": "" if template is None else template.regexp,
            "RemoveEmptyTags": template is not None and template.remove_empty_tags,
        },
        "Service": {
            "Service": service.service,
            "Failover": {
                "NearestN": service.failover.nearest_n,
                "Datacenters": list(service.failover.datacenters),
                "Targets": None,
            },
            "OnlyPassing": service.only_passing,
            "IgnoreCheckIDs": list(service.ignore_check_ids),
            "Near": service.near,
            "Tags": list(service.tags),
            "NodeMeta": dict(service.node_meta),
            "ServiceMeta": dict(service.service_meta),
            "Connect": False,
        },
        "DNS": {"TTL": "" if one.dns_ttl is None else _ttl(one.dns_ttl)},
        "CreateIndex": one.create_index,
        "ModifyIndex": one.modify_index,
    }
