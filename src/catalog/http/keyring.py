"""The keys of gossip: `/v1/operator/keyring`. Keys are shown by their fingerprints only."""

from __future__ import annotations

import base64
import binascii

from starlette.responses import Response

from catalog.housekeeping import ChangeKeys, KeyAction, KeysReport
from catalog.http.answers import empty
from catalog.http.bodies import read_fields
from catalog.http.calls import Call
from catalog.http.trouble import Trouble

__all__ = ["install", "listing", "remove", "use"]


async def listing(call: Call) -> Response:
    """Return who holds which keys."""
    report = await _ask(call, ChangeKeys())
    ring = {
        "WAN": False,
        "Datacenter": call.site.datacenter,
        "Segment": "",
        "Keys": dict(report.keys),
        "PrimaryKeys": dict(report.primary),
        "NumNodes": report.members,
    }
    return call.json([ring])


async def install(call: Call) -> Response:
    """Have all agents decrypt with a key, too."""
    return await _change(call, KeyAction.INSTALL)


async def use(call: Call) -> Response:
    """Have all agents encrypt with a key."""
    return await _change(call, KeyAction.USE)


async def remove(call: Call) -> Response:
    """Have all agents forget a key."""
    return await _change(call, KeyAction.REMOVE)


async def _change(call: Call, action: KeyAction) -> Response:
    text = (await read_fields(call.request)).text("Key")
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Trouble(400, f"Key is no base64: {error}; nothing was changed") from None
    await _ask(call, ChangeKeys(action, key))
    return empty()


async def _ask(call: Call, request: ChangeKeys) -> KeysReport:
    try:
        return await call.ask(request)
    except ValueError as error:  # there are no keys, or not this one: Consul has it among faults
        raise Trouble(500, str(error)) from None
