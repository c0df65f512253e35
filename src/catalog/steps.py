"""What a transaction may ask and demand, besides the commands that it gives.

A reading's value comes back with the answer. An expectation that is not met, and a reading of what
is not there, undo the whole transaction.
"""

from __future__ import annotations

from typing import TypeAlias

from attrs import field, frozen

from catalog.limits import check_key, check_name, check_text

__all__ = [
    "ExpectAbsent",
    "ExpectHolder",
    "ExpectIndex",
    "Expectation",
    "ReadCheck",
    "ReadKey",
    "ReadNode",
    "ReadService",
    "ReadTree",
    "Reading",
]


@frozen
class ReadKey:
    """A key with its value."""

    key: str = field(validator=check_key)
    required: bool = True
    """`False`: if it is not there, that is an answer too."""


@frozen
class ReadTree:
    """All keys under a prefix, with their values."""

    prefix: str = field(default="", validator=check_text)


@frozen
class ReadNode:
    """A node, without its instances."""

    node: str = field(validator=check_name)


@frozen
class ReadService:
    """An instance."""

    node: str = field(validator=check_name)
    service_id: str = field(validator=check_name)


@frozen
class ReadCheck:
    """A check."""

    node: str = field(validator=check_name)
    check_id: str = field(validator=check_name)


Reading: TypeAlias = ReadKey | ReadTree | ReadNode | ReadService | ReadCheck


@frozen
class ExpectIndex:
    """A key was last changed at this index."""

    key: str = field(validator=check_key)
    index: int


@frozen
class ExpectHolder:
    """A key is held by this session."""

    key: str = field(validator=check_key)
    session: str = field(validator=check_name)


@frozen
class ExpectAbsent:
    """There is no such key."""

    key: str = field(validator=check_key)


Expectation: TypeAlias = ExpectIndex | ExpectHolder | ExpectAbsent
