"""How health is checked: the definitions of checks, as their owner registers them.

A definition says what to do; `catalog.model.CheckState` says what came of it. The kinds are
Consul's. A TTL check is fed by the application; an alias copies another service or node; the others
are probes, which the agent runs next to what they check.

Durations are in seconds. Counts are of results in a row.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, TypeAlias

from attrs import Attribute, field, frozen
from attrs.validators import instance_of

from catalog.limits import (
    check_id,
    check_interval,
    check_meta,
    check_name,
    check_text,
    check_threshold,
    clip,
    sealed,
    seconds,
    strings,
)

__all__ = [
    "GOSSIP_CHECK",
    "KEPT_OUTPUT",
    "AliasCheck",
    "Check",
    "GrpcCheck",
    "HttpCheck",
    "Probe",
    "ScriptCheck",
    "Status",
    "TcpCheck",
    "TtlCheck",
    "UdpCheck",
    "worst",
]

ARGUMENTS_MAX = 64
GOSSIP_CHECK = "serfHealth"
"""The id of the check that holds what gossip says of a node; Consul's, since its clients ask for
it by this name."""


KEPT_OUTPUT = (
    "Agent not live or unreachable; it is kept in use, since too many failed at once "
    "(protection against mass eviction)"
)
"""What that check says of a node that is only passing because evictions are frozen."""


class Status(enum.Enum):
    """How something fares; `worst` orders them."""

    PASSING = "passing"
    WARNING = "warning"
    CRITICAL = "critical"


SEVERITY = {Status.PASSING: 0, Status.WARNING: 1, Status.CRITICAL: 2}


def worst(statuses: Iterable[Status]) -> Status:
    """Return the most severe of the statuses; of none, passing: nothing speaks against it."""
    return max(statuses, key=SEVERITY.__getitem__, default=Status.PASSING)


@frozen
class Definition:
    """What all checks have."""

    KIND: ClassVar[str] = ""
    """What Consul calls the type."""

    id: str = field(default="", kw_only=True, validator=check_id)
    """Unique on the node; empty: derived from the service, see `Service.named_checks`."""
    name: str = field(default="", kw_only=True, converter=clip, validator=check_text)
    """For people; empty: derived."""
    notes: str = field(default="", kw_only=True, converter=clip, validator=check_text)
    status: Status = field(default=Status.CRITICAL, kw_only=True, validator=instance_of(Status))
    """The state until the first result; critical, so that nobody is sent to the unproven."""
    deregister_critical_after: float | None = field(
        default=None, kw_only=True, converter=seconds, validator=check_interval
    )
    """Seconds of being critical after which the service is removed; `None`: never."""


@frozen
class TtlCheck(Definition):
    """A check that the application feeds: critical once it has been silent for `ttl` seconds."""

    KIND: ClassVar[str] = "ttl"

    ttl: float = field(converter=seconds, validator=check_interval)


@frozen
class AliasCheck(Definition):
    """A check that says what another service, or a whole node, says of itself."""

    KIND: ClassVar[str] = "alias"

    service_id: str = field(default="", validator=check_id)
    """Empty: the node itself."""
    node: str = field(default="", validator=check_id)
    """Empty: the node that the check is registered on."""

    def __attrs_post_init__(self) -> None:
        if not self.service_id and not self.node:
            raise ValueError("AliasCheck: name the service, the node or both that it stands for")


@frozen
class Probe(Definition):
    """What checks have that the agent runs."""

    interval: float = field(default=10.0, kw_only=True, converter=seconds, validator=check_interval)
    """Seconds between the start of two probes."""
    timeout: float = field(default=10.0, kw_only=True, converter=seconds, validator=check_interval)
    """Seconds until an unanswered probe is critical."""
    success_before_passing: int = field(default=1, kw_only=True, validator=check_threshold)
    """Successes in a row before a bad state is left."""
    failures_before_warning: int | None = field(
        default=None, kw_only=True, validator=check_threshold
    )
    """Failures in a row before the state turns to warning; `None`: it never does."""
    failures_before_critical: int = field(default=1, kw_only=True, validator=check_threshold)
    """Failures in a row before the state turns critical."""


@frozen
class HttpCheck(Probe):
    """A check by request: 2xx passes, 429 warns, anything else (or no answer) is critical."""

    KIND: ClassVar[str] = "http"

    url: str = field(validator=check_name)
    method: str = field(default="GET", kw_only=True, validator=check_name)
    headers: Mapping[str, str] = field(
        factory=dict, kw_only=True, converter=sealed, validator=check_meta, hash=False
    )
    body: str = field(default="", kw_only=True, converter=clip, validator=check_text)
    tls_skip_verify: bool = field(default=False, kw_only=True, validator=instance_of(bool))
    """Whether any certificate will do."""


@frozen
class TcpCheck(Probe):
    """A check by connecting: passes when the connection opens."""

    KIND: ClassVar[str] = "tcp"

    address: str = field(validator=check_name)
    """`host:port`, an IPv6 host in brackets."""


@frozen
class UdpCheck(Probe):
    """A check by datagram: critical only if the other end says that nobody listens."""

    KIND: ClassVar[str] = "udp"

    address: str = field(validator=check_name)


@frozen
class GrpcCheck(Probe):
    """A check by gRPC's health protocol (grpc.health.v1)."""

    KIND: ClassVar[str] = "grpc"

    address: str = field(validator=check_name)
    """`host:port`, or `host:port/service`."""
    tls: bool = field(default=False, kw_only=True, validator=instance_of(bool))
    tls_skip_verify: bool = field(default=False, kw_only=True, validator=instance_of(bool))


def _check_arguments(_self: object, _attribute: Attribute[Any], value: tuple[object, ...]) -> None:
    if not 0 < len(value) <= ARGUMENTS_MAX or not all(isinstance(one, str) for one in value):
        raise ValueError(f"ScriptCheck.args must be 1 to {ARGUMENTS_MAX} strings, not {value!r}")


@frozen
class ScriptCheck(Probe):
    """A check by running a program: exit code 0 passes, 1 warns, any other is critical.

    An agent runs none unless it is told that it may.
    """

    KIND: ClassVar[str] = "script"

    args: tuple[str, ...] = field(converter=strings, validator=_check_arguments)
    """The program and its arguments; no shell reads them."""
    timeout: float = field(default=30.0, kw_only=True, converter=seconds, validator=check_interval)


Check: TypeAlias = TtlCheck | HttpCheck | TcpCheck | UdpCheck | GrpcCheck | ScriptCheck | AliasCheck
