"""Features that are off, and answer as Consul does when it has them off."""

from __future__ import annotations

from starlette.responses import Response

from catalog.http.answers import failure
from catalog.http.calls import Call, Handler
from catalog.http.trouble import Trouble

__all__ = ["absent", "acl", "config", "connect", "peering"]


def _refusing(status: int, text: str) -> Handler:
    async def refuse(_: Call) -> Response:
        return failure(Trouble(status, text))

    return refuse


acl = _refusing(401, "ACL support disabled")
connect = _refusing(500, "Connect must be enabled in order to use this endpoint")
config = _refusing(500, "Config entries are not supported")
peering = _refusing(403, "peering is disabled")
absent = _refusing(500, "not supported by this agent; nothing was changed")
"""For what Consul has and we have not, so that nobody takes it for done."""
