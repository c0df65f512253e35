"""The routes: one line for each path, its handlers by method."""

from __future__ import annotations

from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from catalog.http import (
    agent,
    catalog,
    coordinate,
    event,
    health,
    keyring,
    kv,
    members,
    off,
    operator,
    query,
    session,
    snapshot,
    status,
    txn,
)
from catalog.http.answers import COMMON, failure
from catalog.http.calls import Handler, Site, answering
from catalog.http.trouble import Trouble

__all__ = ["build_app"]

METHODS: Final = ("GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE")

ROUTES: Final[dict[str, dict[str, Handler]]] = {
    # Keys, sessions, transactions.
    "kv/{key:path}": {"GET": kv.get, "PUT": kv.put, "DELETE": kv.delete},
    "txn": {"PUT": txn.commit},
    "session/create": {"PUT": session.create},
    "session/destroy/{session:path}": {"PUT": session.destroy},
    "session/renew/{session:path}": {"PUT": session.renew},
    "session/info/{session:path}": {"GET": session.info},
    "session/node/{node:path}": {"GET": session.of_node},
    "session/list": {"GET": session.listing},
    # The catalog, and its health.
    "catalog/register": {"PUT": catalog.register},
    "catalog/deregister": {"PUT": catalog.deregister},
    "catalog/datacenters": {"GET": catalog.datacenters},
    "catalog/nodes": {"GET": catalog.nodes},
    "catalog/services": {"GET": catalog.services},
    "catalog/service/{service:path}": {"GET": catalog.instances},
    "catalog/connect/{service:path}": {"GET": catalog.none},
    "catalog/node/{node:path}": {"GET": catalog.one_node},
    "catalog/node-services/{node:path}": {"GET": catalog.node_services},
    "catalog/gateway-services/{service:path}": {"GET": catalog.none},
    "health/service/{service:path}": {"GET": health.service},
    "health/connect/{service:path}": {"GET": catalog.none},
    "health/ingress/{service:path}": {"GET": catalog.none},
    "health/checks/{service:path}": {"GET": health.checks},
    "health/node/{node:path}": {"GET": health.node},
    "health/state/{state}": {"GET": health.in_state},
    # The agent that is asked.
    "agent/self": {"GET": members.myself},
    "agent/members": {"GET": members.listing},
    "agent/services": {"GET": agent.services},
    "agent/service/register": {"PUT": agent.register_service},
    "agent/service/deregister/{service:path}": {"PUT": agent.deregister_service},
    "agent/service/maintenance/{service:path}": {"PUT": agent.maintain_service},
    "agent/service/{service:path}": {"GET": agent.one_service},
    "agent/maintenance": {"PUT": agent.maintain_node},
    "agent/checks": {"GET": agent.checks},
    "agent/check/register": {"PUT": agent.register_check},
    "agent/check/deregister/{check:path}": {"PUT": agent.deregister_check},
    "agent/check/pass/{check:path}": {"PUT": agent.pass_},
    "agent/check/warn/{check:path}": {"PUT": agent.warn},
    "agent/check/fail/{check:path}": {"PUT": agent.fail},
    "agent/check/update/{check:path}": {"PUT": agent.update},
    "agent/health/service/id/{service:path}": {"GET": agent.health_by_id},
    "agent/health/service/name/{service:path}": {"GET": agent.health_by_name},
    "agent/metrics": {"GET": members.metrics},
    "agent/version": {"GET": members.version},
    "agent/monitor": {"GET": members.monitor},
    "agent/join/{address:path}": {"PUT": members.join},
    "agent/force-leave/{node:path}": {"PUT": members.force_leave},
    "agent/leave": {"PUT": members.leave},
    "agent/reload": {"PUT": members.reload},
    # User events.
    "event/fire/{name:path}": {"PUT": event.fire},
    "event/list": {"GET": event.listing},
    # Prepared queries, coordinates.
    "query": {"GET": query.listing, "POST": query.create},
    "query/{query:path}/execute": {"GET": query.execute},
    "query/{query:path}/explain": {"GET": query.explain},
    "query/{query:path}": {"GET": query.one, "PUT": query.replace, "DELETE": query.delete},
    "coordinate/datacenters": {"GET": coordinate.datacenters},
    "coordinate/nodes": {"GET": coordinate.nodes},
    "coordinate/node/{node:path}": {"GET": coordinate.node},
    "coordinate/update": {"PUT": coordinate.update},
    # The servers.
    "status/leader": {"GET": status.leader},
    "status/peers": {"GET": status.peers},
    "operator/raft/configuration": {"GET": operator.raft_configuration},
    "operator/raft/peer": {"DELETE": operator.remove_peer},
    "operator/raft/transfer-leader": {"POST": operator.transfer_leader},
    "operator/autopilot/configuration": {"GET": operator.autopilot_rules, "PUT": off.absent},
    "operator/autopilot/health": {"GET": operator.autopilot_health},
    "operator/autopilot/state": {"GET": operator.autopilot_state},
    "operator/keyring": {
        "GET": keyring.listing,
        "POST": keyring.install,
        "PUT": keyring.use,
        "DELETE": keyring.remove,
    },
    "operator/usage": {"GET": operator.usage},
    "snapshot": {"GET": snapshot.get, "PUT": snapshot.put},
    # What is off.
    "acl/{rest:path}": dict.fromkeys(("GET", "PUT", "POST", "DELETE"), off.acl),
    "agent/token/{kind:path}": {"PUT": off.acl},
    "agent/connect/{rest:path}": dict.fromkeys(("GET", "POST"), off.connect),
    "connect/{rest:path}": dict.fromkeys(("GET", "PUT", "POST", "DELETE"), off.connect),
    "discovery-chain/{rest:path}": dict.fromkeys(("GET", "POST"), off.connect),
    "config": {"PUT": off.config},
    "config/{rest:path}": dict.fromkeys(("GET", "DELETE"), off.config),
    "peering/{rest:path}": dict.fromkeys(("GET", "POST", "DELETE"), off.peering),
    "peering": {"POST": off.peering},
    "peerings": {"GET": off.peering},
}


def build_app(site: Site) -> Starlette:
    """Return Consul's HTTP API in front of an agent."""
    routes = [
        Route(f"/v1/{path}", answering(site, handlers), methods=METHODS)
        for path, handlers in ROUTES.items()
    ]
    routes.append(Route("/", _greeting))
    app = Starlette(routes=routes, exception_handlers={HTTPException: _http, Exception: _fault})
    app.router.redirect_slashes = False  # a slash at the end of a key belongs to it
    return app


async def _greeting(_: Request) -> Response:
    """Answer 200 where Consul has its pages for people: health checks look there."""
    return Response("Consul Agent: UI disabled.", media_type="text/plain", headers=COMMON)


async def _http(_: Request, error: Exception) -> Response:
    """Answer for paths that are not there."""
    assert isinstance(error, HTTPException)
    response = failure(Trouble(error.status_code, "Invalid URL path: not a recognized endpoint"))
    response.headers.update(COMMON)
    return response


async def _fault(_: Request, error: Exception) -> Response:
    """Answer for a fault of ours; the server logs it."""
    response = failure(Trouble(500, f"internal error: {type(error).__name__}; see the agent's log"))
    response.headers.update(COMMON)
    return response
