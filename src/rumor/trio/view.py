"""What users see: members with readable metadata, and events about them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias, assert_never

from attrs import frozen

from rumor.effects import (
    Conflicted,
    Failed,
    Joined,
    Left,
    Notification,
    Reachable,
    Reaped,
    Recovered,
    Suspected,
    Unreachable,
    Updated,
)
from rumor.errors import ProtocolError
from rumor.messages import Address, Health, Incarnation, Name, Peer, UserEvent
from rumor.trio.polls import Question
from rumor.wire import decode_meta


@frozen
class Member:
    """One member of the cluster, as it was known at that moment."""

    name: Name
    address: Address
    """Host and port, the same for UDP and TCP."""
    meta: Mapping[str, str]
    """What the member says of itself; empty if it cannot be read."""
    health: Health
    incarnation: Incarnation


@frozen
class EventsLost:
    """The subscriber read too slowly: `count` events were dropped here; look at ``members``."""

    count: int


MembershipEvent: TypeAlias = (
    Joined[Member]
    | Updated[Member]
    | Suspected[Member]
    | Recovered[Member]
    | Failed[Member]
    | Left[Member]
    | Reaped[Member]
    | Conflicted[Member]
    | Unreachable[Member]
    | Reachable[Member]
    | EventsLost
)


AgentEvent: TypeAlias = MembershipEvent | UserEvent | Question
"""What a subscription gives."""


def tags_of(meta: bytes) -> Mapping[str, str]:
    """Read metadata; there are none in what cannot be read."""
    try:
        return MappingProxyType(decode_meta(meta))
    except ProtocolError:
        return MappingProxyType({})


def member_of(peer: Peer) -> Member:
    """Show a record to users."""
    return Member(
        peer.name,
        peer.address,
        tags_of(peer.meta),
        peer.health,
        peer.incarnation,
    )


def event_of(notification: Notification) -> MembershipEvent:
    """Show a notification to users."""
    member = member_of(notification.member)
    match notification:
        case Joined():
            return Joined(member)
        case Updated():
            return Updated(member)
        case Suspected(_, accuser):
            return Suspected(member, accuser)
        case Recovered():
            return Recovered(member)
        case Failed():
            return Failed(member)
        case Left():
            return Left(member)
        case Reaped():
            return Reaped(member)
        case Conflicted(_, rival):
            return Conflicted(member, rival)
        case Unreachable():
            return Unreachable(member)
        case Reachable():
            return Reachable(member)
        case _:
            assert_never(notification)


def events_so_far(peer: Peer) -> list[MembershipEvent]:
    """Tell a newcomer among the subscribers how a member came to be as it stands."""
    member = member_of(peer)
    match peer.health:
        case Health.ALIVE:
            return [Joined(member)]
        case Health.SUSPECT:
            return [Joined(member), Suspected(member, peer.accuser or peer.name)]
        case Health.DEAD:
            return [Joined(member), Failed(member)]
        case Health.LEFT:
            return [Joined(member), Left(member)]
        case _:
            assert_never(peer.health)
