"""Transactions: `/v1/txn`. Up to 128 operations, all of them done or none."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any, Final

from starlette.responses import Response

from catalog.answers import Applied, Value
from catalog.commands import (
    BATCH_COMMANDS_MAX,
    Acquire,
    DeleteKey,
    DeregisterCheck,
    DeregisterNode,
    DeregisterService,
    DestroySession,
    ExpectAbsent,
    ExpectHolder,
    ExpectIndex,
    PutKey,
    ReadCheck,
    ReadKey,
    ReadNode,
    ReadService,
    ReadTree,
    RegisterCheck,
    RegisterNode,
    RegisterService,
    Release,
    Step,
    Transaction,
)
from catalog.http import shapes
from catalog.http.asking import apply
from catalog.http.bodies import Fields, read_list
from catalog.http.calls import Call
from catalog.http.definitions import check_state, service_of
from catalog.http.trouble import Trouble
from catalog.limits import VALUE_BYTES_MAX
from catalog.model import Instance, KeyValue, Node, NodeCheck

__all__ = ["commit"]

READS: Final = (ReadKey, ReadTree)


async def commit(call: Call) -> Response:
    """Do all operations, or say which of them stand in the way."""
    operations = await read_list(call.request, "Operation")
    if len(operations) > BATCH_COMMANDS_MAX:
        raise Trouble(
            413,
            f"Transaction contains too many operations ({len(operations)} > {BATCH_COMMANDS_MAX})",
        )
    if not operations:
        return call.json({"Results": None, "Errors": None})
    steps = [_step(one, call.site.datacenter) for one in operations]
    size = sum(len(step.value) for step in steps if isinstance(step, PutKey | Acquire | Release))
    if size > VALUE_BYTES_MAX:
        raise Trouble(413, f"The values have {size} bytes together, max size: {VALUE_BYTES_MAX}")
    applied = await apply(call, Transaction(steps))
    if not applied.ok:
        return call.json({"Results": None, "Errors": _errors(applied)}, status=409)
    results = [
        _result(value, with_value=isinstance(step, READS))
        for step, part in zip(steps, applied.parts, strict=True)
        for value in part.values
    ]
    return call.json({"Results": results or None, "Errors": None})


def _errors(applied: Applied) -> list[dict[str, Any]]:
    found = [
        {"OpIndex": at, "What": part.detail} for at, part in enumerate(applied.parts) if not part.ok
    ]
    return found or [{"OpIndex": 0, "What": applied.detail}]


def _result(value: Value, *, with_value: bool) -> dict[str, Any]:
    match value:
        case KeyValue():
            return {"KV": shapes.key_value(value, value=with_value)}
        case Instance():
            return {"Service": shapes.node_service(value)}
        case NodeCheck():
            return {"Check": shapes.check_of(value)}
        case _:
            return {"Node": shapes.node_with_services(value)[0]}


def _step(operation: Fields, datacenter: str) -> Step:
    for kind, read in KINDS.items():
        if kind in operation:
            fields = operation.object(kind)
            verb = fields.text("Verb")
            step = read(verb, fields, datacenter)
            if step is None:
                raise Trouble(400, f"{fields.where}: unknown verb {verb[:40]!r}; nothing was done")
            return step
    raise Trouble(400, f"{operation.where}: one of {', '.join(KINDS)} must be given")


def _kv(verb: str, fields: Fields, _: str) -> Step | None:
    key = fields.text("Key")
    match verb:
        case "set":
            return PutKey(key, _value(fields), flags=fields.number("Flags"))
        case "cas":
            index = fields.number("Index")
            return PutKey(key, _value(fields), flags=fields.number("Flags"), cas=index)
        case "lock":
            return Acquire(
                key, _value(fields), fields.text("Session"), flags=fields.number("Flags")
            )
        case "unlock":
            return Release(
                key, _value(fields), fields.text("Session"), flags=fields.number("Flags")
            )
        case "get":
            return ReadKey(key)
        case "get-or-empty":
            return ReadKey(key, required=False)
        case "get-tree":
            return ReadTree(key)
        case "check-index":
            return ExpectIndex(key, fields.number("Index"))
        case "check-session":
            return ExpectHolder(key, fields.text("Session"))
        case "check-not-exists":
            return ExpectAbsent(key)
        case "delete":
            return DeleteKey(key)
        case "delete-tree":
            return DeleteKey(key, recurse=True)
        case "delete-cas":
            return DeleteKey(key, cas=fields.number("Index"))
        case _:
            return None


def _value(fields: Fields) -> bytes:
    try:
        return base64.b64decode(fields.text("Value"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Trouble(
            400, f"{fields.where}.Value is no base64: {error}; nothing was done"
        ) from None


def _node(verb: str, fields: Fields, datacenter: str) -> Step | None:
    inner = fields.object("Node")
    name = inner.text("Node")
    index = inner.number("ModifyIndex")
    match verb:
        case "get":
            return ReadNode(name)
        case "set" | "cas":
            node = Node(
                name,
                inner.text("Address"),
                meta=inner.pairs("Meta"),
                datacenter=datacenter,
                id=inner.text("ID"),
                tagged_addresses=inner.pairs("TaggedAddresses"),
            )
            return RegisterNode(node, cas=index if verb == "cas" else None)
        case "delete" | "delete-cas":
            return DeregisterNode(name, cas=index if verb == "delete-cas" else None)
        case _:
            return None


def _service(verb: str, fields: Fields, _: str) -> Step | None:
    node, inner = fields.text("Node"), fields.object("Service")
    service_id = inner.text("ID") or inner.text("Service")
    index = inner.number("ModifyIndex")
    match verb:
        case "get":
            return ReadService(node, service_id)
        case "set" | "cas":
            return RegisterService(node, service_of(inner), cas=index if verb == "cas" else None)
        case "delete" | "delete-cas":
            return DeregisterService(node, service_id, cas=index if verb == "delete-cas" else None)
        case _:
            return None


def _check(verb: str, fields: Fields, _: str) -> Step | None:
    inner = fields.object("Check")
    node, check_id = inner.text("Node"), inner.text("CheckID")
    index = inner.number("ModifyIndex")
    match verb:
        case "get":
            return ReadCheck(node, check_id)
        case "set" | "cas":
            cas = index if verb == "cas" else None
            return RegisterCheck(node, check_state(inner), inner.text("ServiceID"), cas=cas)
        case "delete" | "delete-cas":
            return DeregisterCheck(node, check_id, cas=index if verb == "delete-cas" else None)
        case _:
            return None


def _session(verb: str, fields: Fields, _: str) -> Step | None:
    return DestroySession(fields.object("Session").text("ID")) if verb == "delete" else None


KINDS: Final[dict[str, Callable[[str, Fields, str], Step | None]]] = {
    "KV": _kv,
    "Node": _node,
    "Service": _service,
    "Check": _check,
    "Session": _session,
}
