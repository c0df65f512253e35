"""Reads and writes of the catalog as all handlers make them.

A read takes the options of its call (how current, what to wait for) and gives the headers that go
with its answer. A write is true or false where Consul says so, and an error where it says that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, TypeVar

from attrs import evolve

from catalog.answers import Applied, Refusal
from catalog.commands import Command
from catalog.errors import Refused
from catalog.filters import parse_filter
from catalog.http.answers import read_headers
from catalog.http.calls import Call
from catalog.limits import INTERVAL_SECONDS_MIN
from catalog.requests import Consistency, Lookup, Read, Reply, Write

__all__ = ["apply", "near_of", "read", "select", "write"]

T = TypeVar("T")


async def read(call: Call, request: Read[T]) -> tuple[T, dict[str, str]]:
    """Return what a read finds, and the headers that go with it."""
    options = call.options
    wanted: Read[Any] = request
    if options.cached and not options.index and isinstance(request, Lookup):
        wanted = evolve(request, max_age=options.max_age)
    reply: Reply[T] = await call.ask(
        evolve(
            wanted,
            consistency=Consistency.STALE if options.stale else Consistency.DEFAULT,
            max_stale=options.max_stale,
            after=options.index or None,
            wait=max(options.wait, INTERVAL_SECONDS_MIN),
        )
    )
    headers = read_headers(
        index=reply.index,
        known_leader=reply.known_leader,
        last_contact=reply.age,
        effective="stale" if options.stale else "consistent" if options.consistent else "leader",
    )
    if options.cached:
        hit = "HIT" if reply.cached else "MISS"
        headers |= {"X-Cache": hit, "Age": str(round(reply.age) if reply.cached else 0)}
    return reply.value, headers


def select(call: Call, objects: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the objects that the call's filter lets pass."""
    if not call.options.filter:
        return list(objects)
    passes = parse_filter(call.options.filter)
    return [one for one in objects if passes(one)]


def near_of(call: Call) -> str:
    """Return the node to sort by, empty: none; `_agent` is the one that is asked."""
    near = call.options.near or ""
    return call.site.name if near == "_agent" else near


async def write(call: Call, command: Command, *, no: Collection[Refusal] = ()) -> bool:
    """Return whether a command was done; what is refused for other reasons than `no` is an error.

    Raises:
        Refused: for another reason.

    """
    applied = await apply(call, command)
    if applied.ok:
        return True
    if applied.refusal in no:
        return False
    raise Refused(applied)


async def apply(call: Call, command: Command) -> Applied:
    """Return what became of a command."""
    return await call.ask(Write(command))
