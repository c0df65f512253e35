"""Health: `/v1/health/...`."""

from __future__ import annotations

from starlette.responses import Response

from catalog.http.asking import near_of, read, select
from catalog.http.calls import Call
from catalog.http.catalog import tagged
from catalog.http.shapes import check_of, checks_of, health_entry, node_checks
from catalog.http.trouble import Trouble
from catalog.model import Status
from catalog.requests import AskedNode, Checks, Lookup

__all__ = ["checks", "in_state", "node", "service"]

STATES = {"any": None} | {status.value: status for status in Status}


def _lookup(call: Call) -> Lookup:
    return Lookup(
        call.part("service", missing="Missing service name"),
        healthy=False,
        near=near_of(call),
        node_meta=call.options.node_meta,
    )


async def service(call: Call) -> Response:
    """Return the instances of a service with their nodes and checks; `passing`: the healthy."""
    passing = call.flag("passing")
    view, headers = await read(call, _lookup(call))
    found = (one for one in tagged(call, view.instances) if one.healthy or not passing)
    return call.json(select(call, map(health_entry, found)), headers=headers)


async def checks(call: Call) -> Response:
    """Return the checks of a service."""
    view, headers = await read(call, _lookup(call))
    shapes = (check for one in view.instances for check in checks_of(one))
    return call.json(select(call, shapes), headers=headers)


async def node(call: Call) -> Response:
    """Return the checks on a node."""
    view, headers = await read(call, AskedNode(call.part("node", missing="Missing node name")))
    return call.json(select(call, [] if view is None else node_checks(view)), headers=headers)


async def in_state(call: Call) -> Response:
    """Return all checks in a state."""
    state = call.request.path_params["state"]
    if state not in STATES:
        raise Trouble(400, f"Unknown state {state!r}: any, passing, warning or critical")
    request = Checks(STATES[state], near=near_of(call), node_meta=call.options.node_meta)
    found, headers = await read(call, request)
    return call.json(select(call, map(check_of, found)), headers=headers)
