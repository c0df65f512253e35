"""Keys and values, and the sessions that may hold keys as locks.

A session is a claim to be alive. It may acquire keys; when it ends, every key that it holds is
released or deleted, and for the time of its lock-delay nobody may acquire them: so a holder that
was only slow can notice before there is another.
Whoever is slower than that is stopped by the fencing token, which a resource can compare.

Locks are advisory: a plain write or deletion of a held key passes.
"""

from __future__ import annotations

import enum

from attrs import field, frozen
from attrs.validators import instance_of

from catalog.definitions import GOSSIP_CHECK
from catalog.limits import (
    check_flags,
    check_key,
    check_lock_delay,
    check_name,
    check_names,
    check_text,
    check_ttl,
    check_value,
    clip,
    seconds,
    strings,
)

__all__ = ["Behaviour", "FencingToken", "KeyChange", "KeyDelta", "KeyValue", "Session"]


@frozen
class FencingToken:
    """Proof of a lock: whoever guards a resource lets in no lower `lock_index` than it has seen."""

    key: str
    lock_index: int
    """Grows with every new holder, also when the key was deleted in between."""
    session: str


@frozen
class KeyValue:
    """A key, its value, who holds it, and when it came and changed."""

    key: str = field(validator=check_key)
    value: bytes = field(validator=check_value)
    flags: int = field(default=0, validator=check_flags)
    """Meaning is the application's, as in Consul."""
    create_index: int = 0
    modify_index: int = 0
    lock_index: int = 0
    """How often it was acquired."""
    session: str = ""
    """The holder's; empty: nobody holds it."""

    @property
    def token(self) -> FencingToken:
        """What the holder shows to a resource."""
        return FencingToken(self.key, self.lock_index, self.session)


@frozen
class KeyDelta:
    """What changed under a prefix after `since`, up to and including `index`.

    Each key that changed is named once, as it is at `index`; so values that a key had in between
    are left out, and nothing else is.
    """

    since: int
    index: int
    prefix: str
    changed: tuple[KeyValue, ...]
    """In the order of their last change."""
    deleted: tuple[tuple[str, int], ...] = ()
    """Keys that are gone, and when; in that order. Where `whole`, none is named."""
    whole: bool = False
    """Whether `changed` is all there is: forget every key that it does not name."""


@frozen
class KeyChange:
    """A key came, changed or went."""

    index: int
    key: str
    entry: KeyValue | None
    """As it is now; `None`: it is gone."""


class Behaviour(enum.Enum):
    """What becomes of the keys that a session holds when it ends."""

    RELEASE = "release"
    DELETE = "delete"


@frozen
class Session:
    """A claim to be alive, on which locks stand; it ends with its node, its checks or its TTL."""

    id: str = field(validator=check_name)
    """Chosen by whoever creates it, at random: a UUID as text."""
    node: str = field(validator=check_name)
    name: str = field(default="", converter=clip, validator=check_text)
    behaviour: Behaviour = field(default=Behaviour.RELEASE, validator=instance_of(Behaviour))
    ttl: float | None = field(default=None, converter=seconds, validator=check_ttl)
    """Seconds without a renewal after which it may end; it does end before twice as many."""
    lock_delay: float = field(default=15.0, converter=seconds, validator=check_lock_delay)
    """Seconds for which nobody may acquire what it held when it ended, unless it was released."""
    node_checks: tuple[str, ...] = field(
        default=(GOSSIP_CHECK,), converter=strings, validator=check_names
    )
    service_checks: tuple[str, ...] = field(default=(), converter=strings, validator=check_names)
    """Checks by id; it ends when one of them turns critical or is deregistered."""
    create_index: int = 0
    modify_index: int = 0

    @property
    def checks(self) -> tuple[str, ...]:
        """All check ids that it depends on."""
        return (*self.node_checks, *self.service_checks)
