"""The orders that a member gives: what :meth:`rumor.core.swim.Swim.step` returns.

Orders may be carried out at once and in any order, except that notifications keep theirs.

A user who follows one member sees a walk on this diagram, without repeats::

    (nothing) ─Joined─► alive ⇄ Suspected / Recovered ⇄ suspect ─► Failed or Left
        ▲                 └─ Updated, any number of times              │   ▲
        └──────────────────────── Reaped ◄─────────────────────────────┤   │
                          Joined ◄─────────────────────────────────────┘   └── Left after Failed

The notifications are generic in the member: the core speaks of :class:`~rumor.messages.Peer`, the
driver repeats them with the member that users see.
"""

from __future__ import annotations

from typing import Generic, TypeAlias, TypeVar

from attrs import frozen

from rumor.messages import Address, Message, Name, Peer, Query, Reply, Request, UserEvent

M_co = TypeVar("M_co", covariant=True)


@frozen
class Send:
    """Send one datagram: the message, with the updates (encoded already) in its tail."""

    to: Address
    message: Message
    gossip: tuple[bytes, ...] = ()


@frozen
class Exchange:
    """Dial `to`, send the request, bring the reply as ``Answered`` or else ``Unanswered``."""

    ticket: int
    to: Address
    request: Request


@frozen
class Answer:
    """Send the reply on the stream that brought ``Asked(call, …)``, then close it."""

    call: int
    reply: Reply


@frozen
class Settled:
    """What the user asked for under `tag` is done; `count` members answered."""

    tag: int
    count: int


@frozen
class Deliver:
    """Give the user what somebody said to all members, perhaps this member itself."""

    event: UserEvent | Query


@frozen
class Collect:
    """Give the user who asked under `tag` the answer of `source`; ``None``: it got the query."""

    tag: int
    source: Name
    payload: bytes | None


@frozen
class Refuse:
    """Tell the user that what it asked for under `tag` was not done: too much is under way."""

    tag: int


@frozen
class Joined(Generic[M_co]):
    """A member is known and alive: new, or back from having failed or left."""

    member: M_co


@frozen
class Updated(Generic[M_co]):
    """A living member changed its metadata."""

    member: M_co


@frozen
class Suspected(Generic[M_co]):
    """A member did not answer `accuser`; it has time to refute. Never final."""

    member: M_co
    accuser: Name


@frozen
class Recovered(Generic[M_co]):
    """A suspected member refuted."""

    member: M_co


@frozen
class Failed(Generic[M_co]):
    """A member is held to be dead. Never said of a member that left."""

    member: M_co


@frozen
class Left(Generic[M_co]):
    """A member said farewell."""

    member: M_co


@frozen
class Reaped(Generic[M_co]):
    """A member that had failed or left was forgotten."""

    member: M_co


@frozen
class Conflicted(Generic[M_co]):
    """Somebody at `rival` uses the name of `member`; the list stays as it is."""

    member: M_co
    rival: Address


@frozen
class Unreachable(Generic[M_co]):
    """A member lives, but again and again answers us by a detour only: a link is cut, not a member.

    It holds until ``Reachable``, ``Failed`` or ``Left``.
    """

    member: M_co


@frozen
class Reachable(Generic[M_co]):
    """A member that was unreachable answers straight again."""

    member: M_co


Notification: TypeAlias = (
    Joined[Peer]
    | Updated[Peer]
    | Suspected[Peer]
    | Recovered[Peer]
    | Failed[Peer]
    | Left[Peer]
    | Reaped[Peer]
    | Conflicted[Peer]
    | Unreachable[Peer]
    | Reachable[Peer]
)

Effect: TypeAlias = Send | Exchange | Answer | Settled | Deliver | Collect | Refuse | Notification
