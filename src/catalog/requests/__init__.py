"""What can be asked of an agent, as values, each with the type of its answer.

The same value is asked of an agent in this process, travels to one in another, and is passed on
from a client agent to a server and from a server to the leader; so there is one list of what a
catalog can do, and one path for all of it.

Some requests concern the agent itself: what is registered on its node, whom it sees by gossip.
All others concern the catalog, and whatever agent is asked sees to it that a server answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from attrs import field, frozen

from catalog.answers import Applied
from catalog.commands import Command
from catalog.limits import check_name
from catalog.model import Session
from catalog.requests.base import LeaderRequest, Request
from catalog.requests.local import (
    AgentInfo,
    Deregister,
    DeregisterLocalCheck,
    Drain,
    Heartbeat,
    Info,
    LocalCheck,
    LocalChecks,
    LocalService,
    LocalServices,
    Maintain,
    Member,
    MemberHealth,
    Members,
    Register,
    RegisterLocalCheck,
    Report,
)
from catalog.requests.reads import (
    WAIT_SECONDS_MAX,
    Answer,
    AskedNode,
    AskedQuery,
    AskedSession,
    Checks,
    Consistency,
    Coordinates,
    ExecuteQuery,
    Follow,
    FollowKeys,
    Get,
    Items,
    KeyNews,
    Keys,
    Lookup,
    News,
    Nodes,
    Queries,
    Read,
    Reply,
    Services,
    Sessions,
)

__all__ = [
    "REQUESTS",
    "WAIT_SECONDS_MAX",
    "AgentInfo",
    "Answer",
    "AskedNode",
    "AskedQuery",
    "AskedSession",
    "Checks",
    "Consistency",
    "Coordinates",
    "Deregister",
    "DeregisterLocalCheck",
    "Drain",
    "ExecuteQuery",
    "Follow",
    "FollowKeys",
    "Get",
    "Heartbeat",
    "Info",
    "Items",
    "KeyNews",
    "Keys",
    "LeaderRequest",
    "LocalCheck",
    "LocalChecks",
    "LocalService",
    "LocalServices",
    "Lookup",
    "Maintain",
    "Member",
    "MemberHealth",
    "Members",
    "News",
    "Nodes",
    "Queries",
    "Read",
    "Register",
    "RegisterLocalCheck",
    "RenewSession",
    "Reply",
    "Report",
    "Request",
    "Services",
    "Sessions",
    "Write",
]


@frozen
class Write(Request[Applied]):
    """Replicate a command; the answer may be a refusal."""

    RESULT: ClassVar[Any] = Applied
    REPEATABLE: ClassVar[bool] = False

    command: Command


@frozen
class RenewSession(LeaderRequest[Session | None]):
    """Keep a session alive for another TTL; only the leader, who counts, can answer."""

    RESULT: ClassVar[Any] = Session | None

    session: str = field(validator=check_name)


REQUESTS: Final[Mapping[str, type[Request[Any]]]] = {
    "write": Write,
    "renew-session": RenewSession,
    "lookup": Lookup,
    "services": Services,
    "nodes": Nodes,
    "node": AskedNode,
    "checks": Checks,
    "get": Get,
    "keys": Keys,
    "items": Items,
    "sessions": Sessions,
    "session": AskedSession,
    "queries": Queries,
    "query": AskedQuery,
    "execute-query": ExecuteQuery,
    "coordinates": Coordinates,
    "follow": Follow,
    "follow-keys": FollowKeys,
    "register": Register,
    "deregister": Deregister,
    "register-local-check": RegisterLocalCheck,
    "deregister-local-check": DeregisterLocalCheck,
    "drain": Drain,
    "heartbeat": Heartbeat,
    "report": Report,
    "maintain": Maintain,
    "local-service": LocalService,
    "local-services": LocalServices,
    "local-checks": LocalChecks,
    "members": Members,
    "info": Info,
}
"""The requests by their names on the wire; a name, once used, keeps its meaning."""
