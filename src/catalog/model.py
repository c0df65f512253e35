"""The values that the catalog speaks of: nodes, services, checks, keys, and views of them.

All are frozen.
A constructor refuses what no later stage could repair, with an error that names the field; so a
value that exists is valid, wherever it came from (a user's call, a peer, the log, a snapshot).

Durations are in seconds, indexes are log indexes.
An instance is a service joined with its node and the state of its checks: what a caller needs to
choose whom to talk to, in one piece.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from attrs import Attribute, Factory, field, frozen
from attrs.validators import instance_of

from catalog.limits import (
    CHECKS_MAX,
    check_address,
    check_flags,
    check_id,
    check_interval,
    check_key,
    check_meta,
    check_name,
    check_port,
    check_tags,
    check_text,
    check_threshold,
    check_value,
    clip,
    sealed,
    seconds,
    strings,
)

__all__ = [
    "Change",
    "ChangeKind",
    "Check",
    "CheckState",
    "Delta",
    "HttpCheck",
    "Instance",
    "KeyValue",
    "Node",
    "NodeView",
    "Role",
    "Service",
    "Status",
    "TcpCheck",
    "TtlCheck",
    "Update",
    "View",
    "worst",
]


GOSSIP_CHECK = "gossip"
"""The id of the check that holds what gossip says of a node (Consul's `serfHealth`)."""


class Status(enum.Enum):
    """How something fares; `worst` orders them."""

    PASSING = "passing"
    WARNING = "warning"
    CRITICAL = "critical"


SEVERITY = {Status.PASSING: 0, Status.WARNING: 1, Status.CRITICAL: 2}


def worst(statuses: Iterable[Status]) -> Status:
    """Return the most severe of the statuses; of none, passing: nothing speaks against it."""
    return max(statuses, key=SEVERITY.__getitem__, default=Status.PASSING)


class Role(enum.Enum):
    """What a node is in the cluster."""

    SERVER = "server"
    """Takes part in consensus."""
    CLIENT = "client"
    """Gossips only, and sends its writes to a server."""


@frozen
class TtlCheck:
    """A check that the application feeds: critical once it has been silent for `ttl` seconds."""

    ttl: float = field(converter=seconds, validator=check_interval)
    id: str = field(default="", kw_only=True, validator=check_id)
    """Unique on the node; empty: derived from the service, see `Service.named_checks`."""
    status: Status = field(default=Status.CRITICAL, kw_only=True, validator=instance_of(Status))
    """The state until the first report; critical, so that nobody is sent to the unproven."""
    deregister_critical_after: float | None = field(
        default=None, kw_only=True, converter=seconds, validator=check_interval
    )
    """Seconds of being critical after which the service is removed; `None`: never."""


@frozen
class HttpCheck:
    """A check by GET: 2xx passes, 429 warns, anything else (or no answer) is critical."""

    url: str = field(validator=check_name)
    interval: float = field(default=10.0, converter=seconds, validator=check_interval)
    """Seconds between the start of two probes."""
    timeout: float = field(default=10.0, converter=seconds, validator=check_interval)
    """Seconds until an unanswered probe is critical."""
    id: str = field(default="", kw_only=True, validator=check_id)
    status: Status = field(default=Status.CRITICAL, kw_only=True, validator=instance_of(Status))
    success_before_passing: int = field(default=1, kw_only=True, validator=check_threshold)
    """Successes in a row before a bad state is left."""
    failures_before_critical: int = field(default=1, kw_only=True, validator=check_threshold)
    """Failures in a row before the state turns critical."""
    deregister_critical_after: float | None = field(
        default=None, kw_only=True, converter=seconds, validator=check_interval
    )


@frozen
class TcpCheck:
    """A check by connecting: passes when the connection opens."""

    address: str = field(validator=check_name)
    """`host:port`, an IPv6 host in brackets."""
    interval: float = field(default=10.0, converter=seconds, validator=check_interval)
    timeout: float = field(default=10.0, converter=seconds, validator=check_interval)
    id: str = field(default="", kw_only=True, validator=check_id)
    status: Status = field(default=Status.CRITICAL, kw_only=True, validator=instance_of(Status))
    success_before_passing: int = field(default=1, kw_only=True, validator=check_threshold)
    failures_before_critical: int = field(default=1, kw_only=True, validator=check_threshold)
    deregister_critical_after: float | None = field(
        default=None, kw_only=True, converter=seconds, validator=check_interval
    )


Check: TypeAlias = TtlCheck | HttpCheck | TcpCheck


def _checks(value: Iterable[Check]) -> tuple[Check, ...]:
    return tuple(value)


@frozen
class Service:
    """One running copy of a service, as its owner registers it on a node."""

    name: str = field(validator=check_name)
    id: str = field(default=Factory(lambda self: self.name, takes_self=True), validator=check_name)
    """Unique on the node; by default the name."""
    address: str = field(default="", validator=check_address)
    """Empty: the node's."""
    port: int = field(default=0, validator=check_port)
    tags: tuple[str, ...] = field(default=(), converter=strings, validator=check_tags)
    meta: Mapping[str, str] = field(
        factory=dict, converter=sealed, validator=check_meta, hash=False
    )
    checks: tuple[Check, ...] = field(default=(), converter=_checks)

    @checks.validator
    def _check_checks(self, _attribute: Attribute[Any], value: tuple[Check, ...]) -> None:
        if len(value) > CHECKS_MAX:
            raise ValueError(f"Service.checks: {len(value)} checks, at most {CHECKS_MAX}")
        for check in value:
            if not isinstance(check, TtlCheck | HttpCheck | TcpCheck):
                raise TypeError(f"Service.checks must hold checks, not {check!r}")
        if len(self.named_checks()) != len(value):
            raise ValueError(f"Service.checks: two checks of {self.id!r} have one id")

    def named_checks(self) -> dict[str, Check]:
        """Return the checks by id, in order; without one: `service:<id>`, or `service:<id>:1..n`.

        The rule is Consul's, so that its clients find the checks that they expect.
        """
        single = len(self.checks) == 1
        return {
            check.id or f"service:{self.id}{'' if single else f':{number}'}": check
            for number, check in enumerate(self.checks, 1)
        }


@frozen
class Node:
    """A machine or process that services run on."""

    name: str = field(validator=check_name)
    address: str = field(validator=[check_name, check_address])
    meta: Mapping[str, str] = field(
        factory=dict, converter=sealed, validator=check_meta, hash=False
    )
    role: Role = field(default=Role.CLIENT, validator=instance_of(Role))
    datacenter: str = field(default="dc1", validator=check_name)


@frozen
class CheckState:
    """What a check last said."""

    id: str = field(validator=check_name)
    status: Status = field(validator=instance_of(Status))
    output: str = field(default="", converter=clip, validator=check_text)


@frozen
class Instance:
    """A service joined with its node and the state of its checks."""

    node: Node
    service: Service
    node_health: CheckState | None
    """What gossip says of the node; `None`: registered from outside, gossip does not know it."""
    checks: tuple[CheckState, ...]
    """In the order of `service.named_checks()`."""
    create_index: int
    modify_index: int
    """The entry that last changed anything in this value, node and checks included."""

    @property
    def status(self) -> Status:
        """The worst of the node's health and the service's checks."""
        status = worst(state.status for state in self.checks)
        return status if self.node_health is None else worst((status, self.node_health.status))

    @property
    def address(self) -> str:
        """Where to connect: the service's own address, or else its node's."""
        return self.service.address or self.node.address

    @property
    def key(self) -> tuple[str, str]:
        """What tells instances apart: the node's name and the service's id."""
        return (self.node.name, self.service.id)


@frozen
class NodeView:
    """A node, its health and all that runs on it."""

    node: Node
    health: CheckState | None
    """`None`: gossip does not watch this node."""
    create_index: int
    modify_index: int
    """Of the node and its health; each instance has its own."""
    instances: tuple[Instance, ...] = ()
    """Ordered by service id."""


@frozen
class View:
    """The instances of one service as of an index, ordered by node and id."""

    index: int
    """Grows when this service changes, and only then while it has instances."""
    name: str
    instances: tuple[Instance, ...]

    def select(self, *, healthy: bool = False, tag: str | None = None) -> View:
        """Return the part that passes, or that has a tag; the index stays."""
        if not healthy and tag is None:
            return self
        return View(
            self.index,
            self.name,
            tuple(
                instance
                for instance in self.instances
                if (not healthy or instance.status is Status.PASSING)
                and (tag is None or tag in instance.service.tags)
            ),
        )


class ChangeKind(enum.Enum):
    """What became of an instance."""

    ADDED = "added"
    UPDATED = "updated"
    REMOVED = "removed"


@frozen
class Change:
    """One instance of a service came, changed or went."""

    index: int
    kind: ChangeKind
    instance: Instance
    """As it is now; of a removed one, as it was last."""


@frozen
class Delta:
    """Every change of one service after `since`, up to and including `index`."""

    since: int
    index: int
    name: str
    changes: tuple[Change, ...]


Update: TypeAlias = View | Delta
"""What a subscriber is sent: all there is, or what is new."""


@frozen
class KeyValue:
    """A key, its value, and when it came and changed."""

    key: str = field(validator=check_key)
    value: bytes = field(validator=check_value)
    flags: int = field(default=0, validator=check_flags)
    """Meaning is the application's, as in Consul."""
    create_index: int = 0
    modify_index: int = 0
