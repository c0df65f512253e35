"""The catalog itself: `/v1/catalog/...`."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from starlette.responses import Response

from catalog.commands import (
    DeregisterCheck,
    DeregisterNode,
    DeregisterService,
    Operation,
    RegisterCheck,
    RegisterNode,
    RegisterService,
    Transaction,
)
from catalog.http.asking import near_of, read, select, write
from catalog.http.bodies import Fields, read_fields
from catalog.http.calls import Call
from catalog.http.definitions import check_state, service_of
from catalog.http.shapes import catalog_service, node, node_with_services
from catalog.http.trouble import Trouble
from catalog.model import Instance, Node
from catalog.requests import AskedNode, Lookup, Nodes, Services

__all__ = [
    "datacenters",
    "deregister",
    "instances",
    "node_services",
    "nodes",
    "none",
    "one_node",
    "register",
    "services",
    "tagged",
]


async def register(call: Call) -> Response:
    """Enter a node, a service and checks that no agent looks after; all of it or nothing."""
    fields = await read_fields(call.request)
    _same_datacenter(call, fields)
    name, address = fields.text("Node"), fields.text("Address")
    if not name or not address:
        raise Trouble(400, "Must provide node and address: nothing was registered")
    steps: list[Operation] = [
        RegisterNode(await _node(call, fields), update=not fields.flag("SkipNodeUpdate"))
    ]
    service_id = ""
    if "Service" in fields:
        service = service_of(fields.object("Service"))
        service_id = service.id
        steps.append(RegisterService(name, service))
    checks = fields.objects("Checks") + ((fields.object("Check"),) if "Check" in fields else ())
    for one in checks:
        about = one.text("ServiceID")
        if about and about != service_id and service_id:
            raise Trouble(400, f"Check {one.text('CheckID')!r} is of another service, {about!r}")
        steps.append(RegisterCheck(name, check_state(one), about))
    return call.json(await write(call, Transaction(steps)))


async def _node(call: Call, fields: Fields) -> Node:
    """Return the node as the body describes it; what bodies cannot say stays as it is."""
    name = fields.text("Node")
    known = (await call.ask(AskedNode(name))).value
    plain = Node(name, fields.text("Address"), datacenter=call.site.datacenter)
    return evolve(
        plain if known is None else known.node,
        address=plain.address,
        id=fields.text("ID") or ("" if known is None else known.node.id),
        meta=fields.pairs("NodeMeta"),
        tagged_addresses=fields.pairs("TaggedAddresses"),
    )


async def deregister(call: Call) -> Response:
    """Remove a check, a service or a whole node; what is gone already is fine."""
    fields = await read_fields(call.request)
    _same_datacenter(call, fields)
    name = fields.text("Node")
    if not name:
        raise Trouble(400, "Must provide node: nothing was removed")
    service_id, check_id = fields.text("ServiceID"), fields.text("CheckID")
    command: Operation = DeregisterNode(name)
    if service_id:
        command = DeregisterService(name, service_id)
    elif check_id:
        command = DeregisterCheck(name, check_id)
    return call.json(await write(call, command))


def _same_datacenter(call: Call, fields: Fields) -> None:
    if fields.text("Datacenter") not in ("", call.site.datacenter):
        raise Trouble(500, "No path to datacenter")


async def datacenters(call: Call) -> Response:
    """Return the data centres: there is one."""
    return call.json([call.site.datacenter])


async def nodes(call: Call) -> Response:
    """Return all nodes."""
    request = Nodes(instances=False, near=near_of(call), node_meta=call.options.node_meta)
    views, headers = await read(call, request)
    shapes = (
        node(view.node, create_index=view.create_index, modify_index=view.modify_index)
        for view in views
    )
    return call.json(select(call, shapes), headers=headers)


async def services(call: Call) -> Response:
    """Return the names of all services, each with the tags of its instances."""
    if not call.options.filter:
        found, headers = await read(call, Services(node_meta=call.options.node_meta))
        return call.json({name: list(tags) for name, tags in found.items()}, headers=headers)
    views, headers = await read(call, Nodes(node_meta=call.options.node_meta))
    shapes = (catalog_service(one) for view in views for one in view.instances)
    tags: dict[str, set[str]] = {}
    for shape in select(call, shapes):
        tags.setdefault(shape["ServiceName"], set()).update(shape["ServiceTags"])
    return call.json({name: sorted(tags[name]) for name in sorted(tags)}, headers=headers)


def tagged(call: Call, found: tuple[Instance, ...]) -> tuple[Instance, ...]:
    """Return the instances that have every tag that the call names; peers have none."""
    if call.text("peer"):
        return ()
    tags = call.texts("tag")
    return tuple(one for one in found if all(tag in one.service.tags for tag in tags))


async def instances(call: Call) -> Response:
    """Return the instances of a service, whatever their health."""
    request = Lookup(
        call.part("service", missing="Missing service name"),
        healthy=False,
        near=near_of(call),
        node_meta=call.options.node_meta,
    )
    view, headers = await read(call, request)
    shapes = map(catalog_service, tagged(call, view.instances))
    return call.json(select(call, shapes), headers=headers)


async def one_node(call: Call) -> Response:
    """Return a node with its services by id; of an unknown one `null`."""
    view, headers = await read(call, AskedNode(call.part("node", missing="Missing node name")))
    if view is None:
        return call.json(None, headers=headers)
    described, found = node_with_services(view)
    services: dict[str, Any] = {one["ID"]: one for one in select(call, found)}
    return call.json({"Node": described, "Services": services}, headers=headers)


async def node_services(call: Call) -> Response:
    """Return a node with its services in a list; of an unknown one, nothing."""
    view, headers = await read(call, AskedNode(call.part("node", missing="Missing node name")))
    if view is None:
        return call.json({"Node": None, "Services": []}, headers=headers)
    described, found = node_with_services(view)
    return call.json({"Node": described, "Services": select(call, found)}, headers=headers)


async def none(call: Call) -> Response:
    """Return nothing: there is no mesh, and so no proxies and no gateways of a service."""
    _, headers = await read(call, Lookup(call.part("service", missing="Missing service name")))
    return call.json([], headers=headers)
