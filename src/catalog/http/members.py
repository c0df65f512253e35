"""The agent among the others: itself, whom it sees, joining and leaving."""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from starlette.background import BackgroundTask
from starlette.responses import Response

from catalog.config import PORT, format_address, parse_address
from catalog.errors import CatalogError
from catalog.housekeeping import ForceLeave, JoinOthers, Leave, Metrics, Reload
from catalog.http.answers import empty
from catalog.http.asking import select
from catalog.http.calls import Call
from catalog.http.status import leader_address
from catalog.http.trouble import Trouble
from catalog.model import Role
from catalog.requests import AgentInfo, Info, Member, MemberHealth, Members

__all__ = [
    "force_leave",
    "join",
    "leave",
    "listing",
    "metrics",
    "monitor",
    "myself",
    "reload",
    "version",
]

STATUS: Final = {
    MemberHealth.ALIVE: 1,
    MemberHealth.SUSPECT: 1,
    MemberHealth.LEFT: 3,
    MemberHealth.FAILED: 4,
}
"""Serf's numbers; a suspect counts as alive there."""
log = logging.getLogger("catalog")

PROMETHEUS: Final = "text/plain; version=0.0.4"
LEVELS: Final = {"", "trace", "debug", "info", "warn", "error"}
PROTOCOL: Final = {
    "ProtocolMin": 1,
    "ProtocolMax": 5,
    "ProtocolCur": 2,
    "DelegateMin": 2,
    "DelegateMax": 5,
    "DelegateCur": 4,
}
"""What an agent of Consul says of its gossip; clients show it, ours has other versions."""


async def listing(call: Call) -> Response:
    """Return the agents that gossip knows; `wan`: the servers, by name and data centre."""
    wan = call.flag("wan")
    found = [
        _member(one, wan=wan)
        for one in await call.ask(Members())
        if not wan or one.role is Role.SERVER
    ]
    return call.json(select(call, found))


def _member(one: Member, *, wan: bool = False) -> dict[str, Any]:
    host, port = parse_address(one.address)
    server = one.role is Role.SERVER
    return {
        "Name": f"{one.name}.{one.datacenter}" if wan else one.name,
        "Addr": host,
        "Port": port,
        "Tags": {
            **one.meta,
            "role": "consul" if server else "node",
            "dc": one.datacenter,
            "port": str(port),
        },
        "Status": STATUS[one.health],
        **PROTOCOL,
    }


async def myself(call: Call) -> Response:
    """Return the agent: its settings, its counters, itself as a member."""
    info = await call.ask(Info())
    me = next((one for one in await call.ask(Members()) if one.name == info.name), None)
    if me is None:
        raise Trouble(500, "the agent does not see itself in gossip yet; try again")
    return call.json(
        {
            "Config": {
                "Datacenter": info.datacenter,
                "PrimaryDatacenter": info.datacenter,
                "NodeName": info.name,
                "NodeID": "",
                "Revision": "",
                "Server": info.agent is Role.SERVER,
                "Version": info.version,
                "BuildDate": "",
            },
            "DebugConfig": {},
            "Coord": {},
            "Member": _member(me),
            "Stats": _statistics(info, await leader_address(call)),
            "Meta": dict(me.meta),
            "xDS": {},
        }
    )


def _statistics(info: AgentInfo, leader: str) -> dict[str, Any]:
    server = info.agent is Role.SERVER
    numbers = {
        "applied_index": info.applied_index,
        "commit_index": info.commit_index,
        "last_log_index": info.last_index,
        "last_snapshot_index": info.snapshot_index,
        "term": info.term,
    }
    return {
        "agent": {"services": str(info.services)},
        "consul": {
            "leader": str(info.leader is not None and info.leader == info.name).lower(),
            "leader_addr": leader,
            "server": str(server).lower(),
        },
        "raft": {"state": (info.role or "").capitalize()}
        | {name: str(number) for name, number in numbers.items() if number is not None},
        "serf_lan": {"members": str(info.members)},
    }


async def join(call: Call) -> Response:
    """Have the agent meet another one."""
    address = call.part("address", missing="Missing address")
    if not address.rpartition(":")[2].isdigit() or address.count(":") != 1:
        address = format_address((address.strip("[]"), PORT))
    await call.ask(JoinOthers((address,)))
    return empty()


async def leave(call: Call) -> Response:
    """Have the agent leave the cluster, and stop where it runs by itself, after this answer."""
    return Response(background=BackgroundTask(_leave, call))


async def _leave(call: Call) -> None:
    try:
        await call.ask(Leave())
    except (CatalogError, ValueError) as error:  # the answer is out already
        log.warning("http: the agent was told to leave, and cannot: %s", error)


async def force_leave(call: Call) -> Response:
    """Have an agent that failed count as one that left; `prune` asks for no more than that."""
    await call.ask(ForceLeave(call.part("node", missing="Missing node name")))
    return empty()


async def reload(call: Call) -> Response:
    """Have the agent read its configuration file again, if it has one."""
    with suppress(ValueError):
        await call.ask(Reload())
    return empty()


async def monitor(call: Call) -> Response:
    """Refuse to stream the log; it is on the agent's standard error."""
    if call.text("loglevel").lower() not in LEVELS:
        raise Trouble(400, f"Unknown log level: {call.text('loglevel')!r}")
    raise Trouble(500, "the log is not served over HTTP; it is on the agent's standard error")


async def version(call: Call) -> Response:
    """Return which software this is."""
    info = await call.ask(Info())
    return call.json({"SHA": "", "BuildDate": "", "HumanVersion": info.version, "FIPS": ""})


async def metrics(call: Call) -> Response:
    """Return the agent's numbers: a few as JSON, all of them in the format of Prometheus."""
    if call.text("format") == "prometheus":
        try:
            return Response(await call.ask(Metrics()), media_type=PROMETHEUS)
        except ValueError as error:  # the extra is not installed: empty, as Consul has it when off
            return empty(headers={"X-Consul-Reason": str(error)})
    info = await call.ask(Info())
    numbers = {
        "members": info.members,
        "services": info.services,
        "raft.term": info.term,
        "raft.commitIndex": info.commit_index,
        "raft.appliedIndex": info.applied_index,
        "raft.lastIndex": info.last_index,
    }
    gauges = [
        {"Name": f"catalog.{name}", "Value": number, "Labels": {}}
        for name, number in numbers.items()
        if number is not None
    ]
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S +0000 UTC")
    return call.json(
        {"Timestamp": now, "Gauges": gauges, "Points": [], "Counters": [], "Samples": []}
    )
