"""Keys and values: `/v1/kv/<key>`."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from catalog.answers import Refusal
from catalog.commands import Acquire, Command, DeleteKey, PutKey, Release
from catalog.errors import Refused
from catalog.http.answers import empty
from catalog.http.asking import read, write
from catalog.http.bodies import read_bytes
from catalog.http.calls import Call
from catalog.http.shapes import key_value
from catalog.http.trouble import Trouble
from catalog.limits import VALUE_BYTES_MAX
from catalog.requests import Get, Items, Keys

__all__ = ["delete", "get", "put"]

RAW_HEADERS: Final = {
    "Content-Type": "text/plain",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox",
}
"""Of a bare value: whatever it is, no browser runs it."""
CONDITIONS: Final = ("cas", "acquire", "release")
NO: Final = {
    Refusal.CONFLICT,
    Refusal.LOCKED,
    Refusal.LOCK_DELAYED,
    Refusal.NOT_HOLDER,
    Refusal.UNKNOWN_KEY,
}
"""Refusals that are an answer, `false`, and no error."""


async def get(call: Call) -> Response:
    """Return a key, the keys under a prefix with their values, or their names."""
    key = call.request.path_params["key"]
    if call.has("keys"):
        separator = call.text("separator") or call.text("seperator")
        names, headers = await read(call, Keys(key, separator=separator))
        if not names and key:
            return empty(status=404, headers=headers)
        return call.json(list(names), headers=headers)
    if call.has("recurse"):
        items, headers = await read(call, Items(key))
        if not items:
            return empty(status=404, headers=headers)
        return call.json([key_value(item) for item in items], headers=headers)
    item, headers = await read(call, Get(call.part("key", missing="Missing key name")))
    if item is None:
        return empty(status=404, headers=headers)
    if call.has("raw"):
        return Response(item.value, headers=headers | RAW_HEADERS)
    return call.json([key_value(item)], headers=headers)


async def put(call: Call) -> Response:
    """Write a key; with a condition, answer whether it held."""
    key = call.part("key", missing="Missing key name")
    given = [name for name in CONDITIONS if call.has(name)]
    if len(given) > 1:
        raise Trouble(400, f"Conflicting flags: {' and '.join(given)}; use one of them")
    flags = call.number("flags") or 0
    value = await read_bytes(call.request, limit=VALUE_BYTES_MAX)
    command: Command
    match given:
        case ["acquire"]:
            command = Acquire(key, value, _session(call, "acquire"), flags=flags)
        case ["release"]:
            command = Release(key, value, _session(call, "release"), flags=flags)
        case _:
            command = PutKey(key, value, flags=flags, cas=call.number("cas"))
    try:
        return call.json(await write(call, command, no=NO))
    except Refused as refused:
        if refused.applied.refusal is Refusal.UNKNOWN_SESSION:  # Consul's words: clients look
            raise Trouble(500, f'invalid session "{call.text(given[0])}"') from None
        raise


async def delete(call: Call) -> Response:
    """Delete a key, or all under a prefix."""
    recurse = call.has("recurse")
    if recurse and call.has("cas"):
        raise Trouble(400, "Conflicting flags: recurse and cas; use one of them")
    key = call.request.path_params["key"]
    if not key and not recurse:
        raise Trouble(400, "Missing key name")
    command = DeleteKey(key, cas=call.number("cas"), recurse=recurse)
    return call.json(await write(call, command, no=NO))


def _session(call: Call, name: str) -> str:
    session = call.text(name)
    if not session:
        raise Trouble(400, f"Missing session: {name}=<id>")
    return session
