"""Prepared queries: `/v1/query...`."""

from __future__ import annotations

import uuid
from typing import Any

from starlette.responses import Response

from catalog.commands import DeleteQuery, SetQuery
from catalog.http.answers import empty
from catalog.http.asking import near_of, read, write
from catalog.http.bodies import Fields, read_fields
from catalog.http.calls import Call
from catalog.http.shapes import health_entry, prepared_query
from catalog.http.trouble import Trouble
from catalog.queries import Failover, PreparedQuery, QueryResult, QueryService, Template
from catalog.requests import AskedQuery, ExecuteQuery, Queries

__all__ = ["create", "delete", "execute", "explain", "listing", "one", "replace"]

MISSING = "Missing query ID"


async def create(call: Call) -> Response:
    """Keep a new query."""
    query = _query(str(uuid.uuid4()), await read_fields(call.request))
    await write(call, SetQuery(query))
    return call.json({"ID": query.id})


async def replace(call: Call) -> Response:
    """Replace a query."""
    query_id = call.part("query", missing=MISSING)
    if (await call.ask(AskedQuery(query_id))).value is None:
        raise Trouble(404, "Query not found")
    await write(call, SetQuery(_query(query_id, await read_fields(call.request))))
    return empty()


async def delete(call: Call) -> Response:
    """Forget a query."""
    await write(call, DeleteQuery(call.part("query", missing=MISSING)))
    return empty()


async def listing(call: Call) -> Response:
    """Return all queries."""
    found, headers = await read(call, Queries())
    return call.json([prepared_query(one) for one in found], headers=headers)


async def one(call: Call) -> Response:
    """Return one query, in a list."""
    found, headers = await read(call, AskedQuery(call.part("query", missing=MISSING)))
    if found is None:
        raise Trouble(404, "Query not found")
    return call.json([prepared_query(found)], headers=headers)


async def execute(call: Call) -> Response:
    """Return the instances that a query gives."""
    result, headers = await _execute(call)
    limit = call.number("limit") or None
    service = result.query.service
    ttl = prepared_query(result.query)["DNS"]
    body: dict[str, Any] = {
        "Service": service.service,
        "Nodes": [health_entry(one) for one in result.instances[:limit]],
        "DNS": ttl,
        "Datacenter": call.site.datacenter,
        "Failovers": 0,
        "Index": int(headers["X-Consul-Index"]),
        "LastContact": int(headers["X-Consul-LastContact"]),
        "KnownLeader": headers["X-Consul-KnownLeader"] == "true",
    }
    return call.json(body, headers=headers)


async def explain(call: Call) -> Response:
    """Return a query with its template filled in."""
    result, headers = await _execute(call)
    return call.json({"Query": prepared_query(result.query)}, headers=headers)


async def _execute(call: Call) -> tuple[QueryResult, dict[str, str]]:
    name = call.part("query", missing=MISSING)
    result, headers = await read(call, ExecuteQuery(name, near=near_of(call)))
    if result is None:
        raise Trouble(404, "Query not found")
    return result, headers


def _query(query_id: str, fields: Fields) -> PreparedQuery:
    template = fields.object("Template")
    return PreparedQuery(
        query_id,
        _service(fields.object("Service")),
        name=fields.text("Name"),
        session=fields.text("Session"),
        token=fields.text("Token"),
        template=Template(
            template.text("Type"), template.text("Regexp"), template.flag("RemoveEmptyTags")
        )
        if template.text("Type")
        else None,
        dns_ttl=fields.object("DNS").duration("TTL"),
    )


def _service(fields: Fields) -> QueryService:
    failover = fields.object("Failover")
    return QueryService(
        fields.text("Service"),
        failover=Failover(failover.number("NearestN"), failover.texts("Datacenters")),
        only_passing=fields.flag("OnlyPassing"),
        near=fields.text("Near"),
        tags=fields.texts("Tags"),
        node_meta=fields.pairs("NodeMeta"),
        service_meta=fields.pairs("ServiceMeta"),
        ignore_check_ids=fields.texts("IgnoreCheckIDs"),
    )
