"""The tree of exceptions."""

from __future__ import annotations

from catalog.commands import Applied, Refusal
from catalog.errors import CatalogError, NotRegistered, OutOfStep, ProtocolError, Refused


def test_one_root_catches_all() -> None:
    """Whatever the catalog raises on purpose is a CatalogError."""
    for error in (NotRegistered, OutOfStep, ProtocolError, Refused):
        assert issubclass(error, CatalogError)


def test_a_refused_command_carries_its_answer() -> None:
    """The exception says what the answer says, and hands it over."""
    applied = Applied(7, Refusal.CONFLICT, "key 'k' is at index 3")

    assert applied is Refused(applied).applied
    assert str(Refused(applied)) == "key 'k' is at index 3"
