"""The orders that change the catalog, and the answer that each gets.

A command travels as one log entry (see `catalog.wire`) and is applied by every replica alike.
What a replica cannot do it refuses with a value, not an exception: the answer must be the same on
all of them, and nobody may stop.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Any, TypeAlias

from attrs import Attribute, field, frozen
from attrs.validators import instance_of

from catalog.limits import check_flags, check_key, check_name, check_text, check_value, clip
from catalog.model import Node, Service, Status

__all__ = [
    "BATCH_COMMANDS_MAX",
    "Applied",
    "Batch",
    "Command",
    "DeleteKey",
    "DeregisterNode",
    "DeregisterService",
    "Operation",
    "PutKey",
    "Reason",
    "Refusal",
    "RegisterNode",
    "RegisterService",
    "SetCheck",
    "SetNodeHealth",
    "batches",
]

BATCH_COMMANDS_MAX = 128
"""Commands in one batch: Consul's limit for a transaction."""


@frozen
class RegisterNode:
    """Enter a node, or change its description; its services and health stay."""

    node: Node = field(validator=instance_of(Node))


@frozen
class DeregisterNode:
    """Remove a node with its health and all its services; of an unknown node: nothing."""

    node: str = field(validator=check_name)


@frozen
class RegisterService:
    """Enter a service on a known node, or replace the one of the same id.

    Checks that it had already, by id, keep their state; new ones start with their own `status`.
    """

    node: str = field(validator=check_name)
    service: Service = field(validator=instance_of(Service))


@frozen
class DeregisterService:
    """Remove a service with its checks; of an unknown one: nothing."""

    node: str = field(validator=check_name)
    service_id: str = field(validator=check_name)


@frozen
class SetCheck:
    """Record what a check of a service on this node said."""

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


def _check_cas(_self: object, _attribute: Attribute[Any], value: object) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise ValueError(f"cas must be None (always), 0 (if absent) or an index, not {value!r}")


@frozen
class PutKey:
    """Write a key."""

    key: str = field(validator=check_key)
    value: bytes = field(validator=check_value)
    flags: int = field(default=0, kw_only=True, validator=check_flags)
    cas: int | None = field(default=None, kw_only=True, validator=_check_cas)
    """Only if the key's modify index is this; 0: only if there is no such key."""


def _check_prefix(self: DeleteKey, attribute: Attribute[Any], value: object) -> None:
    if value != "" or not self.recurse:
        check_key(self, attribute, value)


@frozen
class DeleteKey:
    """Delete a key, or every key that starts with it; what is gone already is no error."""

    key: str = field(validator=_check_prefix)
    """With `recurse` a prefix, which may be empty: all keys."""
    cas: int | None = field(default=None, kw_only=True, validator=_check_cas)
    recurse: bool = field(default=False, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if self.recurse and self.cas is not None:
            raise ValueError("DeleteKey: cas compares one key, recurse deletes many; use one")


Operation: TypeAlias = (
    RegisterNode
    | DeregisterNode
    | RegisterService
    | DeregisterService
    | SetCheck
    | SetNodeHealth
    | PutKey
    | DeleteKey
)


def _check_commands(_self: object, _attribute: Attribute[Any], value: tuple[object, ...]) -> None:
    if not 0 < len(value) <= BATCH_COMMANDS_MAX:
        raise ValueError(
            f"a batch has 1 to {BATCH_COMMANDS_MAX} commands, not {len(value)}; see `batches`"
        )
    for command in value:
        if not isinstance(command, Operation):
            raise TypeError(f"a batch holds commands other than batches, not {command!r}")


def _tuple(value: Iterable[Operation]) -> tuple[Operation, ...]:
    return tuple(value)


@frozen
class Batch:
    """Several commands in one entry, one after the other; readers see none of them or all.

    A refused one does not undo or stop the others.
    """

    commands: tuple[Operation, ...] = field(converter=_tuple, validator=_check_commands)


Command: TypeAlias = Operation | Batch


def batches(operations: Iterable[Operation]) -> tuple[Command, ...]:
    """Pack operations, in order, into as few commands as the limit allows."""
    todo = tuple(operations)
    runs = [todo[at : at + BATCH_COMMANDS_MAX] for at in range(0, len(todo), BATCH_COMMANDS_MAX)]
    return tuple(run[0] if len(run) == 1 else Batch(run) for run in runs)


class Refusal(enum.Enum):
    """Why a replica, and so every replica, did not do what it was told."""

    UNKNOWN_NODE = "unknown node"
    UNKNOWN_CHECK = "unknown check"
    CHECK_TAKEN = "check id taken"
    """Another service of the node has a check of this id."""
    CONFLICT = "conflict"
    """The key's modify index is not the one that the caller compared with."""
    MALFORMED = "malformed"
    """The entry does not decode; it was written by another version, or by something else."""


Reason: TypeAlias = tuple[Refusal, str]
"""A refusal, and the sentence that explains it."""


@frozen
class Applied:
    """The answer to a command: the same on each replica."""

    index: int
    """The log index of the entry; a read at this index or later sees the effect."""
    refusal: Refusal | None = None
    detail: str = ""
    """For people: what stood in the way, and what to do."""
    parts: tuple[Applied, ...] = ()
    """Of a batch: one answer per command; `refusal` is then the first part's that has one."""

    @property
    def ok(self) -> bool:
        """Whether all of it was done (or was so already)."""
        return self.refusal is None
