"""User events: `/v1/event/...`."""

from __future__ import annotations

import base64
from typing import Any

from starlette.responses import Response

from catalog.events import Event, Events, FireEvent
from catalog.http.answers import read_headers
from catalog.http.bodies import read_bytes
from catalog.http.calls import Call
from catalog.limits import INTERVAL_SECONDS_MIN

__all__ = ["fire", "listing"]

PAYLOAD_BYTES_MAX = 512
"""Consul's limit; what gossip carries is a little less, and says so."""


async def fire(call: Call) -> Response:
    """Tell all agents something."""
    request = FireEvent(
        call.part("name", missing="Missing name"),
        await read_bytes(call.request, limit=PAYLOAD_BYTES_MAX, what="Event payload"),
        call.text("node"),
        call.text("service"),
        call.text("tag"),
    )
    return call.json(_shape(await call.ask(request)) | {"LTime": 0})


async def listing(call: Call) -> Response:
    """Return the latest events, oldest first; the index tells one answer from another.

    It is one more than the agent's own: 0 would mean not to wait.
    """
    options = call.options
    after = options.index - 1 if options.index else None
    found = await call.ask(
        Events(call.text("name"), after, max(options.wait, INTERVAL_SECONDS_MIN))
    )
    headers = read_headers(
        index=found.index + 1, known_leader=True, last_contact=0.0, effective="leader"
    )
    return call.json([_shape(one) for one in found.events], headers=headers)


def _shape(one: Event) -> dict[str, Any]:
    return {
        "ID": one.id,
        "Name": one.name,
        "Payload": base64.b64encode(one.payload).decode() if one.payload else None,
        "NodeFilter": one.node,
        "ServiceFilter": one.service,
        "TagFilter": one.tag,
        "Version": 1,
        "LTime": one.clock,
    }
