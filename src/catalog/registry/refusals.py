"""Why a table refuses a command, in sentences: what was found, what became of it, what to do."""

from __future__ import annotations

from catalog.answers import Reason, Refusal

__all__ = [
    "check_taken",
    "conflict",
    "critical_check",
    "unknown_check",
    "unknown_node",
    "unknown_service",
    "unknown_session",
]


def unknown_node(name: str) -> Reason:
    """Say that there is no such node."""
    return Refusal.UNKNOWN_NODE, (
        f"node {name!r} is not in the catalog; nothing was recorded: register the node first, or "
        f"wait until the leader has learned of it by gossip"
    )


def unknown_service(service_id: str, node: str) -> Reason:
    """Say that there is no such service."""
    return Refusal.UNKNOWN_SERVICE, (
        f"node {node!r} has no service {service_id!r}; nothing was recorded: register it first"
    )


def unknown_check(check_id: str, node: str) -> Reason:
    """Say that there is no such check."""
    return Refusal.UNKNOWN_CHECK, (
        f"neither node {node!r} nor a service on it has a check {check_id!r}; nothing was "
        f"recorded: register it first, alone or with its service"
    )


def unknown_session(session: str) -> Reason:
    """Say that there is no such session."""
    return Refusal.UNKNOWN_SESSION, (
        f"invalid session {session!r}: there is none, or it has ended; nothing was changed: create "
        f"another"
    )


def critical_check(check_id: str, node: str) -> Reason:
    """Say that a check is too bad for a session."""
    return Refusal.CHECK_CRITICAL, (
        f"check {check_id!r} on node {node!r} is in critical state; no session was created: wait "
        f"until it passes, or create the session without it"
    )


def check_taken(check_id: str, node: str, owner: str) -> Reason:
    """Say that a check id is in use elsewhere on the node."""
    whose = f"service {owner!r}" if owner else "the node itself"
    return Refusal.CHECK_TAKEN, (
        f"check {check_id!r} on node {node!r} belongs to {whose}; nothing was registered: choose "
        f"another check id"
    )


def conflict(what: str, cas: int | None, found: int) -> Reason:
    """Say that something was changed since the caller read it."""
    is_at = f"is at index {found}" if found else "does not exist"
    return Refusal.CONFLICT, (
        f"{what} {is_at}, the caller compared with {cas}; it is unchanged: read it again and "
        f"decide anew"
    )
