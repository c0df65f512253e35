"""Services and checks of the agent that is asked: `/v1/agent/service...`, `/v1/agent/check...`."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

import trio
from attrs import evolve
from starlette.responses import Response

from catalog.definitions import Probe, TtlCheck
from catalog.http.answers import empty
from catalog.http.asking import select
from catalog.http.bodies import read_fields
from catalog.http.calls import Call
from catalog.http.definitions import check_of, service_of
from catalog.http.durations import format_duration
from catalog.http.options import parse_bool
from catalog.http.shapes import health_check, local_service
from catalog.http.trouble import Trouble
from catalog.limits import INTERVAL_SECONDS_MIN
from catalog.model import Service, Status, worst
from catalog.requests import (
    Deregister,
    DeregisterLocalCheck,
    LocalCheck,
    LocalChecks,
    LocalService,
    LocalServices,
    Maintain,
    Register,
    RegisterLocalCheck,
    Report,
)

__all__ = [
    "checks",
    "deregister_check",
    "deregister_service",
    "fail",
    "health_by_id",
    "health_by_name",
    "maintain_node",
    "maintain_service",
    "one_service",
    "pass_",
    "register_check",
    "register_service",
    "services",
    "update",
    "warn",
]

MISSING_SERVICE: Final = "Missing service ID"
MISSING_CHECK: Final = "Missing check ID"
HEALTH_STATUS: Final = {Status.PASSING: 200, Status.WARNING: 429, Status.CRITICAL: 503}
UPDATES: Final = {status.value: status for status in Status}


# Services.


async def services(call: Call) -> Response:
    """Return the agent's services by id."""
    found = await call.ask(LocalServices())
    shapes = [local_service(one, datacenter=call.site.datacenter) for one in found]
    return call.json({shape["ID"]: shape for shape in select(call, shapes)})


async def one_service(call: Call) -> Response:
    """Return one of the agent's services, once its hash is another than the one asked with."""
    ends = trio.current_time() + call.options.wait
    service = await _service(call)
    shape, digest = _hashed(call, service)
    while digest == call.text("hash") and (left := ends - trio.current_time()) > 0:
        wait = max(left, INTERVAL_SECONDS_MIN)
        service = await _service(call, unlike=service, wait=wait)
        shape, digest = _hashed(call, service)
    return call.json(shape | {"ContentHash": digest}, headers={"X-Consul-ContentHash": digest})


def _hashed(call: Call, service: Service) -> tuple[dict[str, Any], str]:
    """Return what is shown of a service, and a hash of it."""
    shape = local_service(service, datacenter=call.site.datacenter)
    data = json.dumps(shape, sort_keys=True, ensure_ascii=True).encode()
    return shape, hashlib.blake2b(data, digest_size=8).hexdigest()


async def _service(
    call: Call, *, unlike: Service | None = None, wait: float = INTERVAL_SECONDS_MIN
) -> Service:
    service_id = call.part("service", missing=MISSING_SERVICE)
    found = await call.ask(LocalService(service_id, unlike, wait))
    if found is None:
        raise Trouble(404, f"unknown service ID: {service_id}")
    return found


async def register_service(call: Call) -> Response:
    """Register a service with its checks."""
    service = service_of(await read_fields(call.request))
    await call.ask(Register(service))
    if call.flag("replace-existing-checks"):
        for one in await call.ask(LocalChecks()):
            ours = one.service is not None and one.service.id == service.id
            if ours and one.definition is not None and one.state.id not in service.named_checks():
                await call.ask(DeregisterLocalCheck(one.state.id))
    return empty()


async def deregister_service(call: Call) -> Response:
    """Remove a service with its checks."""
    await call.ask(Deregister(call.part("service", missing=MISSING_SERVICE)))
    return empty()


async def maintain_service(call: Call) -> Response:
    """Take a service out of use, or back in."""
    return await _maintain(call, call.part("service", missing=MISSING_SERVICE))


async def maintain_node(call: Call) -> Response:
    """Take the whole node out of use, or back in."""
    return await _maintain(call, "")


async def _maintain(call: Call, service_id: str) -> Response:
    enable = call.text("enable")
    if not enable:
        raise Trouble(400, "Missing value for enable")
    wanted = Maintain(service_id, parse_bool(enable, what="enable"), call.text("reason"))
    await call.ask(wanted)
    return empty()


# Checks.


async def checks(call: Call) -> Response:
    """Return the agent's checks by id; what gossip says of the node is not among them."""
    found = await call.ask(LocalChecks())
    shapes = [_check(one, call.site.name) for one in found]
    return call.json({shape["CheckID"]: shape for shape in select(call, shapes)})


def _check(one: LocalCheck, node: str) -> dict[str, Any]:
    shape = health_check(one.state, node, one.service)
    if isinstance(one.definition, Probe):
        shape["Interval"] = format_duration(one.definition.interval)
        shape["Timeout"] = format_duration(one.definition.timeout)
    return shape


async def register_check(call: Call) -> Response:
    """Register a check, of the node or of a service of the agent."""
    fields = await read_fields(call.request)
    name = fields.text("Name")
    if not name:
        raise Trouble(400, "Missing check name: nothing was registered")
    check = check_of(fields)
    if not check.id:
        check = evolve(check, id=name)
    await call.ask(RegisterLocalCheck(check, fields.text("ServiceID")))
    return empty()


async def deregister_check(call: Call) -> Response:
    """Remove a check."""
    await call.ask(DeregisterLocalCheck(call.part("check", missing=MISSING_CHECK)))
    return empty()


async def pass_(call: Call) -> Response:
    """Take a report that all is well."""
    return await _report(call, Status.PASSING, call.text("note"))


async def warn(call: Call) -> Response:
    """Take a report that something is not as it should be."""
    return await _report(call, Status.WARNING, call.text("note"))


async def fail(call: Call) -> Response:
    """Take a report of failure."""
    return await _report(call, Status.CRITICAL, call.text("note"))


async def update(call: Call) -> Response:
    """Take a report whose status is in the body."""
    fields = await read_fields(call.request)
    status = UPDATES.get(fields.text("Status"))
    if status is None:
        raise Trouble(400, f"Invalid check status: {fields.text('Status')!r}")
    return await _report(call, status, fields.text("Output"))


async def _report(call: Call, status: Status, note: str) -> Response:
    check_id = call.part("check", missing=MISSING_CHECK)
    for one in await call.ask(LocalChecks()):
        if one.state.id == check_id and not isinstance(one.definition, TtlCheck):
            raise Trouble(500, f"CheckID {check_id!r} does not have associated TTL")
    await call.ask(Report(check_id, status, note))
    return empty()


# Health of services, for load balancers that look at the status alone.


async def health_by_id(call: Call) -> Response:
    """Return how one service fares, also as the status of the answer."""
    service = await _service(call)
    status, entry = await _health(call, service)
    if call.text("format") == "text":
        return Response(status.value, HEALTH_STATUS[status], media_type="text/plain")
    return call.json(entry, status=HEALTH_STATUS[status])


async def health_by_name(call: Call) -> Response:
    """Return how the services of one name fare; the answer's status is that of the worst."""
    name = call.part("service", missing="Missing service name")
    found = [one for one in await call.ask(LocalServices()) if one.name == name]
    if not found:
        text = call.text("format") == "text"
        body = Status.CRITICAL.value if text else "[]"
        return Response(body, 404, media_type="text/plain" if text else "application/json")
    entries = [await _health(call, one) for one in found]
    status = worst(one for one, _ in entries)
    if call.text("format") == "text":
        return Response(status.value, HEALTH_STATUS[status], media_type="text/plain")
    return call.json([entry for _, entry in entries], status=HEALTH_STATUS[status])


async def _health(call: Call, service: Service) -> tuple[Status, dict[str, Any]]:
    found = [
        one
        for one in await call.ask(LocalChecks())
        if one.service is None or one.service.id == service.id
    ]
    status = worst(one.state.status for one in found)
    return status, {
        "AggregatedStatus": status.value,
        "Service": local_service(service, datacenter=call.site.datacenter),
        "Checks": [_check(one, call.site.name) for one in found],
    }
