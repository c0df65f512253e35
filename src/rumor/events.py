"""The facts that reach a member: what :meth:`rumor.core.swim.Swim.step` takes.

Numbers named `tag` and `call` are chosen by the driver and come back untouched; the number named
`ticket` is chosen by the core. All three only need to be unique while they are in use.
"""

from __future__ import annotations

from typing import TypeAlias

from attrs import frozen

from rumor.messages import Address, Message, Name, Query, Reply, Request, Word


@frozen
class Received:
    """A datagram came in, already decoded; replies go to `source`, whatever it advertises."""

    source: Address
    message: Message
    updates: tuple[Word, ...] = ()


@frozen
class Asked:
    """A peer's request came in on a stream; the core answers with ``Answer(call, …)``."""

    call: int
    request: Request


@frozen
class Answered:
    """The reply to our own ``Exchange(ticket, …)``."""

    ticket: int
    reply: Reply


@frozen
class Unanswered:
    """Our own ``Exchange(ticket, …)`` failed; every ticket ends as Answered or Unanswered."""

    ticket: int


@frozen
class Introduced:
    """The user names seeds; settled with the number of seeds that answered."""

    tag: int
    seeds: tuple[Address, ...]


@frozen
class Described:
    """The user gives this member new metadata."""

    meta: bytes


@frozen
class Departed:
    """The user wants to leave; settled with the number of members that confirmed the farewell."""

    tag: int


@frozen
class Dismissed:
    """The user says that a failed member will not return; settled with 1 if it has left by now."""

    tag: int
    name: Name


@frozen
class Happened:
    """The user tells all members something; settled with 1, or with 0 if too much waits."""

    tag: int
    name: str
    payload: bytes


@frozen(kw_only=True)
class Queried:
    """The user asks all members, or some; collected under `tag` until settled with the answers.

    Refused at once if too many queries are open, or too much waits to be passed on.
    """

    tag: int
    name: str
    payload: bytes = b""
    names: tuple[Name, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    acks: bool = False
    relays: int = 0
    timeout: float | None = None
    """Seconds; ``None``: as long as it takes in a cluster of this size."""


@frozen
class Replied:
    """The user answers a query that it was given."""

    query: Query
    payload: bytes


@frozen
class Unasked:
    """The user has heard enough of what it asked under `tag`."""

    tag: int


Event: TypeAlias = (
    Received
    | Asked
    | Answered
    | Unanswered
    | Introduced
    | Described
    | Departed
    | Dismissed
    | Happened
    | Queried
    | Replied
    | Unasked
)
