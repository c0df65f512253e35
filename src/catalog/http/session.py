"""Sessions: `/v1/session/...`."""

from __future__ import annotations

import uuid
from typing import Any, Final

from starlette.responses import Response

from catalog.commands import CreateSession, DestroySession
from catalog.http.asking import read, select, write
from catalog.http.bodies import Fields, read_fields
from catalog.http.calls import Call
from catalog.http.shapes import session as shape
from catalog.http.trouble import Trouble
from catalog.model import Behaviour, Session
from catalog.requests import AskedSession, RenewSession, Sessions

__all__ = ["create", "destroy", "info", "listing", "of_node", "renew"]

SECONDS_BELOW: Final = 1000
"""A lock-delay that is a smaller number means seconds, and no nanoseconds."""
TTL_SECONDS_MIN: Final = 10.0
TTL_SECONDS_MAX: Final = 86400.0
"""Consul's bounds; its clients know them."""
MISSING: Final = "Missing session"


async def create(call: Call) -> Response:
    """Begin a session; everything about it has a default."""
    fields = await read_fields(call.request)
    new = Session(str(uuid.uuid4()), fields.text("Node") or call.site.name, **_settings(fields))
    await write(call, CreateSession(new))
    return call.json({"ID": new.id})


def _settings(fields: Fields) -> dict[str, Any]:
    ttl = fields.duration("TTL") or None
    if ttl is not None and not TTL_SECONDS_MIN <= ttl <= TTL_SECONDS_MAX:
        # Consul's status and words, by which its clients know this one.
        raise Trouble(500, f"Invalid Session TTL '{ttl:g}s', must be between [10s=24h0m0s]")
    settings: dict[str, Any] = {"name": fields.text("Name"), "ttl": ttl}
    behaviour = fields.text("Behavior")
    if behaviour:
        settings["behaviour"] = Behaviour(behaviour)
    delay = fields.duration("LockDelay")
    if delay is not None:
        settings["lock_delay"] = delay if delay * 1e9 >= SECONDS_BELOW else delay * 1e9
    for name in ("Checks", "NodeChecks"):
        if name in fields:
            settings["node_checks"] = fields.texts(name)
    if "ServiceChecks" in fields:
        settings["service_checks"] = tuple(
            one.text("ID") for one in fields.objects("ServiceChecks")
        )
    return settings


async def destroy(call: Call) -> Response:
    """End a session; one that is gone already is fine."""
    session = call.part("session", missing=MISSING)
    return call.json(await write(call, DestroySession(session)))


async def renew(call: Call) -> Response:
    """Keep a session alive for another TTL."""
    name = call.part("session", missing=MISSING)
    session = await call.ask(RenewSession(name))
    if session is None:
        raise Trouble(404, f"Session id '{name}' not found")
    return call.json([shape(session)])


async def info(call: Call) -> Response:
    """Return one session in a list, or an empty one."""
    session, headers = await read(call, AskedSession(call.part("session", missing=MISSING)))
    return call.json([] if session is None else [shape(session)], headers=headers)


async def of_node(call: Call) -> Response:
    """Return the sessions of a node."""
    node = call.part("node", missing="Missing node name")
    sessions, headers = await read(call, Sessions(node))
    return call.json(select(call, map(shape, sessions)), headers=headers)


async def listing(call: Call) -> Response:
    """Return all sessions."""
    sessions, headers = await read(call, Sessions())
    return call.json(select(call, map(shape, sessions)), headers=headers)
