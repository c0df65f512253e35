"""Transactions: steps that are done one after the other, and all of them or none.

Each step sees what those before it did. All steps are tried, also after one that failed, so that
the caller learns of everything that stands in the way; then the tables take back what was done.
"""

from __future__ import annotations

from typing import assert_never

from attrs import evolve

from catalog.answers import Applied, Reason, Refusal, Value
from catalog.commands import (
    Acquire,
    Operation,
    PutKey,
    RegisterCheck,
    RegisterNode,
    RegisterService,
    Release,
    Transaction,
)
from catalog.registry.refusals import conflict, unknown_check, unknown_node, unknown_service
from catalog.registry.tables import Tables
from catalog.steps import (
    ExpectAbsent,
    Expectation,
    ExpectHolder,
    ExpectIndex,
    ReadCheck,
    Reading,
    ReadKey,
    ReadNode,
    ReadService,
    ReadTree,
)

__all__ = ["outcome", "transact"]


def transact(tables: Tables, transaction: Transaction, index: int, stamp: int) -> Applied:
    """Do a transaction, or nothing."""
    parts = []
    for step in transaction.steps:
        values: tuple[Value, ...] = ()
        if isinstance(step, Operation):
            refused = tables.operate(step, index, stamp)
            if refused is None:
                values = outcome(tables, step)
        elif isinstance(step, Expectation):
            refused = _expect(tables, step)
        else:
            refused, values = _read(tables, step)
        parts.append(Applied(index, values=values) if refused is None else Applied(index, *refused))
    failed = next((number for number, part in enumerate(parts, 1) if not part.ok), None)
    if failed is None:
        return Applied(index, parts=tuple(parts))
    tables.rollback()
    first = parts[failed - 1]
    return Applied(
        index,
        first.refusal,
        f"step {failed} of {len(parts)}: {first.detail}; nothing of the transaction was done",
        tuple(evolve(part, values=()) for part in parts),
    )


def outcome(tables: Tables, operation: Operation) -> tuple[Value, ...]:
    """Return what an operation that was done made, without what the caller has already."""
    found: Value | None = None
    match operation:
        case PutKey(key) | Acquire(key) | Release(key):
            entry = tables.keys.get(key)
            found = None if entry is None else evolve(entry, value=b"")
        case RegisterNode(node):
            found = tables.services.bare_node(node.name)
        case RegisterService(node_name, service):
            found = tables.services.instance(node_name, service.id)
        case RegisterCheck(node_name, check):
            found = tables.services.check(node_name, check.id)
        case _:
            pass  # it leaves nothing to show
    return () if found is None else (found,)


def _read(tables: Tables, reading: Reading) -> tuple[Reason | None, tuple[Value, ...]]:
    """Return why something cannot be read, or what was read."""
    missing: Reason
    found: Value | None
    match reading:
        case ReadKey(key, required):
            found = tables.keys.get(key)
            if found is None and not required:
                return None, ()
            missing = Refusal.UNKNOWN_KEY, f"key {key!r} does not exist"
        case ReadTree(prefix):
            return None, tables.keys.items(prefix)
        case ReadNode(node):
            found, missing = tables.services.bare_node(node), unknown_node(node)
        case ReadService(node, service_id):
            found = tables.services.instance(node, service_id)
            missing = unknown_service(service_id, node)
        case ReadCheck(node, check_id):
            found = tables.services.check(node, check_id)
            missing = unknown_check(check_id, node)
        case _:
            assert_never(reading)
    return (missing, ()) if found is None else (None, (found,))


def _expect(tables: Tables, expectation: Expectation) -> Reason | None:
    """Return why an expectation is not met, or `None`."""
    key = expectation.key
    entry = tables.keys.get(key)
    match expectation:
        case ExpectIndex(_, index):
            found = 0 if entry is None else entry.modify_index
            return None if found == index else conflict(f"key {key!r}", index, found)
        case ExpectHolder(_, session):
            if entry is not None and entry.session == session:
                return None
            return Refusal.NOT_HOLDER, f"key {key!r} is not held by session {session!r}"
        case ExpectAbsent():
            return None if entry is None else (Refusal.CONFLICT, f"key {key!r} exists")
        case _:
            assert_never(expectation)
