"""What a call that cannot be answered comes to: a status and one sentence of plain text.

Consul's clients look at the status and show the text. Which error of ours is which status is said
here, and nowhere else.
"""

from __future__ import annotations

from typing import Final

from catalog.errors import (
    Busy,
    CatalogError,
    Indeterminate,
    NoLeader,
    NoServers,
    NotRegistered,
    Refused,
)

__all__ = ["NO_LEADER", "Trouble", "trouble_of"]

NO_LEADER: Final = "No cluster leader"
"""Consul's words, which its clients look for."""


class Trouble(Exception):
    """A call's answer, where it is an error.

    What became of the state is said by its text; nothing changed where it does not say otherwise.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def trouble_of(error: CatalogError | ValueError | TypeError) -> Trouble:
    """Return what an error of the catalog is to an HTTP client."""
    match error:
        case NoLeader():
            return Trouble(500, NO_LEADER)
        case NoServers():
            return Trouble(500, "No known Consul servers")
        case Busy():
            return Trouble(503, f"rate limit exceeded, try again later: {error}")
        case Indeterminate():
            return Trouble(500, f"outcome unknown: {error}")
        case NotRegistered():
            return Trouble(404, str(error))
        case Refused():
            return Trouble(500, str(error))
        case CatalogError():
            return Trouble(500, str(error))
        case _:
            return Trouble(400, str(error))
