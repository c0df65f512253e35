"""Errors on their way from one agent to another: a code and a sentence.

The code says which class it is over there, the sentence is for people.
Whatever has no code is a fault of the agent that was asked: it logs it, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from catalog.errors import (
    Busy,
    CatalogError,
    Indeterminate,
    NoLeader,
    NoServers,
    NotRegistered,
    ProtocolError,
    Unavailable,
)

__all__ = ["ConnectionLost", "NotLeading", "Unreachable", "fault_of", "raised"]


class NotLeading(NoLeader):
    """The server that was asked does not lead, and was told to ask nobody else."""


class Unreachable(NoServers):
    """An agent was not reached: nothing was sent."""


class ConnectionLost(Indeterminate):
    """A request was sent, and no answer came."""


CODES: Final[Mapping[str, type[Exception]]] = {
    "not-leading": NotLeading,
    "no-leader": NoLeader,
    "no-servers": NoServers,
    "busy": Busy,
    "unavailable": Unavailable,
    "indeterminate": Indeterminate,
    "not-registered": NotRegistered,
    "bad-request": ProtocolError,
    "bad-value": ValueError,
    "failed": CatalogError,
}
"""Most specific first; a code, once used, keeps its meaning."""


def fault_of(error: Exception) -> tuple[str, str]:
    """Return code and sentence of an error; raise `LookupError` for one that has no code."""
    for code, cls in CODES.items():
        if isinstance(error, cls):
            return code, str(error)
    raise LookupError(f"{error!r} has no code")


def raised(code: str, text: str) -> Exception:
    """Return the error that a code and a sentence stand for."""
    return CODES.get(code, CatalogError)(text)
