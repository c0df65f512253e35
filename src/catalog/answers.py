"""What a replica answers to a command: done, or refused and why; the same on each of them."""

from __future__ import annotations

import enum
from typing import TypeAlias

from attrs import frozen

from catalog.model import Instance, KeyValue, NodeCheck, NodeView

__all__ = ["Applied", "Reason", "Refusal", "Value"]


class Refusal(enum.Enum):
    """Why a replica, and so every replica, did not do what it was told."""

    UNKNOWN_NODE = "unknown node"
    UNKNOWN_SERVICE = "unknown service"
    UNKNOWN_CHECK = "unknown check"
    UNKNOWN_SESSION = "unknown session"
    UNKNOWN_KEY = "unknown key"
    CHECK_TAKEN = "check id taken"
    """Another service of the node has a check of this id."""
    CONFLICT = "conflict"
    """The modify index is not the one that the caller compared with, or a step expected else."""
    CHECK_CRITICAL = "check critical"
    """No session can stand on a check that is critical."""
    ID_TAKEN = "id or name taken"
    """There is another session of this id, or another query of this name."""
    LOCKED = "locked"
    """Another session holds the key."""
    LOCK_DELAYED = "lock delayed"
    """The last holder's session ended a moment ago; its lock-delay is not over."""
    NOT_HOLDER = "not the holder"
    MALFORMED = "malformed"
    """The entry does not decode; it was written by another version, or by something else."""


Reason: TypeAlias = tuple[Refusal, str]
"""A refusal, and the sentence that explains it."""


Value: TypeAlias = KeyValue | NodeView | Instance | NodeCheck
"""What a step of a transaction found or made; a key that it wrote comes without its value, a node
without its instances."""


@frozen
class Applied:
    """The answer to a command: the same on each replica."""

    index: int
    """The log index of the entry; a read at this index or later sees the effect."""
    refusal: Refusal | None = None
    detail: str = ""
    """For people: what stood in the way, and what to do."""
    parts: tuple[Applied, ...] = ()
    """Of a batch or transaction: one answer per part; `refusal` is then the first part's that has
    one. After it a batch has done the other parts, a transaction nothing."""
    values: tuple[Value, ...] = ()
    """Of a step of a transaction, and of `Acquire` and `Release`: what it found or made."""

    @property
    def ok(self) -> bool:
        """Whether all of it was done (or was so already)."""
        return self.refusal is None
