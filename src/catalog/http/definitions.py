"""Services and checks as clients define them, made into ours.

Consul's floors hold: a probe runs at most once a second, and nothing is deregistered that has not
been critical for a minute.
"""

from __future__ import annotations

from typing import Any, Final

from catalog.definitions import (
    AliasCheck,
    Check,
    GrpcCheck,
    HttpCheck,
    ScriptCheck,
    Status,
    TcpCheck,
    TtlCheck,
    UdpCheck,
)
from catalog.http.bodies import Fields
from catalog.http.trouble import Trouble
from catalog.model import CheckState, Service, ServiceAddress, Weights

__all__ = ["check_of", "check_state", "is_sent", "service_of", "status_of"]

INTERVAL_SECONDS_MIN: Final = 1.0
DEREGISTER_SECONDS_MIN: Final = 60.0
TIMEOUT_SECONDS: Final = 10.0
SCRIPT_TIMEOUT_SECONDS: Final = 30.0

PROBES: Final = ("HTTP", "TCP", "UDP", "GRPC", "Args", "ScriptArgs")
ABSENT: Final = ("DockerContainerID", "H2PING", "OSService")
"""Kinds of probes that no agent of ours runs."""


def service_of(fields: Fields) -> Service:
    """Return the service that a body defines.

    Raises:
        Trouble: it has no name.
        ValueError: it has fields that make no sense; so has `Trouble`.

    """
    name = fields.text("Name") or fields.text("Service")
    if not name:
        raise Trouble(400, "Missing service name: nothing was registered")
    return Service(
        name,
        fields.text("ID") or name,
        address=fields.text("Address"),
        port=fields.number("Port"),
        tags=fields.texts("Tags"),
        meta=fields.pairs("Meta"),
        checks=tuple(map(check_of, _checks(fields))),
        weights=_weights(fields),
        tagged_addresses={
            tag: ServiceAddress(one.text("Address"), one.number("Port"))
            for tag, one in fields.named("TaggedAddresses")
        },
        enable_tag_override=fields.flag("EnableTagOverride"),
        kind=fields.text("Kind"),
    )


def _checks(fields: Fields) -> tuple[Fields, ...]:
    single = fields.object("Check")
    return ((single,) if is_sent(single) else ()) + fields.objects("Checks")


def is_sent(fields: Fields) -> bool:
    """Return whether a check says how it is checked; clients send empty ones for none."""
    kinds = ("TTL", *PROBES, *ABSENT, "AliasNode", "AliasService")
    return any(_given(fields, kind) for kind in kinds)


def _given(fields: Fields, name: str) -> bool:
    return bool(fields.any(name))


def _weights(fields: Fields) -> Weights:
    if "Weights" not in fields:
        return Weights()
    weights = fields.object("Weights")
    passing = weights.number("Passing", 1)
    if passing < 1:
        raise Trouble(400, f"Weights.Passing must be greater than 0, not {passing}")
    return Weights(passing, weights.number("Warning", 1))


def check_of(fields: Fields) -> Check:
    """Return the check that a body defines.

    Raises:
        Trouble: it says not how to check, in two ways, or in one that nobody here can.
        ValueError: it has fields that make no sense; so has `Trouble`.

    """
    for kind in ABSENT:
        if _given(fields, kind):
            raise Trouble(400, f"Checks of the kind {kind} are not supported")
    common = _common(fields)
    ttl = fields.duration("TTL")
    probes = [kind for kind in PROBES if _given(fields, kind)]
    if len(probes) + bool(ttl) > 1:
        raise Trouble(400, "A check is a TTL or one kind of probe, not several")
    if ttl:
        return TtlCheck(ttl, **common)
    if fields.text("AliasNode") or fields.text("AliasService"):
        return AliasCheck(fields.text("AliasService"), fields.text("AliasNode"), **common)
    if not probes:
        raise Trouble(400, "Must define how to check: TTL, or HTTP, TCP, UDP, GRPC, Args, Alias...")
    return _probe(fields, probes[0], common | _probing(fields, probes[0]))


def _common(fields: Fields) -> dict[str, Any]:
    after = fields.duration("DeregisterCriticalServiceAfter")
    return {
        "id": fields.text("CheckID") or fields.text("ID"),
        "name": fields.text("Name"),
        "notes": fields.text("Notes"),
        "status": status_of(fields.text("Status")),
        "deregister_critical_after": max(after, DEREGISTER_SECONDS_MIN) if after else None,
    }


def _probing(fields: Fields, kind: str) -> dict[str, Any]:
    interval = fields.duration("Interval")
    if not interval or interval < 0:
        raise Trouble(400, f"Interval must be > 0 for checks of the kind {kind}")
    timeout = SCRIPT_TIMEOUT_SECONDS if kind.endswith("Args") else TIMEOUT_SECONDS
    return {
        "interval": max(interval, INTERVAL_SECONDS_MIN),
        "timeout": fields.duration("Timeout") or timeout,
        "success_before_passing": max(fields.number("SuccessBeforePassing"), 1),
        "failures_before_warning": fields.number("FailuresBeforeWarning") or None,
        "failures_before_critical": max(fields.number("FailuresBeforeCritical"), 1),
    }


def _probe(fields: Fields, kind: str, settings: dict[str, Any]) -> Check:
    skip = fields.flag("TLSSkipVerify")
    match kind:
        case "HTTP":
            return HttpCheck(
                fields.text(kind),
                method=fields.text("Method") or "GET",
                headers={key: ", ".join(values) for key, values in fields.text_lists("Header")},
                body=fields.text("Body"),
                tls_skip_verify=skip,
                **settings,
            )
        case "TCP":
            return TcpCheck(fields.text(kind), **settings)
        case "UDP":
            return UdpCheck(fields.text(kind), **settings)
        case "GRPC":
            tls = fields.flag("GRPCUseTLS")
            return GrpcCheck(fields.text(kind), tls=tls, tls_skip_verify=skip, **settings)
        case _:
            return ScriptCheck(fields.texts(kind), **settings)


def status_of(text: str) -> Status:
    """Return a status by its name; empty: critical, until somebody says otherwise."""
    try:
        return Status(text) if text else Status.CRITICAL
    except ValueError:
        raise Trouble(
            400, f"Unknown status {text!r}: passing, warning or critical; nothing was changed"
        ) from None


def check_state(fields: Fields) -> CheckState:
    """Return the check that a body brings with what it said."""
    check_id = fields.text("CheckID") or fields.text("Name")
    return CheckState(
        check_id,
        status_of(fields.text("Status")),
        fields.text("Output"),
        name=fields.text("Name") or check_id,
        notes=fields.text("Notes"),
        kind=fields.text("Type"),
    )
