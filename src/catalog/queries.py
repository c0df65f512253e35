"""Prepared queries: questions for a service that are kept in the catalog under a name.

The vocabulary only; `catalog.registry.queries` keeps and resolves them.
A query is asked by id or name. One with a template answers to every name that starts with its own,
and may use what it was called in its service's name, tags and so on: `${name.full}`,
`${name.prefix}`, `${name.suffix}`, and `${match(0)}` with the groups of its regular expression.

Failover to other data centres is kept and given back as it was written, for the tools that write
it; there is one data centre, so nothing follows from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import Attribute, field, frozen
from attrs.validators import instance_of

from catalog.limits import (
    check_id,
    check_meta,
    check_name,
    check_names,
    check_tags,
    check_text,
    clip,
    sealed,
    seconds,
    strings,
)
from catalog.model import Instance
from catalog.patterns import Pattern

__all__ = ["Failover", "PreparedQuery", "QueryResult", "QueryService", "Template"]


def _check_pattern(self: object, attribute: Attribute[Any], value: str) -> None:
    check_text(self, attribute, value)
    Pattern(value)


@frozen
class Template:
    """What makes a query answer to many names."""

    type: str = field(default="name_prefix_match", validator=check_name)
    regexp: str = field(default="", validator=_check_pattern)
    remove_empty_tags: bool = field(default=False, validator=instance_of(bool))


@frozen
class Failover:
    """Where to look when there is no instance here; kept, not followed."""

    nearest_n: int = field(default=0, validator=instance_of(int))
    datacenters: tuple[str, ...] = field(default=(), converter=strings, validator=check_names)


@frozen
class QueryService:
    """Which instances a query gives."""

    service: str = field(validator=check_name)
    failover: Failover = Failover()
    only_passing: bool = field(default=False, validator=instance_of(bool))
    """Whether a warning is too bad; critical instances are always left out."""
    near: str = field(default="", validator=check_id)
    """A node: the nearest to it come first."""
    tags: tuple[str, ...] = field(default=(), converter=strings, validator=check_tags)
    """All of these; with `!` before it, not this one."""
    node_meta: Mapping[str, str] = field(
        factory=dict, converter=sealed, validator=check_meta, hash=False
    )
    service_meta: Mapping[str, str] = field(
        factory=dict, converter=sealed, validator=check_meta, hash=False
    )
    ignore_check_ids: tuple[str, ...] = field(default=(), converter=strings, validator=check_names)


@frozen
class PreparedQuery:
    """A question under a name."""

    id: str = field(validator=check_name)
    """Chosen by whoever creates it, at random: a UUID as text."""
    service: QueryService = field(validator=instance_of(QueryService))
    name: str = field(default="", validator=check_id)
    """Unique; empty: it is asked by id only."""
    session: str = field(default="", validator=check_id)
    """The query ends with this session."""
    template: Template | None = None
    dns_ttl: float | None = field(default=None, converter=seconds)
    """Seconds for which a DNS answer may be kept; `None`: what the server says of all."""
    token: str = field(default="", converter=clip, validator=check_text)
    """Kept and given back."""
    create_index: int = 0
    modify_index: int = 0


@frozen
class QueryResult:
    """What a query gives."""

    query: PreparedQuery
    """With its template filled in."""
    instances: tuple[Instance, ...]
