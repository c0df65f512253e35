"""Who leads, and who votes: `/v1/status/...`."""

from __future__ import annotations

from starlette.responses import Response

from catalog.errors import CatalogError
from catalog.http.calls import Call
from catalog.operations import Peer, Peers
from catalog.requests import Consistency

__all__ = ["leader", "leader_address", "peers"]


async def leader(call: Call) -> Response:
    """Return the leader's address; empty: nobody leads."""
    return call.json(await leader_address(call))


async def peers(call: Call) -> Response:
    """Return the addresses of the servers that vote."""
    return call.json([peer.address for peer in await _peers(call) if peer.voter])


async def leader_address(call: Call) -> str:
    """Return `host:port` of the leader; empty: there is none, or no server to ask."""
    return next((peer.address for peer in await _peers(call) if peer.leader), "")


async def _peers(call: Call) -> tuple[Peer, ...]:
    try:
        report = await call.ask(Peers(Consistency.STALE))
    except CatalogError:
        return ()
    return report.peers
