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
from sys import intern
from typing import Any, TypeAlias

from attrs import Attribute, Factory, field, frozen
from attrs.validators import deep_mapping, instance_of

from catalog.definitions import (
    GOSSIP_CHECK,
    KEPT_OUTPUT,
    AliasCheck,
    Check,
    GrpcCheck,
    HttpCheck,
    ScriptCheck,
    Status,
    TcpCheck,
    TtlCheck,
    UdpCheck,
    worst,
)
from catalog.kv import Behaviour, FencingToken, KeyDelta, KeyValue, Session
from catalog.limits import (
    CHECKS_MAX,
    check_address,
    check_id,
    check_meta,
    check_name,
    check_number,
    check_numbers,
    check_port,
    check_tags,
    check_text,
    check_weight,
    clip,
    floats,
    sealed,
    sealed_values,
    strings,
)

__all__ = [
    "GOSSIP_CHECK",
    "KEPT_OUTPUT",
    "AliasCheck",
    "Behaviour",
    "Change",
    "ChangeKind",
    "Check",
    "CheckState",
    "Coordinate",
    "Delta",
    "FencingToken",
    "GrpcCheck",
    "HttpCheck",
    "Instance",
    "KeyDelta",
    "KeyValue",
    "Node",
    "NodeCheck",
    "NodeView",
    "Role",
    "ScriptCheck",
    "Service",
    "ServiceAddress",
    "Session",
    "Status",
    "TcpCheck",
    "TtlCheck",
    "UdpCheck",
    "Update",
    "View",
    "Weights",
    "worst",
]


class Role(enum.Enum):
    """What a node is in the cluster."""

    SERVER = "server"
    """Takes part in consensus."""
    CLIENT = "client"
    """Gossips only, and sends its writes to a server."""


def _checks(value: Iterable[Check]) -> tuple[Check, ...]:
    return tuple(value)


@frozen
class Weights:
    """The share of requests that an instance should get, by how it fares."""

    passing: int = field(default=1, validator=check_weight)
    warning: int = field(default=1, validator=check_weight)


@frozen
class ServiceAddress:
    """Another address of a service, for those who come from elsewhere (`lan`, `wan`, ...)."""

    address: str = field(validator=check_address)
    port: int = field(default=0, validator=check_port)


EVEN = Weights()


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
    weights: Weights = field(default=EVEN, validator=instance_of(Weights))
    tagged_addresses: Mapping[str, ServiceAddress] = field(
        factory=dict,
        converter=sealed_values,
        validator=deep_mapping(instance_of(str), instance_of(ServiceAddress)),
        hash=False,
    )
    enable_tag_override: bool = field(default=False, validator=instance_of(bool))
    """Whether the catalog's tags win over the agent's, so that others may edit them there."""
    kind: str = field(default="", validator=check_id)
    """Empty for what people run; other kinds are Consul's and are only kept."""
    terminating: bool = field(default=False, validator=instance_of(bool))
    """Draining: it still serves whom it has, and wants nobody new."""

    @checks.validator
    def _check_checks(self, _attribute: Attribute[Any], value: tuple[Check, ...]) -> None:
        if len(value) > CHECKS_MAX:
            raise ValueError(f"Service.checks: {len(value)} checks, at most {CHECKS_MAX}")
        for check in value:
            if not isinstance(check, Check):
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
    id: str = field(default="", validator=check_id)
    """A UUID as text, the same for as long as the node keeps its data; empty: it has none."""
    tagged_addresses: Mapping[str, str] = field(
        factory=dict, converter=sealed, validator=check_meta, hash=False
    )


def _called(self: CheckState) -> str:
    return "Serf Health Status" if self.id == GOSSIP_CHECK else self.id


@frozen
class CheckState:
    """A check as the catalog has it: what it last said, and what it is."""

    id: str = field(validator=check_name)
    status: Status = field(validator=instance_of(Status))
    output: str = field(default="", converter=clip, validator=check_text)
    name: str = field(
        default=Factory(_called, takes_self=True), converter=clip, validator=check_text
    )
    """For people; by default the id."""
    notes: str = field(default="", converter=clip, validator=check_text)
    kind: str = field(default="", validator=check_id)
    """What runs it: `ttl`, `http`, ...; empty: somebody outside."""
    create_index: int = field(default=0, eq=False)
    modify_index: int = field(default=0, eq=False)
    """When it came and last changed; equality is about what it says."""

    @classmethod
    def begin(cls, id: str, check: Check, service: str) -> CheckState:
        """Return the state of a check that has said nothing yet."""
        name = check.name or (f"Service {service!r} check" if service else id)
        return cls(id, check.status, "", intern(name), check.notes, check.KIND)


@frozen
class Instance:
    """A service joined with its node and the state of its checks."""

    node: Node
    service: Service
    node_health: CheckState | None
    """What gossip says of the node; `None`: registered from outside, gossip does not know it."""
    checks: tuple[CheckState, ...]
    """In the order of `service.named_checks()`; then those registered from outside, by id."""
    create_index: int
    modify_index: int
    """The entry that last changed anything in this value, node and checks included."""
    node_checks: tuple[CheckState, ...] = ()
    """What else is checked of the node, by id."""

    @property
    def status(self) -> Status:
        """The worst of the node's health and the service's checks."""
        return worst(state.status for state in self.all_checks)

    @property
    def all_checks(self) -> tuple[CheckState, ...]:
        """The node's checks, gossip first, and then the service's."""
        gossip = () if self.node_health is None else (self.node_health,)
        return (*gossip, *self.node_checks, *self.checks)

    @property
    def healthy(self) -> bool:
        """Whether to send anybody there: every check passes, and it is not terminating."""
        return self.status is Status.PASSING and not self.service.terminating

    @property
    def kept(self) -> bool:
        """Whether its node is failed, and it is only in use since too many are at once."""
        return self.node_health is not None and self.node_health.output == KEPT_OUTPUT

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
    checks: tuple[CheckState, ...] = ()
    """What else is checked of the node, by id."""


@frozen
class NodeCheck:
    """A check with where it belongs."""

    node: Node
    service: Service | None
    """`None`: a check of the node itself."""
    state: CheckState


@frozen
class View:
    """The instances of one service as of an index, ordered by node and id."""

    index: int
    """Grows when this service changes, and only then while it has instances."""
    name: str
    instances: tuple[Instance, ...]

    @property
    def frozen(self) -> bool:
        """Whether any instance is `kept`: evictions are frozen, try others if one fails."""
        return any(instance.kept for instance in self.instances)

    def select(self, *, healthy: bool = False, tag: str | None = None) -> View:
        """Return the part that is healthy, or that has a tag; the index stays."""
        if not healthy and tag is None:
            return self
        return View(
            self.index,
            self.name,
            tuple(
                instance
                for instance in self.instances
                if (not healthy or instance.healthy)
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
class Coordinate:
    """Where a node is in the space of round trip times (Vivaldi); all in seconds."""

    node: str = field(validator=check_name)
    vector: tuple[float, ...] = field(converter=floats, validator=check_numbers)
    error: float = field(default=1.5, validator=check_number)
    adjustment: float = field(default=0.0, validator=check_number)
    height: float = field(default=1e-5, validator=check_number)
    segment: str = field(default="", validator=check_id)
