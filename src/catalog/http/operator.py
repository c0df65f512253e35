"""For those who run the servers: `/v1/operator/...`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.responses import Response

from catalog.http.answers import empty
from catalog.http.asking import read
from catalog.http.calls import Call
from catalog.http.durations import format_duration
from catalog.http.trouble import Trouble
from catalog.operations import (
    Health,
    HealthReport,
    Peers,
    RemovePeer,
    ServerHealth,
    TransferLeadership,
)
from catalog.requests import Consistency, Nodes

__all__ = [
    "autopilot_health",
    "autopilot_rules",
    "autopilot_state",
    "raft_configuration",
    "remove_peer",
    "transfer_leader",
    "usage",
]

SERF_STATUS = {"alive": "alive", "lost": "failed", "left": "left"}


async def raft_configuration(call: Call) -> Response:
    """Return the servers in Raft's configuration."""
    consistency = Consistency.STALE if call.options.stale else Consistency.DEFAULT
    report = await call.ask(Peers(consistency))
    servers = [
        {
            "ID": peer.name,
            "Node": peer.name,
            "Address": peer.address,
            "Leader": peer.leader,
            "ProtocolVersion": "3",
            "Voter": peer.voter,
            "LastIndex": report.index,
        }
        for peer in report.peers
    ]
    return call.json({"Servers": servers, "Index": 0})


async def remove_peer(call: Call) -> Response:
    """Remove a server from Raft's configuration, by its name or address."""
    name, address = call.text("id"), call.text("address")
    if bool(name) == bool(address):
        raise Trouble(400, "Must specify either ?id with the server's ID or ?address, and not both")
    report = await call.ask(Peers())
    for peer in report.peers:
        if peer.name == name or (address and peer.address == address):
            await call.ask(RemovePeer(peer.name))
            return empty()
    raise Trouble(500, f"{name or address!r} was not found in the Raft configuration")


async def transfer_leader(call: Call) -> Response:
    """Have another server lead."""
    await call.ask(TransferLeadership(call.text("id") or None))
    return call.json({"Success": True})


async def autopilot_health(call: Call) -> Response:
    """Return how the servers fare; 429 if not all are healthy."""
    report = await call.ask(Health())
    body = {
        "Healthy": report.healthy,
        "FailureTolerance": report.failure_tolerance,
        "Servers": [_server(one) for one in report.servers],
    }
    return call.json(body, status=200 if report.healthy else 429)


def _server(one: ServerHealth) -> dict[str, Any]:
    since = datetime.now(UTC) - timedelta(seconds=one.stable)
    return {
        "ID": one.name,
        "Name": one.name,
        "Address": one.address,
        "SerfStatus": SERF_STATUS.get(one.standing, "none"),
        "Version": "",
        "Leader": one.leader,
        "LastContact": "" if one.contact is None else format_duration(round(one.contact, 6)),
        "LastTerm": one.term or 0,
        "LastIndex": one.last_index or 0,
        "Healthy": one.healthy,
        "Voter": one.voter,
        "StableSince": since.isoformat(timespec="seconds").replace("+00:00", "Z"),
    }


async def autopilot_rules(call: Call) -> Response:
    """Return what the leader may do by itself: the agent's settings, which no call changes."""
    rules = call.site.rules
    return call.json(
        {
            "CleanupDeadServers": rules.remove_lost,
            "LastContactThreshold": format_duration(rules.contact_seconds_max),
            "MaxTrailingLogs": rules.trailing_entries_max,
            "MinQuorum": rules.voters_min,
            "ServerStabilizationTime": format_duration(rules.stable_seconds),
            "RedundancyZoneTag": "",
            "DisableUpgradeMigration": False,
            "UpgradeVersionTag": "",
            "CreateIndex": 0,
            "ModifyIndex": 0,
        }
    )


async def autopilot_state(call: Call) -> Response:
    """Return the same by server, with who leads and who votes."""
    report = await call.ask(Health())
    return call.json(_state(report))


def _state(report: HealthReport) -> dict[str, Any]:
    return {
        "Healthy": report.healthy,
        "FailureTolerance": report.failure_tolerance,
        "OptimisticFailureTolerance": report.failure_tolerance,
        "Servers": {
            one.name: _server(one)
            | {
                "NodeStatus": SERF_STATUS.get(one.standing, "none"),
                "Status": "leader" if one.leader else "voter" if one.voter else "non-voter",
                "NodeType": "voter",
            }
            for one in report.servers
        },
        "Leader": next((one.name for one in report.servers if one.leader), ""),
        "Voters": [one.name for one in report.servers if one.voter],
    }


async def usage(call: Call) -> Response:
    """Return how much is registered."""
    views, headers = await read(call, Nodes())
    names = [one.service.name for view in views for one in view.instances]
    counts = {
        "Nodes": len(views),
        "Services": len(set(names)),
        "ServiceInstances": len(names),
        "ConnectServiceInstances": {},
        "BillableServiceInstances": len(names),
    }
    body = {
        "Usage": {call.site.datacenter: counts},
        "Index": int(headers["X-Consul-Index"]),
        "LastContact": 0,
        "KnownLeader": headers["X-Consul-KnownLeader"] == "true",
        "ConsistencyLevel": headers["X-Consul-Effective-Consistency"],
        "NotModified": False,
        "Backend": 0,
        "ResultsFilteredByACLs": False,
    }
    return call.json(body, headers=headers)
