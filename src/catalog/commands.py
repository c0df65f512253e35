"""The orders that change the catalog (`catalog.answers` has what each gets for an answer).

A command travels as one log entry (see `catalog.wire`) and is applied by every replica alike.
What a replica cannot do it refuses with a value, not an exception: the answer must be the same on
all of them, and nobody may stop.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from attrs import Attribute, field, frozen
from attrs.validators import instance_of

from catalog.answers import Applied, Reason, Refusal, Value
from catalog.limits import (
    check_flags,
    check_id,
    check_index,
    check_key,
    check_name,
    check_text,
    check_value,
    clip,
)
from catalog.model import CheckState, Coordinate, Node, Service, Session, Status
from catalog.queries import PreparedQuery
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

__all__ = [
    "BATCH_COMMANDS_MAX",
    "Acquire",
    "Applied",
    "Batch",
    "Command",
    "CreateSession",
    "DeleteKey",
    "DeleteQuery",
    "DeregisterCheck",
    "DeregisterNode",
    "DeregisterService",
    "DestroySession",
    "ExpectAbsent",
    "ExpectHolder",
    "ExpectIndex",
    "Expectation",
    "Operation",
    "PutKey",
    "ReadCheck",
    "ReadKey",
    "ReadNode",
    "ReadService",
    "ReadTree",
    "Reading",
    "Reason",
    "Refusal",
    "RegisterCheck",
    "RegisterNode",
    "RegisterService",
    "Release",
    "SetCheck",
    "SetCoordinates",
    "SetNodeHealth",
    "SetQuery",
    "Step",
    "Transaction",
    "Value",
    "batches",
]

BATCH_COMMANDS_MAX = 128
"""Parts of one batch or transaction: Consul's limit."""
COORDINATES_MAX = 128
"""Coordinates in one command."""


@frozen
class RegisterNode:
    """Enter a node, or change its description; its services and health stay."""

    node: Node = field(validator=instance_of(Node))
    cas: int | None = field(default=None, kw_only=True, validator=check_index)
    """Only if the node's modify index is this; 0: only if it is not in the catalog."""
    update: bool = field(default=True, kw_only=True, validator=instance_of(bool))
    """`False`: if the node is known, leave it as it is."""


@frozen
class DeregisterNode:
    """Remove a node with its health and all its services; of an unknown node: nothing."""

    node: str = field(validator=check_name)
    cas: int | None = field(default=None, kw_only=True, validator=check_index)


@frozen
class RegisterService:
    """Enter a service on a known node, or replace the one of the same id.

    Checks that it had already, by id, keep their state; new ones start with their own `status`.
    """

    node: str = field(validator=check_name)
    service: Service = field(validator=instance_of(Service))
    cas: int | None = field(default=None, kw_only=True, validator=check_index)


@frozen
class DeregisterService:
    """Remove a service with its checks; of an unknown one: nothing."""

    node: str = field(validator=check_name)
    service_id: str = field(validator=check_name)
    cas: int | None = field(default=None, kw_only=True, validator=check_index)


@frozen
class RegisterCheck:
    """Enter a check that somebody outside runs, or replace the one of the same id."""

    node: str = field(validator=check_name)
    check: CheckState = field(validator=instance_of(CheckState))
    service_id: str = field(default="", validator=check_id)
    """Empty: it is about the node, and so about everything on it."""
    cas: int | None = field(default=None, kw_only=True, validator=check_index)


@frozen
class DeregisterCheck:
    """Remove a check; of an unknown one: nothing.

    A check that its service defines comes back when the service is registered anew.
    """

    node: str = field(validator=check_name)
    check_id: str = field(validator=check_name)
    cas: int | None = field(default=None, kw_only=True, validator=check_index)


@frozen
class SetCheck:
    """Record what a known check on this node said."""

    node: str = field(validator=check_name)
    check_id: str = field(validator=check_name)
    status: Status = field(validator=instance_of(Status))
    output: str = field(default="", converter=clip, validator=check_text)


@frozen
class SetNodeHealth:
    """Record what gossip says of a node."""

    node: str = field(validator=check_name)
    status: Status = field(validator=instance_of(Status))
    output: str = field(default="", converter=clip, validator=check_text)


@frozen
class PutKey:
    """Write a key; who holds it, if anybody, goes on holding it."""

    key: str = field(validator=check_key)
    value: bytes = field(validator=check_value)
    flags: int = field(default=0, kw_only=True, validator=check_flags)
    cas: int | None = field(default=None, kw_only=True, validator=check_index)
    """Only if the key's modify index is this; 0: only if there is no such key."""


@frozen
class Acquire:
    """Write a key if the session holds it or nobody does, and hold it from then on."""

    key: str = field(validator=check_key)
    value: bytes = field(validator=check_value)
    session: str = field(validator=check_name)
    flags: int = field(default=0, kw_only=True, validator=check_flags)


@frozen
class Release:
    """Write a key that the session holds, and let go of it; without lock-delay."""

    key: str = field(validator=check_key)
    value: bytes = field(validator=check_value)
    session: str = field(validator=check_name)
    flags: int = field(default=0, kw_only=True, validator=check_flags)


def _check_prefix(self: DeleteKey, attribute: Attribute[Any], value: object) -> None:
    if value != "" or not self.recurse:
        check_key(self, attribute, value)


@frozen
class DeleteKey:
    """Delete a key, or every key that starts with it; what is gone already is no error."""

    key: str = field(validator=_check_prefix)
    """With `recurse` a prefix, which may be empty: all keys."""
    cas: int | None = field(default=None, kw_only=True, validator=check_index)
    recurse: bool = field(default=False, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if self.recurse and self.cas is not None:
            raise ValueError("DeleteKey: cas compares one key, recurse deletes many; use one")


@frozen
class CreateSession:
    """Begin a session; its node and its checks must be known, and no check critical."""

    session: Session = field(validator=instance_of(Session))


@frozen
class DestroySession:
    """End a session, whatever the reason; of an unknown one: nothing."""

    session: str = field(validator=check_name)


@frozen
class SetQuery:
    """Keep a prepared query, or replace the one of the same id."""

    query: PreparedQuery = field(validator=instance_of(PreparedQuery))


@frozen
class DeleteQuery:
    """Forget a prepared query; of an unknown one: nothing."""

    query: str = field(validator=check_name)


def _check_coordinates(_self: object, _attribute: Attribute[Any], value: tuple[Any, ...]) -> None:
    if not 0 < len(value) <= COORDINATES_MAX:
        raise ValueError(f"1 to {COORDINATES_MAX} coordinates make a command, not {len(value)}")
    for one in value:
        if not isinstance(one, Coordinate):
            raise TypeError(f"expected coordinates, not {one!r}")


def _coordinates(value: Iterable[Coordinate]) -> tuple[Coordinate, ...]:
    return tuple(value)


@frozen
class SetCoordinates:
    """Record where nodes are; unknown nodes are left out."""

    coordinates: tuple[Coordinate, ...] = field(
        converter=_coordinates, validator=_check_coordinates
    )


Operation: TypeAlias = (
    RegisterNode
    | DeregisterNode
    | RegisterService
    | DeregisterService
    | RegisterCheck
    | DeregisterCheck
    | SetCheck
    | SetNodeHealth
    | PutKey
    | Acquire
    | Release
    | DeleteKey
    | CreateSession
    | DestroySession
    | SetQuery
    | DeleteQuery
    | SetCoordinates
)


def _tuple(value: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(value)


def _check_commands(_self: object, _attribute: Attribute[Any], value: tuple[object, ...]) -> None:
    if not 0 < len(value) <= BATCH_COMMANDS_MAX:
        raise ValueError(
            f"a batch has 1 to {BATCH_COMMANDS_MAX} commands, not {len(value)}; see `batches`"
        )
    for command in value:
        if not isinstance(command, Operation):
            raise TypeError(f"a batch holds commands other than batches, not {command!r}")


@frozen
class Batch:
    """Several commands in one entry, one after the other; readers see none of them or all.

    A refused one does not undo or stop the others: for commands that have nothing to do with each
    other. Where they have, use a `Transaction`.
    """

    commands: tuple[Operation, ...] = field(converter=_tuple, validator=_check_commands)


Step: TypeAlias = Operation | Reading | Expectation


def _check_steps(_self: object, _attribute: Attribute[Any], value: tuple[object, ...]) -> None:
    if not 0 < len(value) <= BATCH_COMMANDS_MAX:
        raise ValueError(f"a transaction has 1 to {BATCH_COMMANDS_MAX} steps, not {len(value)}")
    for step in value:
        if not isinstance(step, Step):
            raise TypeError(f"a transaction holds no {step!r}")


@frozen
class Transaction:
    """Steps that are all done, in order, or none of them; each sees what those before it did."""

    steps: tuple[Step, ...] = field(converter=_tuple, validator=_check_steps)

    @property
    def reads_only(self) -> bool:
        """Whether it changes nothing, and so needs no log entry."""
        return not any(isinstance(step, Operation) for step in self.steps)


Command: TypeAlias = Operation | Batch | Transaction


def batches(operations: Iterable[Operation]) -> tuple[Command, ...]:
    """Pack operations, in order, into as few commands as the limit allows."""
    todo = tuple(operations)
    runs = [todo[at : at + BATCH_COMMANDS_MAX] for at in range(0, len(todo), BATCH_COMMANDS_MAX)]
    return tuple(run[0] if len(run) == 1 else Batch(run) for run in runs)
